"""Wildcard models: `openai/*` serves every name that fits, and a `*` upstream is what the star stood for."""

import re
from collections.abc import Iterable
from functools import lru_cache

STAR = "*"


def is_pattern(name: str) -> bool:
    """Whether it stands for many models."""
    return STAR in name


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile("(.+)".join(re.escape(part) for part in pattern.split(STAR)), re.DOTALL)


def matched(pattern: str, name: str) -> tuple[str, ...] | None:
    """What each star of the pattern stands for in this name; None: it does not fit. A star is never empty."""
    found = _compiled(pattern).fullmatch(name)
    return found.groups() if found and not is_pattern(name) else None


def best(patterns: Iterable[str], name: str) -> tuple[str, tuple[str, ...]] | None:
    """The closest pattern that fits, the one with most letters of its own, and its stars."""
    for pattern in sorted(patterns, key=lambda p: (p.count(STAR) - len(p), p)):
        if (stars := matched(pattern, name)) is not None:
            return pattern, stars
    return None


def filled(upstream_model: str, stars: tuple[str, ...]) -> str:
    """The provider's name of a model: each star is what it stood for, further ones what the last one did."""
    first, *rest = upstream_model.split(STAR)
    parts = [stars[min(number, len(stars) - 1)] + part for number, part in enumerate(rest)]
    return first + "".join(parts)
