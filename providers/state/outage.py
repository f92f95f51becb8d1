"""What one worker counts while the shared state is away: its part of every limit, and what it must report."""

from collections.abc import Mapping, Sequence

import msgspec

from providers.state import (
    BUCKETS,
    Ask,
    Candidate,
    Demand,
    Full,
    Hold,
    How,
    Refusal,
    Roll,
    Seed,
    Settlement,
    Ticket,
    Unseeded,
)
from providers.state.counters import Counters
from providers.state.memory import now_ms

_WORKER = "alone"


class Outage:
    """Each limit is divided by the live workers, and so is what was used of it when last heard.

    `known`: counter -> (time, used) of the shared state's last answers.
    """

    def __init__(self, known: Mapping[str, tuple[int, int]], workers: int) -> None:
        self._known = known
        self._workers = max(1, workers)
        self._counters = Counters()
        self._tickets: dict[str, Ticket] = {}
        self._charges: dict[Hold, dict[int, int]] = {}  # place -> time -> amount

    def has(self, ticket: Ticket) -> bool:
        """Whether the ticket was given out here."""
        return ticket.id in self._tickets

    async def admit(self, ask: Ask, id: str) -> Ticket | Refusal | Full:
        # a cap on names is no budget: it may wait
        demands = [self._share(demand) for demand in ask.demands if demand.how != How.MEMBER]
        candidates = [self._share_of(candidate) for candidate in ask.candidates]
        while True:
            verdict = self._counters.admit(now_ms(), id, _WORKER, demands, candidates, ask.lost_tokens)
            if not isinstance(verdict, Unseeded):
                break
            await self._seed(ask, verdict.counters)
        if isinstance(verdict, Ticket):
            self._tickets[id] = verdict
            self._charge_counted(verdict.holds)
        return verdict

    def move(self, ticket: Ticket, candidates: Sequence[Candidate], settled: Settlement) -> int:
        self._charge_used([hold for hold in ticket.holds if hold.of_slot], settled)
        shares = [self._share_of(candidate) for candidate in candidates]
        slot = self._counters.move(now_ms(), ticket.id, shares, settled)
        ticket.holds = self._counters.holds(ticket.id)
        self._charge_counted([hold for hold in ticket.holds if hold.of_slot])
        return slot

    def settle(self, ticket: Ticket, settled: Settlement) -> None:
        self._charge_used(ticket.holds, settled)
        self._counters.settle(now_ms(), ticket.id, settled)
        self._tickets.pop(ticket.id, None)

    def charges(self) -> tuple[list[Hold], list[Roll]]:
        """What was used here, for the shared state to count: sums, and of rolling windows the times too."""
        now, sums, rolls = now_ms(), [], []
        for place, used in self._charges.items():
            if not place.window:
                sums.append(msgspec.structs.replace(place, amount=sum(used.values())))
                continue
            buckets = [(at, amount) for at, amount in used.items() if amount > 0 and at + place.window > now]
            if buckets:
                rolls.append(Roll(place.counter, place.epoch, place.seeded, tuple(buckets)))
        return sums, rolls

    def heard(self) -> dict[str, tuple[int, int]]:
        """What is known of the counters in use, with what was used of them here."""
        now = now_ms()
        used: dict[str, int] = {}
        for place, amounts in self._charges.items():
            used[place.counter] = used.get(place.counter, 0) + sum(amounts.values())
        for ticket in self._tickets.values():
            for hold in ticket.holds:
                if hold.how in (How.TOKENS, How.COST):
                    used[hold.counter] = used.get(hold.counter, 0) + hold.amount
        return {counter: (now, self._known.get(counter, (0, 0))[1] + more) for counter, more in used.items()}

    def _charge_counted(self, holds: Sequence[Hold]) -> None:
        for hold in holds:
            if hold.how == How.COUNT:
                self._charge(hold, hold.amount)

    def _charge_used(self, holds: Sequence[Hold], settled: Settlement) -> None:
        for hold in holds:
            if hold.how == How.TOKENS:
                self._charge(hold, settled.slot_tokens if hold.of_slot else settled.tokens)
            elif hold.how == How.COST:
                self._charge(hold, settled.slot_cost if hold.of_slot else settled.cost)
            elif hold.how == How.COUNT and not settled.reached(hold):
                self._charge(hold, -hold.amount)

    def _charge(self, hold: Hold, amount: int) -> None:
        place = msgspec.structs.replace(hold, amount=0, of_slot=False)
        now = now_ms()
        at = now - now % max(1, hold.window // BUCKETS) if hold.window else 0
        used = self._charges.setdefault(place, {})
        if amount < 0 and not used.get(at, 0) >= -amount:  # it was counted a little earlier
            at = next((then for then in reversed(used) if used[then] >= -amount), at)
        used[at] = used.get(at, 0) + amount

    async def _seed(self, ask: Ask, counters: Sequence[str]) -> None:
        heard = {counter: self._known[counter] for counter in counters if counter in self._known}
        demands = [*ask.demands, *(demand for candidate in ask.candidates for demand in candidate.demands)]
        seeds = [self._heard(demand, *heard[demand.counter]) for demand in demands if demand.counter in heard]
        missing = [counter for counter in counters if counter not in heard]
        if missing:
            seeds += [self._part(seed) for seed in await ask.seed(missing)]
        self._counters.seed(now_ms(), seeds)

    def _heard(self, demand: Demand, at: int, used: int) -> Seed:
        part = -(-used // self._workers) if at >= demand.epoch else 0
        if demand.window:
            return Seed(demand.counter, demand.epoch, buckets=((at, part),) if part else ())
        return Seed(demand.counter, demand.epoch, part)

    def _part(self, seed: Seed) -> Seed:
        buckets = tuple((at, -(-amount // self._workers)) for at, amount in seed.buckets)
        return Seed(seed.counter, seed.epoch, -(-seed.spent // self._workers), buckets)

    def _share(self, demand: Demand) -> Demand:
        share = demand.limit // self._workers
        if demand.how == How.HOLD and demand.limit:
            share = max(1, share)
        return msgspec.structs.replace(demand, limit=share, seeded=demand.how != How.HOLD)

    def _share_of(self, candidate: Candidate) -> Candidate:
        slots = candidate.slots if candidate.slots < 0 else max(1, candidate.slots // self._workers)
        demands = tuple(self._share(demand) for demand in candidate.demands)
        return msgspec.structs.replace(candidate, slots=slots, demands=demands)
