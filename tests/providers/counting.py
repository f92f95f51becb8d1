"""Random requests, settlements, crashes, resets and edits, done to all three countings at once."""

from random import Random

from providers.state import Candidate, Demand, How, Seed, Settlement
from tests.providers.trio import Trio

START = 1_700_000_000_000
DAY = 7_000  # of this world, so that days end often
WORKERS = ("anna", "ben", "carla")


class World:
    """Limits that change, and tickets that are open; every step is drawn from `random`."""

    def __init__(self, redis_url: str, random: Random) -> None:
        self.random = random
        self.trio = Trio(redis_url, START)
        self.limits = {name: random.randint(0, most) for name, most in _MOST.items()}
        self.window = random.choice([1000, 60_000])
        self.resets = dict.fromkeys(_MOST, 0)
        self.open: list[str] = []
        self.dead: list[str] = []
        self.numbers = 0
        for worker in WORKERS:
            self.trio.heartbeat(worker)

    def step(self) -> None:
        steps = [self.ask] * 6 + [self.settle] * 4 + [self.wait] * 3 + [self.move, self.reset, self.edit]
        steps += [self.beat, self.beat, self.crash, self.correct, self.late]
        self.random.choice(steps)()
        self.trio.compare([*self.demands(1, 0), *self.own(1)], (1, 2, 3))

    # --- what happens --------------------------------------------------------------------------

    def wait(self) -> None:
        self.trio.now += int(self.window * self.random.choice([1 / 240, 1 / 60, 1 / 7, 59 / 60, 1.0]))

    def ask(self) -> None:
        least, extra = self.random.randint(1, 9), self.random.randint(0, 9)
        demands = self.random.sample(self.demands(least, extra), self.random.randint(0, 6))
        candidates = self.candidates(least)
        self.numbers += 1
        id, worker = f"ticket-{self.numbers}", self.random.choice(WORKERS)
        lost = self.random.randint(0, 9)
        if self.trio.plain.workers.get(worker, 0) <= self.trio.now:
            self.trio.heartbeat(worker)
        word = self.trio.admit(id, worker, demands, candidates, lost)
        if word == "unseeded":
            self.seed(demands, candidates)
            word = self.trio.admit(id, worker, demands, candidates, lost)
        if word == "admitted":
            self.open.append(id)

    def settle(self) -> None:
        if self.open:
            id = self.open.pop(self.random.randrange(len(self.open)))
            for _ in range(self.random.choice([1, 1, 2])):  # twice is once
                self.trio.settle(id, self.settlement())

    def move(self) -> None:
        if self.open:
            self.trio.move(self.random.choice(self.open), self.candidates(2), self.settlement())

    def reset(self) -> None:
        self.resets[self.random.choice(list(_MOST))] = self.trio.now

    def edit(self) -> None:
        name = self.random.choice(list(_MOST))
        self.limits[name] = self.random.randint(0, _MOST[name])

    def beat(self) -> None:
        self.trio.heartbeat(self.random.choice(WORKERS))

    def crash(self) -> None:
        """One worker goes on; the others' leases run out."""
        survivor = self.random.choice(WORKERS)
        for _ in range(4):
            self.trio.now += 10_000
            self.trio.heartbeat(survivor)

    def correct(self) -> None:
        name = self.random.choice(["total", "cost", "ever"])
        demand = next(d for d in self.demands(1, 0) if d.counter == name)
        seed = Seed(name, demand.epoch, self.random.randint(0, 60))
        self.trio.correct([seed], self.random.choice([0, 0, 20_000]))

    def late(self) -> None:
        """A settlement of a ticket that nobody knows."""
        self.trio.settle("unknown", self.settlement())

    # --- what is asked -------------------------------------------------------------------------

    def demands(self, least: int, extra: int) -> list[Demand]:
        limits, resets, now = self.limits, self.resets, self.trio.now
        day = now // DAY * DAY
        if self.random.random() < 0.2:  # a worker that has not yet seen midnight
            day -= DAY
        epoch = max(day, resets["day"] if self.random.random() < 0.9 else 0)
        shadow = self.random.random() < 0.1
        most = least + extra
        dear = 3 * least + extra
        return [
            Demand("requests", How.COUNT, limits["requests"], window=self.window, epoch=resets["requests"]),
            Demand("tokens", How.TOKENS, limits["tokens"], least, most, self.window, shadow=shadow),
            Demand("parallel", How.HOLD, limits["parallel"]),
            Demand("day", How.TOKENS, limits["day"], least, most, 0, epoch, day + DAY, day + 2 * DAY),
            Demand("total", How.TOKENS, limits["total"], least, most, epoch=resets["total"], seeded=True),
            Demand("cost", How.COST, limits["cost"], 3 * least, dear, epoch=resets["cost"], seeded=True),
            Demand("minute", How.COST, limits["cost"], least, least, self.window, seeded=True),
            Demand("ever", How.COUNT, limits["ever"], epoch=resets["ever"], seeded=True),
            Demand("names", How.MEMBER, limits["names"], seeded=True, member=self.random.choice("abcdefgh")),
        ]  # fmt: skip

    def own(self, least: int) -> tuple[Demand, Demand]:
        """What is asked of a deployment's own limits."""
        limits = self.limits
        return (
            Demand("d1", How.COUNT, limits["requests"] + 3, window=self.window),
            Demand("d1 tokens", How.TOKENS, limits["tokens"], least, least, self.window, seeded=True),
        )

    def candidates(self, least: int) -> list[Candidate]:
        own = self.own(least)
        all_three = [
            Candidate(1, self.random.randint(0, 4), self.random.randint(0, 9), own),
            Candidate(2, 2, self.random.randint(0, 9)),
            Candidate(3, -1, 5, own[:1]),
        ]
        return self.random.sample(all_three, self.random.randint(1, 3))

    def seed(self, demands: list[Demand], candidates: list[Candidate]) -> None:
        for demand in [*demands, *(demand for candidate in candidates for demand in candidate.demands)]:
            if not demand.seeded:
                continue
            amount = self.random.randint(0, 20)
            if demand.how == How.MEMBER:
                self.trio.seed([Seed(demand.counter, 0, members=("", "a", "b"))])
            elif demand.window:
                at = self.trio.now - self.random.randint(0, self.window)
                self.trio.seed([Seed(demand.counter, demand.epoch, buckets=((at, amount),))])
            else:
                self.trio.seed([Seed(demand.counter, demand.epoch, amount)])

    def settlement(self) -> Settlement:
        tokens, cost = self.random.randint(0, 20), self.random.randint(0, 60)
        sent, slot_sent = self.random.random() > 0.1, self.random.random() > 0.1
        return Settlement(tokens, cost, tokens // 2, cost // 2, sent, slot_sent)


_MOST = {
    "requests": 9,
    "tokens": 60,
    "parallel": 9,
    "day": 90,
    "total": 400,
    "cost": 900,
    "ever": 90,
    "names": 6,
}
