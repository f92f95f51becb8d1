"""How deployments fare now: the gateway above knows whom to ask."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Running:
    """By a deployment's id: attempts under way, seconds until one that is put aside may be asked again, and
    the status by which the provider of one said that it is set up wrongly."""

    in_flight: Mapping[int, int]
    aside: Mapping[int, float]
    wrong: Mapping[int, int]


def _nobody() -> Running | None:
    return None


_ask: Callable[[], Running | None] = _nobody


def told_by(ask: Callable[[], Running | None]) -> None:
    """From now on this is asked; it takes no longer than a page may."""
    global _ask
    _ask = ask


def now() -> Running | None:
    """None: nobody can tell."""
    return _ask()


def in_flight(running: Running | None, id: int) -> str:
    """`3 in flight`, for people."""
    if running is None:
        return "how many are in flight is unknown"
    count = running.in_flight.get(id)
    return f"{count} in flight" if count else "nothing in flight"
