"""The rules of counting thrice: in Python, in Lua on a real Redis, and written out plainly. All agree."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import redis

from providers.state import (
    BUCKETS,
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
from providers.state.counters import QUIET, SILENCE, Counters
from providers.state.script import SCRIPT

LEASE = 30_000


@dataclass(slots=True)
class Open:
    """A ticket as the plain model remembers it."""

    worker: str
    slot: int
    lost: tuple[int, int]
    holds: list[Hold]
    expired: bool = False


@dataclass(slots=True)
class Past:
    """Every amount ever counted: (epoch, time, amount), nothing summed and nothing forgotten."""

    epoch: int
    amounts: list[list[int]] = field(default_factory=list)
    seeded: bool = False
    touched: int = 0


class Plain:
    """The rules as one would explain them: everything is remembered, and added up anew for each question."""

    def __init__(self) -> None:
        self.past: dict[str, Past] = {}
        self.members: dict[str, set[str]] = {}
        self.tickets: dict[str, Open] = {}
        self.workers: dict[str, int] = {}
        self.beat = 0

    def enter(self, now: int, demand: Demand) -> Past:
        past = self.past.setdefault(demand.counter, Past(demand.epoch))
        epoch = demand.epoch
        if demand.ends and now >= demand.ends:
            epoch = demand.ends if now < demand.following else demand.following
        past.epoch = max(past.epoch, epoch)
        return past

    def spent(self, now: int, counter: str, window: int) -> int:
        past = self.past[counter]
        return sum(a[2] for a in past.amounts if a[0] == past.epoch and (not window or a[1] + window > now))

    def holds(self, counter: str) -> list[Hold]:
        epoch = self.past[counter].epoch
        tickets = [ticket for ticket in self.tickets.values() if not ticket.expired]
        return [h for ticket in tickets for h in ticket.holds if (h.counter, h.epoch) == (counter, epoch)]

    def held(self, counter: str) -> int:
        return sum(hold.amount for hold in self.holds(counter) if hold.how != How.COUNT)

    def flying(self, counter: str) -> int:
        return len(self.holds(counter)) if counter in self.past else 0

    def used(self, now: int, demand: Demand) -> int:
        if demand.how == How.MEMBER:
            return len(self.members.get(demand.counter, set()) - {""})
        return self.spent(now, demand.counter, demand.window) + self.held(demand.counter)

    def slots(self, id: int) -> int:
        return sum(ticket.slot == id and not ticket.expired for ticket in self.tickets.values())

    def count(self, now: int, counter: str, window: int, amount: int) -> None:
        """All of one sixtieth of a window is forgotten together, when the last of it is old enough."""
        past = self.past[counter]
        past.touched = now
        if not amount:
            return
        mine = [a for a in past.amounts if a[0] == past.epoch and a[2]]
        if window and mine:
            width = max(1, window // BUCKETS)
            now = max(now, mine[-1][1])
            for other in mine:
                if other[1] // width == now // width:
                    other[1] = now
        past.amounts.append([past.epoch, now, amount])

    def uncount(self, now: int, counter: str, window: int, amount: int) -> None:
        past = self.past[counter]
        past.touched = now
        live = [a for a in past.amounts if a[0] == past.epoch]
        for entry in reversed(live):
            part = min(amount, entry[2])
            entry[2] -= part
            amount -= part

    def admit(
        self, now: int, id: str, worker: str, demands: Sequence[Demand], at: Sequence[Candidate], lost: int
    ) -> Any:
        for demand in demands:
            if demand.how != How.MEMBER:
                continue
            if demand.seeded and not self.is_seeded(now, demand):
                return ("unseeded", [demand.counter])
            if self.grant(now, demand) is None:
                return ("refused", demand.counter, self.used(now, demand), 0, 0)
        all_demands = [*demands, *(d for candidate in at for d in candidate.demands)]
        unseeded = [d.counter for d in all_demands if d.seeded and not self.is_seeded(now, d)]
        if unseeded:
            return ("unseeded", unseeded)
        granted = []
        for demand in demands:
            grant = self.grant(now, demand)
            if grant is None:
                held = 0 if demand.how == How.MEMBER else self.held(demand.counter)
                return ("refused", demand.counter, self.used(now, demand), held, self.fits_at(now, demand))
            granted.append(grant)
        candidate, slot_granted = self.choose(now, at)
        if candidate is None:
            return ("full", *slot_granted)
        holds: list[Hold] = []
        for demand, grant in zip(demands, granted, strict=True):
            self.take(now, demand, grant, holds, False)
        ticket = self.tickets[id] = Open(worker, candidate.id, (lost, candidate.cost), holds)
        for demand, grant in zip(candidate.demands, slot_granted, strict=True):
            self.take(now, demand, grant, holds, True)
        return ("admitted", ticket.slot, granted, [self.used(now, demand) for demand in demands])

    def is_seeded(self, now: int, demand: Demand) -> bool:
        if demand.how == How.MEMBER:
            return "" in self.members.get(demand.counter, set())
        return self.enter(now, demand).seeded

    def grant(self, now: int, demand: Demand) -> int | None:
        if demand.how == How.MEMBER:
            names = self.members.get(demand.counter, set())
            if demand.member in names:
                return 0
            fits = self.used(now, demand) < demand.limit
            return 1 if fits else -1 if demand.shadow else None
        self.enter(now, demand)
        left = demand.limit - self.used(now, demand)
        if left >= demand.least:
            return min(left, demand.want)
        return -1 if demand.shadow else None

    def fits_at(self, now: int, demand: Demand) -> int:
        if demand.how == How.MEMBER or demand.least > demand.limit:
            return 0
        if not demand.window:
            return demand.following if demand.ends and now >= demand.ends else demand.ends
        past = self.past[demand.counter]
        moments = sorted({a[1] + demand.window for a in past.amounts if a[0] == past.epoch and a[2]})
        for moment in moments:
            if moment > now and self.spent(moment, demand.counter, demand.window) + self.held(
                demand.counter
            ) <= (demand.limit - demand.least):
                return moment
        return 0

    def choose(self, now: int, candidates: Sequence[Candidate]) -> tuple[Candidate | None, Any]:
        soonest, frees = [], False
        for candidate in candidates:
            if 0 <= candidate.slots <= self.slots(candidate.id):
                frees = True
                continue
            granted = [self.grant(now, demand) for demand in candidate.demands]
            if None not in granted:
                return candidate, granted
            first = candidate.demands[granted.index(None)]
            soonest.append(self.fits_at(now, first))
            held = 0 if first.how == How.MEMBER else self.held(first.counter)
            frees |= self.used(now, first) - held <= first.limit - first.least
        return None, (min(filter(None, soonest), default=0), frees)

    def take(self, now: int, demand: Demand, grant: int, holds: list[Hold], of_slot: bool) -> None:
        if grant < 0:
            return
        if demand.how == How.MEMBER:
            if grant:
                self.members.setdefault(demand.counter, set()).add(demand.member)
            return
        past = self.past[demand.counter]
        past.touched = now
        if demand.how == How.COUNT:
            self.count(now, demand.counter, demand.window, grant)
        holds.append(
            Hold(demand.counter, demand.how, past.epoch, grant, demand.window, of_slot, demand.seeded)
        )

    def end(self, now: int, holds: Sequence[Hold], settled: Settlement) -> None:
        for hold in holds:
            past = self.past.get(hold.counter)
            if past is None or past.epoch != hold.epoch:
                continue
            past.touched = now
            if hold.how == How.COUNT and not (settled.sent and (settled.slot_sent or not hold.of_slot)):
                self.uncount(now, hold.counter, hold.window, hold.amount)
            elif hold.how in (How.TOKENS, How.COST) and (past.seeded or not hold.seeded):
                self.count(now, hold.counter, hold.window, used_by(hold, settled))

    def settle(self, now: int, id: str, settled: Settlement) -> None:
        ticket = self.tickets.pop(id, None)
        if ticket is None:
            return
        if not ticket.expired:
            self.end(now, ticket.holds, settled)
            return
        for hold in ticket.holds:
            past = self.past.get(hold.counter)
            if past is None or past.epoch != hold.epoch or hold.how not in (How.TOKENS, How.COST):
                continue
            more = used_by(hold, settled) - ticket.lost[hold.how == How.COST]
            change = self.count if more > 0 else self.uncount
            change(now, hold.counter, hold.window, abs(more))

    def move(self, now: int, id: str, at: Sequence[Candidate], settled: Settlement) -> int:
        ticket = self.tickets.get(id)
        if ticket is None or ticket.expired:
            return 0
        gone = [hold for hold in ticket.holds if hold.of_slot]
        ticket.holds = [hold for hold in ticket.holds if not hold.of_slot]
        ticket.slot = 0
        self.end(now, gone, settled)
        candidate, granted = self.choose(now, at)
        if candidate is None:
            return 0
        ticket.slot, ticket.lost = candidate.id, (ticket.lost[0], candidate.cost)
        for demand, grant in zip(candidate.demands, granted, strict=True):
            self.take(now, demand, grant, ticket.holds, True)
        return candidate.id

    def heartbeat(self, now: int, worker: str) -> int:
        if self.workers and now - self.beat > SILENCE:
            self.workers = {name: max(until, now + LEASE) for name, until in self.workers.items()}
        self.beat = now
        self.workers[worker] = now + LEASE
        dead = {name for name, until in self.workers.items() if until <= now}
        for ticket in self.tickets.values():
            if ticket.worker in dead and not ticket.expired:
                ticket.expired = True
                self.end(now, ticket.holds, Settlement(*ticket.lost, *ticket.lost))
        for name in dead:
            del self.workers[name]
        return len(self.workers)

    def seed(self, now: int, seeds: Sequence[Seed]) -> None:
        for seed in seeds:
            if seed.members:
                self.members.setdefault(seed.counter, set()).update(seed.members)
                continue
            past = self.past.setdefault(seed.counter, Past(seed.epoch))
            past.epoch = max(past.epoch, seed.epoch)
            if past.seeded:
                continue
            past.seeded, past.touched = True, now
            if past.epoch == seed.epoch:
                older = [[seed.epoch, at, amount] for at, amount in seed.buckets]
                if seed.spent:
                    older.append([seed.epoch, now, seed.spent])
                past.amounts = older + past.amounts

    def correct(self, now: int, seeds: Sequence[Seed], behind: int) -> list[str]:
        restless = []
        for seed in seeds:
            past = self.past.get(seed.counter)
            if past is None or not past.seeded:
                self.seed(now, [seed])
                restless.append(seed.counter)
                continue
            if past.epoch != seed.epoch:
                continue
            quiet = not self.holds(seed.counter) and past.touched + QUIET <= now and behind < QUIET
            here = self.spent(now, seed.counter, 0)
            if quiet or seed.spent > here:
                past.amounts = [a for a in past.amounts if a[0] != past.epoch]
                past.amounts.append([past.epoch, now, seed.spent])
            if not quiet:
                restless.append(seed.counter)
        return restless


def used_by(hold: Hold, settled: Settlement) -> int:
    if hold.how == How.TOKENS:
        return settled.slot_tokens if hold.of_slot else settled.tokens
    return settled.slot_cost if hold.of_slot else settled.cost


class Lua:
    """The script on a real Redis, with a clock of the test's."""

    def __init__(self, url: str) -> None:
        self.redis = redis.Redis.from_url(url)
        self.redis.flushdb()
        self.script = self.redis.register_script(SCRIPT)

    def call(self, operation: str, now: int, *arguments: Any) -> list[Any]:
        packed = msgspec.msgpack.encode((operation, now, *arguments))
        answer = msgspec.msgpack.decode(self.script(args=[packed]))
        assert isinstance(answer, list)
        return answer

    def heartbeat(self, now: int, worker: str) -> list[Any]:
        return self.call("heartbeat", now, worker, LEASE, "generation", "run", 0)

    def flying(self, counters: Sequence[str]) -> list[int]:
        found: list[Any] = self.redis.mget([f"sy:c:{counter}" for counter in counters])
        return [0 if text is None else msgspec.msgpack.decode(text)[5] for text in found]


