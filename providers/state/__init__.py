"""Counters and slots in flight: what `admit` is asked, and what it answers.

A state reserves against every demand and takes one slot, all or nothing, in one step.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol


class How(Enum):
    """How a demand is paid."""

    COUNT = "at admission"  # requests
    RESERVE = "reserved, then settled to the true amount"  # tokens
    HOLD = "held while in flight"  # parallel requests


@dataclass(frozen=True, slots=True)
class Demand:
    """What one limit is asked for. `least` must fit; up to `want` is reserved if there is room.

    `window`: seconds of a rolling window, or 0 for a counter that its name ends by itself
    (a calendar window carries its first instant in the name) and for HOLD.
    `ends_at`: when such a counter starts anew, in Unix seconds; None: never.
    """

    counter: str
    limit: int
    least: int
    want: int
    how: How
    window: float = 0.0
    ends_at: float | None = None
    shadow: bool = False


@dataclass(frozen=True, slots=True)
class Candidate:
    """A deployment that could take the request; `slots` None: no bound."""

    id: int
    slots: int | None


@dataclass(slots=True)
class Ticket:
    """What was reserved. `granted` is, per counter, the reserved amount; `slot` the deployment held."""

    slot: int
    granted: Mapping[str, int]
    demands: Sequence[Demand]
    shadowed: list[str] = field(default_factory=list)
    closed: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """A limit said no. `resets_at`: when this much would fit, Unix seconds; None: it never will."""

    demand: Demand
    used: int
    resets_at: float | None


@dataclass(frozen=True, slots=True)
class Full:
    """Every candidate has all its slots in flight."""


class State(Protocol):
    """Live counters of limits and slots. `now` is Unix seconds."""

    def admit(
        self, now: float, demands: Sequence[Demand], candidates: Sequence[Candidate]
    ) -> Ticket | Refusal | Full: ...

    def move(self, ticket: Ticket, candidates: Sequence[Candidate]) -> bool:
        """Exchange the ticket's slot for the first free one of these; False: none is free, slot given up."""

    def settle(self, now: float, ticket: Ticket, amounts: Mapping[str, int]) -> None:
        """End the ticket: reservations become these amounts (by counter), all else is free. Idempotent."""
