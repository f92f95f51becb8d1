"""The rules of counting, in one process: the twin of `admit.lua`, step for step."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from providers.state import (
    Candidate,
    Demand,
    Full,
    Hold,
    How,
    Refusal,
    Seed,
    Settlement,
    Ticket,
    Unseeded,
)
from providers.state.counter import Counter, fits_at

QUIET = 10_000  # without a change for this long, the ledger knows all of a counter
SILENCE = 15_000  # without any heartbeat: then whoever counts was away, and not the workers
_SWEEP_EVERY = 4096
_FORGET_AFTER = 86_400_000
_TOMBSTONE = 3_600_000


@dataclass(slots=True)
class _Lease:
    """A ticket as it is kept. `expired_at`: its worker died, and what it would have used was charged."""

    worker: str
    slot: int
    lost_tokens: int
    lost_cost: int
    holds: list[Hold]
    expired_at: int = 0


@dataclass(slots=True)
class _Trial:
    """What a list of demands would get; nothing is taken yet."""

    granted: list[int] = field(default_factory=list)
    refusal: Refusal | None = None


class Counters:
    """All counters, slots and tickets. Every method takes the time, in Unix milliseconds."""

    def __init__(self) -> None:
        self._counters: dict[str, Counter] = {}
        self._members: dict[str, set[str]] = {}
        self._slots: dict[int, int] = {}
        self._leases: dict[str, _Lease] = {}
        self._workers: dict[str, int] = {}
        self._beat = 0
        self._admitted = 0

    def admit(
        self,
        now: int,
        ticket: str,
        worker: str,
        demands: Sequence[Demand],
        candidates: Sequence[Candidate],
        lost_tokens: int = 0,
    ) -> Ticket | Refusal | Full | Unseeded:
        self._sweep(now)
        if told := self._members_first(demands, now):
            return told
        if unseeded := self._unseeded(now, demands, candidates):
            return Unseeded(tuple(unseeded))
        trial = self._try(now, demands)
        if trial.refusal is not None:
            return trial.refusal
        chosen = self._choose(now, candidates)
        if isinstance(chosen, Full):
            return chosen
        candidate, slot_granted = chosen
        holds: list[Hold] = []
        for demand, granted in zip(demands, trial.granted, strict=True):
            self._take(now, demand, granted, holds, of_slot=False)
        self._take_slot(now, candidate, slot_granted, holds)
        self._leases[ticket] = _Lease(worker, candidate.id, lost_tokens, candidate.cost, holds)
        used = [self._used(demand) for demand in demands]
        return Ticket(
            ticket, candidate.id, demands, trial.granted, used, now, holds, lost_tokens, candidate.cost
        )

    def move(self, now: int, ticket: str, candidates: Sequence[Candidate], settled: Settlement) -> int:
        """The deployment whose slot the ticket has from now on; 0: none, or the ticket is over."""
        lease = self._leases.get(ticket)
        if lease is None or lease.expired_at:
            return 0
        self._free_slot(lease)
        kept: list[Hold] = []
        for hold in lease.holds:
            if hold.of_slot:
                self._give_back(now, hold, settled)
            else:
                kept.append(hold)
        lease.holds = kept
        chosen = self._choose(now, candidates)
        if isinstance(chosen, Full):
            return 0
        candidate, granted = chosen
        self._take_slot(now, candidate, granted, kept)
        lease.slot, lease.lost_cost = candidate.id, candidate.cost
        return candidate.id

    def settle(self, now: int, ticket: str, settled: Settlement) -> None:
        """Idempotent. What an expired ticket was charged becomes what it used after all."""
        lease = self._leases.pop(ticket, None)
        if lease is None:
            return
        if lease.expired_at:
            for hold in lease.holds:
                self._correct(now, hold, lease, settled)
            return
        self._free_slot(lease)
        for hold in lease.holds:
            self._give_back(now, hold, settled)

    # --- leases --------------------------------------------------------------------------------

    def heartbeat(self, now: int, worker: str, lasts: int) -> int:
        """Keep a worker's tickets for so long, and expire those of dead workers; how many workers live."""
        if self._workers and now - self._beat > SILENCE:  # nobody could be heard: that tells of no death
            self._workers = {name: max(ends, now + lasts) for name, ends in self._workers.items()}
        self._beat = now
        self._workers[worker] = now + lasts
        for dead in [name for name, ends in self._workers.items() if ends <= now]:
            for lease in [lease for lease in self._leases.values() if lease.worker == dead]:
                self._expire(now, lease)
            del self._workers[dead]
        return len(self._workers)

    def _expire(self, now: int, lease: _Lease) -> None:
        if lease.expired_at:
            return
        self._free_slot(lease)
        lease.expired_at = now
        lost = Settlement(lease.lost_tokens, lease.lost_cost, lease.lost_tokens, lease.lost_cost)
        for hold in lease.holds:
            self._give_back(now, hold, lost)

    # --- the ledger's word ---------------------------------------------------------------------

    def seed(self, now: int, seeds: Sequence[Seed]) -> None:
        """Give counters their past, once."""
        for seed in seeds:
            self._tell(now, seed)

    def _tell(self, now: int, seed: Seed) -> None:
        if seed.members:
            self._members.setdefault(seed.counter, set()).update(seed.members)
            return
        counter = self._counters.setdefault(seed.counter, Counter(seed.epoch))
        counter.enter(seed.epoch)
        if counter.seeded:
            return
        counter.seeded = True
        counter.touched = now
        if counter.epoch != seed.epoch:
            return
        counter.spent += seed.spent
        if seed.buckets:
            counter.buckets = sorted([*map(list, seed.buckets), *counter.buckets])
            counter.spent = sum(amount for _, amount in counter.buckets)

    def correct(self, now: int, seeds: Sequence[Seed], behind: int = 0) -> list[str]:
        """Raise counters to what the ledger has; one that was quiet becomes just that, and so does a new one.

        Quiet: no ticket is open, for it has no row yet, and the ledger has all rows of those that ended
        (`behind` is the wait of those that it has not). Returns those that were not quiet.
        """
        restless = []
        for seed in seeds:
            counter = self._counters.get(seed.counter)
            if counter is None or not counter.seeded:
                self._tell(now, seed)
                restless.append(seed.counter)
                continue
            if counter.epoch != seed.epoch:
                continue
            quiet = not (counter.flying or counter.held) and counter.touched + QUIET <= now and behind < QUIET
            counter.spent = seed.spent if quiet else max(counter.spent, seed.spent)
            if not quiet:
                restless.append(seed.counter)
        return restless

    def peek(self, now: int, demands: Sequence[Demand]) -> Sequence[int] | Unseeded:
        """What each counter has, spent and held; of a set, whether the name is in it."""
        if unseeded := self._unseeded(now, demands, ()):
            return Unseeded(tuple(unseeded))
        return [self._told(now, demand) for demand in demands]

    def _told(self, now: int, demand: Demand) -> int:
        if demand.how == HOW_MEMBER:
            return int(demand.member in self._members.get(demand.counter, ()))
        counter = self._counter(now, demand)
        return counter.spent + counter.held

    def holds(self, ticket: str) -> Sequence[Hold]:
        """What an open ticket holds."""
        lease = self._leases.get(ticket)
        return () if lease is None else tuple(lease.holds)

    def flying(self, counter: str) -> int:
        """Open tickets that have something of a counter."""
        found = self._counters.get(counter)
        return 0 if found is None else found.flying

    def in_flight(self, id: int) -> int:
        """Slots of a deployment in use."""
        return self._slots.get(id, 0)

    # --- one demand ----------------------------------------------------------------------------

    def _counter(self, now: int, demand: Demand) -> Counter:
        """The demand's counter, in the epoch of this moment."""
        counter = self._counters.get(demand.counter)
        if counter is None:
            counter = self._counters[demand.counter] = Counter(demand.epoch)
        epoch = demand.epoch
        if demand.ends and now >= demand.ends:
            epoch = demand.following if now >= demand.following else demand.ends
        if counter.epoch < epoch:
            counter.enter(epoch)
        if counter.buckets:
            counter.advance(demand.window, now)
        return counter

    def _members_first(self, demands: Sequence[Demand], now: int) -> Refusal | Unseeded | None:
        """A name that may not join makes no counters of its own."""
        for demand in demands:
            if demand.how != HOW_MEMBER:
                continue
            members = self._members.get(demand.counter, ())
            if demand.seeded and "" not in members:
                return Unseeded((demand.counter,))
            if not demand.shadow and demand.member not in members and self._used(demand) >= demand.limit:
                return Refusal(demand, self._used(demand), 0, None, now)
        return None

    def _unseeded(self, now: int, demands: Sequence[Demand], candidates: Sequence[Candidate]) -> list[str]:
        found = [d.counter for d in demands if d.seeded and not self._is_seeded(now, d)]
        for candidate in candidates:
            if candidate.demands:
                found += [d.counter for d in candidate.demands if d.seeded and not self._is_seeded(now, d)]
        return found

    def _is_seeded(self, now: int, demand: Demand) -> bool:
        if demand.how == HOW_MEMBER:
            return "" in self._members.get(demand.counter, ())
        return self._counter(now, demand).seeded

    def _used(self, demand: Demand) -> int:
        if demand.how == HOW_MEMBER:
            return max(0, len(self._members.get(demand.counter, ())) - 1)
        counter = self._counters[demand.counter]
        return counter.spent + counter.held

    def _try(self, now: int, demands: Sequence[Demand]) -> _Trial:
        trial = _Trial()
        for demand in demands:
            if demand.how == HOW_MEMBER:
                members = self._members.get(demand.counter, ())
                used = self._used(demand)
                fits = demand.member in members or used < demand.limit
                granted = int(demand.member not in members)
            else:
                counter = self._counter(now, demand)
                used = counter.spent + counter.held
                left = demand.limit - used
                fits = left >= demand.least
                granted = min(demand.want, left)
            if fits:
                trial.granted.append(granted)
            elif demand.shadow:
                trial.granted.append(-1)  # it would have been refused, and then have used nothing
            else:
                held, resets_at = 0, None
                if demand.how != HOW_MEMBER:
                    held, resets_at = counter.held, fits_at(counter, demand, now)
                trial.refusal = Refusal(demand, used, held, resets_at, now)
                return trial
        return trial

    def _choose(self, now: int, candidates: Sequence[Candidate]) -> tuple[Candidate, list[int]] | Full:
        soonest: int | None = None
        frees = False
        for candidate in candidates:
            if candidate.slots >= 0 and self._slots.get(candidate.id, 0) >= candidate.slots:
                frees = True
                continue
            if not candidate.demands:
                return candidate, []
            trial = self._try(now, candidate.demands)
            if trial.refusal is None:
                return candidate, trial.granted
            no = trial.refusal
            frees = frees or no.used - no.held + no.demand.least <= no.demand.limit
            if no.resets_at is not None and (soonest is None or no.resets_at < soonest):
                soonest = no.resets_at
        return Full(soonest, frees)

    def _take(self, now: int, demand: Demand, granted: int, holds: list[Hold], *, of_slot: bool) -> None:
        if granted < 0:
            return
        how = demand.how
        if how == HOW_MEMBER:
            if granted:
                self._members.setdefault(demand.counter, set()).add(demand.member)
            return
        counter = self._counters[demand.counter]
        counter.touched = now
        if how == HOW_COUNT:
            counter.spend(demand.window, now, granted)
        else:
            counter.held += granted
        counter.flying += 1
        holds.append(Hold(demand.counter, how, counter.epoch, granted, demand.window, of_slot, demand.seeded))

    def _take_slot(self, now: int, candidate: Candidate, granted: list[int], holds: list[Hold]) -> None:
        self._slots[candidate.id] = self._slots.get(candidate.id, 0) + 1
        for demand, amount in zip(candidate.demands, granted, strict=True):
            self._take(now, demand, amount, holds, of_slot=True)

    def _free_slot(self, lease: _Lease) -> None:
        if lease.slot:
            left = self._slots.get(lease.slot, 0) - 1
            if left > 0:
                self._slots[lease.slot] = left
            else:
                self._slots.pop(lease.slot, None)
            lease.slot = 0

    def _give_back(self, now: int, hold: Hold, settled: Settlement) -> None:
        """End one hold. What belongs to an epoch that is over touches nothing."""
        counter = self._counters.get(hold.counter)
        if counter is None or counter.epoch != hold.epoch:
            return
        counter.touched = now
        counter.flying = max(0, counter.flying - 1)
        if hold.how == HOW_COUNT:
            if not settled.reached(hold):
                counter.unspend(hold.window, now, hold.amount)
            return
        counter.held = max(0, counter.held - hold.amount)
        # of a counter that knows nothing of its past yet, the ledger will tell this too
        if hold.how != HOW_HOLD and (counter.seeded or not hold.seeded):
            counter.spend(hold.window, now, _amount(hold, settled))

    def _correct(self, now: int, hold: Hold, lease: _Lease, settled: Settlement) -> None:
        counter = self._counters.get(hold.counter)
        if counter is None or counter.epoch != hold.epoch or hold.how in (HOW_COUNT, HOW_HOLD):
            return
        lost = lease.lost_tokens if hold.how == HOW_TOKENS else lease.lost_cost
        difference = _amount(hold, settled) - lost
        if difference > 0:
            counter.spend(hold.window, now, difference)
        else:
            counter.unspend(hold.window, now, -difference)

    def _sweep(self, now: int) -> None:
        self._admitted += 1
        if self._admitted % _SWEEP_EVERY:
            return
        for name, counter in list(self._counters.items()):
            if not counter.held and counter.touched + _FORGET_AFTER <= now:
                del self._counters[name]
        for ticket, lease in list(self._leases.items()):
            if lease.expired_at and lease.expired_at + _TOMBSTONE <= now:
                del self._leases[ticket]


HOW_COUNT, HOW_TOKENS, HOW_HOLD, HOW_MEMBER = How.COUNT, How.TOKENS, How.HOLD, How.MEMBER


def _amount(hold: Hold, settled: Settlement) -> int:
    if hold.how == HOW_TOKENS:
        return settled.slot_tokens if hold.of_slot else settled.tokens
    return settled.slot_cost if hold.of_slot else settled.cost
