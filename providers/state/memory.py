"""The state of one process."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from providers.state import Candidate, Demand, Full, How, Refusal, Ticket

BUCKETS = 60
_SWEEP_EVERY = 4096


@dataclass(slots=True)
class _Bucket:
    """What was spent within one sub-bucket's width of its first event."""

    first: float
    last: float
    amount: int


@dataclass(slots=True)
class _Counter:
    """What was spent (in sub-buckets when the window rolls) and what is held in flight."""

    window: float
    ends_at: float | None
    held: int = 0
    spent: int = 0
    buckets: deque[_Bucket] = field(default_factory=deque)

    def advance(self, now: float) -> None:
        """Forget buckets that are wholly out of the window: late by one width at most, never early."""
        while self.buckets and self.buckets[0].last + self.window <= now:
            self.spent -= self.buckets.popleft().amount

    def add(self, now: float, amount: int) -> None:
        self.spent += amount
        if not self.window:
            return
        newest = self.buckets[-1] if self.buckets else None
        if newest is not None and now - newest.first < self.window / BUCKETS:
            newest.last = max(newest.last, now)
            newest.amount += amount
        else:
            self.buckets.append(_Bucket(now, now, amount))

    def fits_at(self, limit: int, amount: int) -> float | None:
        """When `amount` will fit, as far as what is spent decides it; None: not by waiting alone."""
        if amount > limit:
            return None
        if not self.window:
            return self.ends_at
        over = self.spent + self.held + amount - limit
        for bucket in self.buckets:
            over -= bucket.amount
            if over <= 0:
                return bucket.last + self.window
        return None

    def is_over(self, now: float) -> bool:
        """Whether nothing here matters any more."""
        self.advance(now)
        if self.held:
            return False
        return not self.spent or (self.ends_at is not None and self.ends_at <= now)


class MemoryState:
    """Counters and slots in this process: exact for one worker, gone with it."""

    def __init__(self) -> None:
        self._counters: dict[str, _Counter] = {}
        self._slots: dict[int, int] = {}
        self._admitted = 0

    def admit(
        self, now: float, demands: Sequence[Demand], candidates: Sequence[Candidate]
    ) -> Ticket | Refusal | Full:
        self._sweep(now)
        granted: dict[str, int] = {}
        shadowed: list[str] = []
        for demand in demands:
            counter = self._counter(demand, now)
            left = demand.limit - counter.spent - counter.held
            if left >= demand.least:
                granted[demand.counter] = min(demand.want, left)
            elif demand.shadow:
                granted[demand.counter] = demand.least
                shadowed.append(demand.counter)
            else:
                resets_at = counter.fits_at(demand.limit, demand.least)
                return Refusal(demand, counter.spent + counter.held, resets_at)
        slot = self._free(candidates)
        if slot is None:
            return Full()
        for demand in demands:
            self._take(now, demand, granted[demand.counter])
        self._slots[slot] = self._slots.get(slot, 0) + 1
        return Ticket(slot, granted, demands, shadowed)

    def move(self, ticket: Ticket, candidates: Sequence[Candidate]) -> bool:
        self._give_back(ticket)
        slot = self._free(candidates)
        if slot is None:
            return False
        ticket.slot = slot
        self._slots[slot] = self._slots.get(slot, 0) + 1
        return True

    def settle(self, now: float, ticket: Ticket, amounts: Mapping[str, int]) -> None:
        if ticket.closed:
            return
        ticket.closed = True
        self._give_back(ticket)
        for demand in ticket.demands:
            if demand.how is How.COUNT:
                continue
            counter = self._counter(demand, now)
            counter.held -= ticket.granted[demand.counter]
            if demand.how is How.RESERVE:
                counter.add(now, amounts.get(demand.counter, 0))

    def in_flight(self, id: int) -> int:
        """Slots of a deployment in use."""
        return self._slots.get(id, 0)

    def _counter(self, demand: Demand, now: float) -> _Counter:
        counter = self._counters.get(demand.counter)
        if counter is None:
            counter = self._counters[demand.counter] = _Counter(demand.window, demand.ends_at)
        counter.advance(now)
        return counter

    def _take(self, now: float, demand: Demand, amount: int) -> None:
        counter = self._counters[demand.counter]
        if demand.how is How.COUNT:
            counter.add(now, amount)
        else:
            counter.held += amount

    def _free(self, candidates: Sequence[Candidate]) -> int | None:
        for candidate in candidates:
            if candidate.slots is None or self._slots.get(candidate.id, 0) < candidate.slots:
                return candidate.id
        return None

    def _give_back(self, ticket: Ticket) -> None:
        if ticket.slot:
            self._slots[ticket.slot] -= 1
            if not self._slots[ticket.slot]:
                del self._slots[ticket.slot]
            ticket.slot = 0

    def _sweep(self, now: float) -> None:
        self._admitted += 1
        if self._admitted % _SWEEP_EVERY == 0:
            for name in [name for name, counter in self._counters.items() if counter.is_over(now)]:
                del self._counters[name]
