"""How much a model is to think: an effort in words, or a budget of tokens."""

from typing import Any

SMALLEST_BUDGET = 1024  # of the Messages API
_BUDGETS = {
    "minimal": SMALLEST_BUDGET,
    "low": 2048,
    "medium": 8192,
    "high": 16_384,
    "xhigh": 32_768,
    "max": 65_536,
}
EFFORTS = frozenset({"none", *_BUDGETS})
_MEDIUM_FROM = 4096


def budget(effort: str, cap: int) -> int | None:
    """Tokens of thinking for this effort: at most half of the cap; None if that is too little."""
    tokens = min(_BUDGETS[effort], cap // 2)
    return tokens if tokens >= SMALLEST_BUDGET else None


def effort_of(tokens: int) -> str:
    """The effort that a budget stands for, in the three words that every server knows."""
    if tokens < _MEDIUM_FROM:
        return "low"
    return "medium" if tokens < _BUDGETS["high"] else "high"


def adaptive(effort: str) -> tuple[dict[str, Any], str]:
    """For models that take no budget: `thinking`, and the word for `output_config.effort`."""
    # without `display` these models keep their thoughts to themselves
    return {"type": "adaptive", "display": "summarized"}, "low" if effort == "minimal" else effort
