"""The Messages wire: Anthropic, and servers that speak as it does under another address."""

import re

# Kind -> public base URL.
KINDS: dict[str, str | None] = {"anthropic": "https://api.anthropic.com/v1"}
VERSION = "2023-06-01"  # for clients that name none of their own

_MODEL = re.compile(r"claude-(?:(mythos|fable)|(?:opus|sonnet|haiku)-(\d+)(?:-(\d{1,2})(?!\d))?)")
_ADAPTIVE_FROM = (4, 6)
# From here on sampling is the model's own matter: any other value than the default is an error.
_NO_SAMPLING_FROM = (4, 7)
_SAMPLING = frozenset({"temperature", "top_p", "top_k"})


def refused_params(kind: str, upstream_model: str) -> frozenset[str]:
    """Request parameters that this provider answers with an error."""
    return _SAMPLING if _version(upstream_model) >= _NO_SAMPLING_FROM else frozenset()


def cap_param(kind: str, upstream_model: str) -> str:
    """The parameter that caps the output of this model."""
    return "max_tokens"


def thinks_adaptively(upstream_model: str) -> bool:
    """Whether the model is told an effort to think with; older ones are told a budget of tokens."""
    return _version(upstream_model) >= _ADAPTIVE_FROM


def _version(upstream_model: str) -> tuple[int, int]:
    """`(4, 6)` for `claude-opus-4-6`; `(0, 0)` for names that say nothing, and for those before 4."""
    found = _MODEL.search(upstream_model)
    if found is None:
        return (0, 0)
    if found[1]:
        return (5, 0)
    return int(found[2]), int(found[3] or 0)
