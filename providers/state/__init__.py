"""Counters and slots in flight: what `admit` is asked, and what it answers.

A state reserves against every demand and takes one slot, all or nothing, in one step. Times are Unix
milliseconds, amounts whole numbers.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

import msgspec

BUCKETS = 60  # of a rolling window
# An amount beyond these is cut: what Redis counts in is exact up to 2**53.
MOST_AMOUNT = 10**15
MOST_SPENT = 8 * 10**15


class How(IntEnum):
    """How a demand is paid."""

    COUNT = 0  # requests: at admission
    TOKENS = 1  # reserved, then settled to the true amount
    COST = 2  # the same
    HOLD = 3  # parallel requests: held while in flight
    MEMBER = 4  # end users: a set that a new name joins


# Both go to Redis as lists, in this order.
class Demand(msgspec.Struct, frozen=True, array_like=True):
    """What one limit is asked for. `least` must fit; up to `want` is reserved if there is room.

    `window`: length of a rolling window, else 0. `epoch`: what was counted in an earlier one is over;
    a calendar window's first instant, with `ends` and `following` those of the next two (0: never).
    `seeded`: it counts nothing before its past was read from the ledger. `member`: of a MEMBER demand.
    """

    counter: str
    how: How
    limit: int
    least: int = 1
    want: int = 1
    window: int = 0
    epoch: int = 0
    ends: int = 0
    following: int = 0
    shadow: bool = False
    seeded: bool = False
    member: str = ""


class Candidate(msgspec.Struct, frozen=True, array_like=True):
    """A deployment that could take the request; `slots` -1: no bound. `cost`: of the estimate, there."""

    id: int
    slots: int = -1
    cost: int = 0
    demands: tuple[Demand, ...] = ()


class Hold(msgspec.Struct, frozen=True, array_like=True):
    """What a ticket holds of one counter, in one epoch; `of_slot`: only as long as it has its slot.

    `seeded`: as of its demand.
    """

    counter: str
    how: How
    epoch: int
    amount: int
    window: int
    of_slot: bool
    seeded: bool


class Seed(msgspec.Struct, frozen=True, array_like=True):
    """A counter's past as the ledger has it: an amount, of a rolling window (time, amount) pairs.

    Of a set its members, of which one is always "".
    """

    counter: str
    epoch: int
    spent: int = 0
    buckets: tuple[tuple[int, int], ...] = ()
    members: tuple[str, ...] = ()


class Roll(msgspec.Struct, frozen=True, array_like=True):
    """What was used of a rolling window elsewhere, in (time, amount) pairs; `seeded` as of its demand."""

    counter: str
    epoch: int
    seeded: bool
    buckets: tuple[tuple[int, int], ...]


@dataclass(slots=True)
class Ticket:
    """What was reserved: `granted` per demand, `used` what each counter then had, and the slot's deployment.

    `holds` is what must be given back. `doubtful`: its counters may differ from the ledger when it ends, for
    the shared state was away meanwhile.
    """

    id: str
    slot: int
    demands: Sequence[Demand]
    granted: Sequence[int]
    used: Sequence[int]
    now: int
    holds: Sequence[Hold] = ()
    lost_tokens: int = 0
    lost_cost: int = 0
    closed: bool = False
    doubtful: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """A limit said no. `used`: spent and `held` in flight; `resets_at`: when this much would fit.

    None: not by waiting alone.
    """

    demand: Demand
    used: int
    held: int
    resets_at: int | None
    now: int


@dataclass(frozen=True, slots=True)
class Full:
    """No candidate has a free slot and room in its limits; `resets_at`: when a limit will have.

    `frees`: whether the end of requests in flight can make room.
    """

    resets_at: int | None = None
    frees: bool = True


@dataclass(frozen=True, slots=True)
class Unseeded:
    """Nothing was reserved, for these counters know nothing of their past."""

    counters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a request used, in all and at the deployment of its slot.

    `sent`: something went upstream; `slot_sent`: and to that deployment.
    """

    tokens: int = 0
    cost: int = 0
    slot_tokens: int = 0
    slot_cost: int = 0
    sent: bool = True
    slot_sent: bool = True

    def reached(self, hold: "Hold") -> bool:
        """Whether something was sent that this hold counts."""
        return self.sent and (self.slot_sent or not hold.of_slot)


class StateUnavailable(Exception):
    """Limits cannot be counted now; what they hold back must wait."""


type Seeder = Callable[[Collection[str]], Awaitable[Sequence[Seed]]]


@dataclass(frozen=True, slots=True)
class Ask:
    """A request before its admission. `seed` reads the past of its counters from the ledger.

    `lost_tokens`: what is charged when nobody lives to settle it. `closed`: refuse rather than count
    less exactly while the shared state is away.
    """

    demands: Sequence[Demand]
    candidates: Sequence[Candidate]
    seed: Seeder
    lost_tokens: int = 0
    closed: bool = False


class State(Protocol):
    """Live counters of limits and slots."""

    @property
    def workers(self) -> int:
        """How many workers there are, as far as is known."""

    async def admit(self, ask: Ask) -> Ticket | Refusal | Full:
        """Raises `StateUnavailable`."""

    async def move(self, ticket: Ticket, candidates: Sequence[Candidate], settled: Settlement) -> bool:
        """Exchange the ticket's slot for the first of these that is free; False: none, slot given up."""

    def settle(self, ticket: Ticket, settled: Settlement) -> None:
        """End the ticket: reservations become what was used, all else is free. Idempotent, never waits."""

    async def peek(self, demands: Sequence[Demand], seed: Seeder) -> Sequence[int]:
        """What each counter has, spent and held. Raises `StateUnavailable`."""

    async def correct(self, seeds: Sequence[Seed], behind: int) -> Collection[str]:
        """What the ledger says of counters by now: raise them to it; a quiet or new one becomes just that.

        `behind`: for how many milliseconds rows of this worker have waited for the ledger. The answer: those
        that were not quiet, so that they may still be too high. Raises `StateUnavailable`.
        """

    async def start(self) -> None: ...

    async def stop(self) -> None: ...