class Trio:
    """Does everything three times and compares; `now` is the clock of all."""

    def __init__(self, redis_url: str, now: int) -> None:
        self.now = now
        self.python, self.lua, self.plain = Counters(), Lua(redis_url), Plain()
        self.checks = 0

    def same(self, *answers: Any) -> Any:
        assert answers[0] == answers[1] == answers[2], answers
        self.checks += 1
        return answers[0]

    def admit(
        self, id: str, worker: str, demands: Sequence[Demand], at: Sequence[Candidate], lost: int
    ) -> str:
        told = self.python.admit(self.now, id, worker, demands, at, lost)
        answer = self.lua.call("admit", self.now, "generation", worker, id, lost, demands, at)
        found = self.same(
            _of_python(told),
            _of_lua(answer, demands),
            self.plain.admit(self.now, id, worker, demands, at, lost),
        )
        return str(found[0])

    def settle(self, id: str, settled: Settlement) -> None:
        self.python.settle(self.now, id, settled)
        self.lua.call("settle", self.now, id, _listed(settled), False)
        self.plain.settle(self.now, id, settled)

    def move(self, id: str, at: Sequence[Candidate], settled: Settlement) -> int:
        found: int = self.same(
            self.python.move(self.now, id, at, settled),
            self.lua.call("move", self.now, id, at, _listed(settled))[1],
            self.plain.move(self.now, id, at, settled),
        )
        return found

    def heartbeat(self, worker: str) -> int:
        found: int = self.same(
            self.python.heartbeat(self.now, worker, LEASE),
            self.lua.heartbeat(self.now, worker)[2],
            self.plain.heartbeat(self.now, worker),
        )
        return found

    def seed(self, seeds: Sequence[Seed]) -> None:
        self.python.seed(self.now, seeds)
        self.lua.call("seed", self.now, seeds)
        self.plain.seed(self.now, seeds)

    def correct(self, seeds: Sequence[Seed], behind: int) -> list[str]:
        found: list[str] = self.same(
            self.python.correct(self.now, seeds, behind),
            list(self.lua.call("correct", self.now, seeds, behind)[1]),
            self.plain.correct(self.now, seeds, behind),
        )
        return found

    def compare(self, demands: Sequence[Demand], slots: Sequence[int]) -> list[int]:
        """What every counter and slot has, in all three."""
        bare = [msgspec.structs.replace(demand, seeded=False) for demand in demands]
        python = self.python.peek(self.now, bare)
        for demand in bare:
            if demand.how != How.MEMBER:
                self.plain.enter(self.now, demand)
        plain = [
            int(demand.member in self.plain.members.get(demand.counter, ()))
            if demand.how == How.MEMBER
            else self.plain.used(self.now, demand)
            for demand in bare
        ]
        found: list[int] = self.same(python, self.lua.call("peek", self.now, bare)[1], plain)
        assert min(found, default=0) >= 0
        counters = [demand.counter for demand in bare if demand.how != How.MEMBER]
        self.same(
            [self.python.flying(counter) for counter in counters],
            self.lua.flying(counters),
            [self.plain.flying(counter) for counter in counters],
        )
        in_redis = [int(self.lua.redis.get(f"sy:s:{id}") or 0) for id in slots]
        self.same(
            [self.python.in_flight(id) for id in slots], in_redis, [self.plain.slots(id) for id in slots]
        )
        return found


def _listed(settled: Settlement) -> list[Any]:
    of_slot = [settled.slot_tokens, settled.slot_cost]
    return [settled.tokens, settled.cost, *of_slot, settled.sent, settled.slot_sent]


def _of_python(told: Ticket | Refusal | Full | Unseeded) -> tuple[Any, ...]:
    match told:
        case Ticket():
            return ("admitted", told.slot, told.granted, told.used)
        case Refusal():
            return ("refused", told.demand.counter, told.used, told.held, told.resets_at or 0)
        case Full():
            return ("full", told.resets_at or 0, told.frees)
        case Unseeded():
            return ("unseeded", list(told.counters))


def _of_lua(answer: list[Any], demands: Sequence[Demand]) -> tuple[Any, ...]:
    match answer:
        case ["admitted", slot, granted, used, *_]:
            return ("admitted", slot, granted, used)
        case ["refused", index, used, held, resets_at, _]:
            return ("refused", demands[index].counter, used, held, resets_at)
        case [word, value]:
            return (word, value)
    return tuple(answer)
