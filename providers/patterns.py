"""Wildcard models: `openai/*` serves every name that fits, and a `*` upstream is what the star stood for."""

from collections.abc import Iterable

STAR = "*"


def is_pattern(name: str) -> bool:
    """Whether it stands for many models."""
    return STAR in name


def matched(pattern: str, name: str) -> tuple[str, ...] | None:
    """What each star of the pattern stands for in this name; None: it does not fit.

    A star is never empty, and an earlier one is as long as it can be. Clients choose the names, and a regular
    expression of five stars takes minutes for some: from the end, each part is looked for once.
    """
    first, *between = pattern.split(STAR)
    if not between:
        return () if name == pattern else None
    last = between.pop()
    end = len(name) - len(last)
    if is_pattern(name) or not (name.startswith(first) and name.endswith(last)):
        return None
    stars = []
    for part in reversed(between):
        at = name.rfind(part, 0, max(0, end - 1))
        if at < 0:
            return None
        stars.append(name[at + len(part) : end])
        end = at
    stars.append(name[len(first) : end])
    return tuple(reversed(stars)) if all(stars) else None


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
