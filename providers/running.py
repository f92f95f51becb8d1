"""How many requests run at deployments now: the gateway above knows whom to ask."""

from collections.abc import Callable, Mapping

type Counts = Mapping[int, int]  # a deployment's id -> attempts under way


def _nobody() -> Counts | None:
    return None


_ask: Callable[[], Counts | None] = _nobody


def told_by(ask: Callable[[], Counts | None]) -> None:
    """From now on this is asked; it takes no longer than a page may."""
    global _ask
    _ask = ask


def in_flight() -> Counts | None:
    """None: nobody can tell."""
    return _ask()


def words(counts: Counts | None, id: int) -> str:
    """`3 in flight`, for people."""
    if counts is None:
        return "how many are in flight is unknown"
    return f"{counts[id]} in flight" if counts.get(id) else "nothing in flight"
