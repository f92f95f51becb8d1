"""What workers tell each other of deployments' health: lost, late or told twice, they agree in the end."""

import itertools
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.desk import CLAIM_MS, MOST_HOLD, Clock, Desk
from providers.health import Ejection, Health
from providers.news import Claim, Ejected, News, Note, Rest, Seen, Standing, newer

LLAMA, QWEN, PHI, GEMMA = 1, 2, 3, 4  # deployments
ALL = (LLAMA, QWEN, PHI, GEMMA)
NEVER = Ejection(after=0)
EPOCH = 1_700_000_000.0  # the shared clock when a test begins


class Worker:
    """A worker whose own clock began at another moment than the others'."""

    def __init__(self, name: str, began: float = 0.0) -> None:
        self.health = Health(jitter=lambda: 0.0)
        self.desk = Desk(self.health, name, random=lambda: 0.5)
        self._began = began
        self.desk.clock.heard(self.now(0.0), self.now(0.0), EPOCH)
        self.desk.open()

    def now(self, time: float) -> float:
        return self._began + time

    def tell(self, time: float) -> News | None:
        return self.desk.outgoing(self.now(time))

    def hear(self, news: News | None, time: float) -> None:
        if news is not None:
            self.desk.incoming(news, self.now(time))

    def fails(self, id: int, time: float, times: int = 1) -> None:
        for _ in range(times):
            self.health.failed(id, self.now(time))

    def out(self, time: float) -> set[int]:
        return self.health.ejected(ALL, self.now(time))


@pytest.fixture
def anna() -> Worker:
    return Worker("anna", 1000.0)


@pytest.fixture
def ben() -> Worker:
    return Worker("ben", 7.5)


def ms(time: float) -> int:
    return round((EPOCH + time) * 1000)


def test_nothing_is_told_of_what_goes_well(anna: Worker) -> None:
    for second in range(100):
        anna.health.succeeded(LLAMA, anna.now(second))
    assert anna.tell(100) is None


def test_failures_are_told_together_with_the_successes_before(anna: Worker) -> None:
    for _ in range(7):
        anna.health.succeeded(LLAMA, anna.now(3.0))
    anna.fails(LLAMA, 4.0, times=2)
    news = anna.tell(4.0)
    assert news is not None
    assert news.seen == [Seen(LLAMA, passed=7, failed=2, row=2, ended=False)]
    assert anna.tell(4.0) is None  # once


def test_successes_of_long_ago_are_not_told(anna: Worker) -> None:
    anna.health.succeeded(LLAMA, anna.now(0.0))
    anna.fails(LLAMA, 60.0)
    news = anna.tell(60.0)
    assert news is not None
    assert news.seen[0].passed == 0


def test_what_was_counted_twice_over_is_heard_once(anna: Worker, ben: Worker) -> None:
    anna.fails(LLAMA, 0.0)
    news = anna.tell(0.0)
    for _ in range(9):
        ben.hear(news, 0.0)
    assert ben.out(0.0) == set()


def test_an_ejection_lasts_until_the_same_moment_everywhere(anna: Worker, ben: Worker) -> None:
    anna.fails(LLAMA, 0.0, times=5)
    ben.hear(anna.tell(0.0), 0.05)
    assert ben.out(4.99) == anna.out(4.99) == {LLAMA}
    assert anna.out(5.0) == set()


def test_who_ejected_it_probes_it_first(anna: Worker, ben: Worker) -> None:
    anna.fails(LLAMA, 0.0, times=5)
    ben.hear(anna.tell(0.0), 0.0)
    assert ben.out(5.2) == {LLAMA}
    anna.health.asked(LLAMA)
    ben.hear(anna.tell(5.2), 5.2)
    assert ben.out(6.5) == {LLAMA}  # he waits for her probe


def test_when_who_ejected_it_asks_nothing_another_one_does(anna: Worker, ben: Worker) -> None:
    anna.fails(LLAMA, 0.0, times=5)
    ben.hear(anna.tell(0.0), 0.0)
    assert ben.out(5.0 + MOST_HOLD) == set()


def test_a_probe_ends_by_itself_when_its_worker_died(anna: Worker, ben: Worker) -> None:
    anna.fails(LLAMA, 0.0, times=5)
    anna.health.asked(LLAMA)
    ben.hear(anna.tell(6.0), 6.0)
    assert ben.out(10.9) == {LLAMA}
    assert ben.out(6.0 + CLAIM_MS / 1000) == set()


def test_a_probe_that_takes_long_is_told_again(anna: Worker, ben: Worker) -> None:
    anna.fails(LLAMA, 0.0, times=5)
    anna.health.asked(LLAMA)
    for second in range(6, 60):
        anna.desk.probe_on()
        ben.hear(anna.tell(second), second)
    assert ben.out(60.0) == {LLAMA}
    anna.health.undecided(LLAMA)
    ben.hear(anna.tell(60.0), 60.0)
    assert ben.out(60.0) == set()


def test_a_probe_that_another_one_overtook_leaves_nothing_behind(anna: Worker, ben: Worker) -> None:
    anna.fails(LLAMA, 0.0, times=5)
    ben.hear(anna.tell(0.0), 0.0)
    for worker in (anna, ben):  # at one moment
        worker.health.asked(LLAMA)
    first, second = anna.tell(7.0), ben.tell(7.0)
    anna.hear(second, 7.0)
    ben.hear(first, 7.0)
    anna.health.failed(LLAMA, anna.now(8.0), anna.now(7.0))
    ben.hear(anna.tell(8.0), 8.0)
    ben.health.failed(LLAMA, ben.now(8.5), ben.now(7.0))
    ben.desk.probe_on()
    anna.hear(ben.tell(8.5), 8.5)
    assert anna.out(10.0) == ben.out(10.0) == {LLAMA}
    assert anna.out(20.0) == ben.out(20.0) == set()


def test_nobody_ends_the_probe_of_another(anna: Worker, ben: Worker) -> None:
    carol = Worker("carol")
    anna.fails(LLAMA, 0.0, times=5)
    ben.hear(anna.tell(0.0), 0.0)
    anna.health.asked(LLAMA)
    ben.hear(anna.tell(6.0), 6.0)
    ben.hear(News("carol", 1, claims=[Claim(LLAMA, 0)]), 6.0)
    assert ben.out(6.5) == {LLAMA}
    assert carol.out(6.5) == set()


def test_a_late_ejection_does_not_undo_a_recovery(anna: Worker, ben: Worker) -> None:
    anna.fails(LLAMA, 0.0, times=5)
    ejected = anna.tell(0.0)
    anna.health.succeeded(LLAMA, anna.now(6.0))
    ben.hear(anna.tell(6.0), 6.0)
    ben.hear(ejected, 6.1)
    assert ben.out(6.1) == set()
    assert ben.health.share(LLAMA, ben.now(6.1)) < 0.2


def test_what_follows_counts_as_later_also_where_clocks_differ(anna: Worker, ben: Worker) -> None:
    ben.desk.clock.heard(ben.now(0.0), ben.now(0.0), EPOCH - 30)  # he believes that it is earlier
    anna.fails(LLAMA, 0.0, times=5)
    ben.hear(anna.tell(0.0), 0.0)
    ben.health.succeeded(LLAMA, ben.now(6.0))
    anna.hear(ben.tell(6.0), 6.0)
    assert anna.out(6.0) == ben.out(6.0) == set()


def test_a_clock_that_was_set_back_puts_nobody_out_for_longer_than_its_pause(ben: Worker) -> None:
    hour = 3_600_000
    ben.hear(News("anna", 1, [Standing(LLAMA, ms(0) + hour, True, ms(5) + hour, 1, "anna")]), 0.0)
    assert ben.out(4.9) == {LLAMA}
    assert ben.out(5.0 + MOST_HOLD) == set()
    ben.health.succeeded(LLAMA, ben.now(7.0), ben.now(6.5))  # an attempt that began after it
    assert ben.health.share(LLAMA, ben.now(8.0)) < 0.3


def test_a_rest_holds_as_long_as_the_longest_that_was_told(anna: Worker, ben: Worker) -> None:
    for worker, seconds in ((anna, 2.0), (ben, 3.0)):
        worker.health.rest(LLAMA, worker.now(seconds))
    first, second = anna.tell(0.0), ben.tell(0.0)
    ben.hear(first, 0.0)
    anna.hear(second, 0.0)
    for worker in (anna, ben):
        until = worker.health.resting([LLAMA], worker.now(0.0))[LLAMA]
        assert until == pytest.approx(worker.now(3.0), abs=0.002)
    assert anna.tell(0.0) is ben.tell(0.0) is None  # what was told is not told back


def test_who_was_told_that_it_never_fails_does_not_eject(anna: Worker, ben: Worker) -> None:
    ben.health.follow({LLAMA: NEVER})
    anna.fails(LLAMA, 0.0, times=5)
    ben.hear(anna.tell(0.0), 0.0)
    assert ben.out(0.0) == set()


def test_what_was_found_out_alone_is_told_when_others_are_found() -> None:
    health = Health(jitter=lambda: 0.0)
    for _ in range(5):
        health.failed(LLAMA, 3.0)
    health.rest(QWEN, 60.0)
    desk = Desk(health, "anna")
    desk.clock.heard(4.0, 4.0, EPOCH)
    desk.open()
    news = desk.outgoing(4.0)
    assert news is not None
    assert set(news.notes) == {Standing(LLAMA, ms(-1), True, ms(4), 1, "anna"), Rest(QWEN, ms(56))}


# --- the shared clock --------------------------------------------------------------------------


def test_the_clock_is_as_good_as_the_quickest_answer() -> None:
    clock = Clock()
    clock.heard(10.0, 10.8, 1000.1)  # somewhere within 0.8 s
    clock.heard(11.0, 11.002, 1001.001)
    clock.heard(12.0, 12.9, 1002.8)
    assert clock.shared(20.0) == pytest.approx(1_010_000, abs=2)
    assert clock.own(clock.shared(20.0)) == pytest.approx(20.0, abs=0.001)


def test_a_clock_that_was_set_is_followed() -> None:
    clock = Clock()
    clock.heard(10.0, 10.001, 1000.0)
    clock.heard(11.0, 11.2, 5000.0)
    assert clock.shared(11.1) == pytest.approx(5_000_000, abs=2)


def test_a_clock_that_drifts_is_followed() -> None:
    clock = Clock()
    for second in range(0, 100_000, 10):  # 20 parts in a million
        clock.heard(second, second + 0.002, EPOCH + second * 1.00002)
    assert clock.shared(99_990) == pytest.approx((EPOCH + 99_990 * 1.00002) * 1000, abs=10)


# --- in any order ------------------------------------------------------------------------------

standings = st.builds(
    Standing,
    st.sampled_from(ALL),
    st.integers(ms(0), ms(9)),
    st.booleans(),
    st.integers(ms(0), ms(400)),
    st.integers(0, 6),
    st.sampled_from(["anna", "ben", "carol"]),
)
rests = st.builds(Rest, st.sampled_from(ALL), st.integers(ms(0), ms(60)))
notes = st.one_of(standings, rests)


@given(st.lists(notes, max_size=30), st.randoms(use_true_random=False))
def test_any_order_and_repetition_of_notes_ends_the_same(told: list[Note], random: Random) -> None:
    dora, emil = Worker("dora"), Worker("emil", 50.0)
    again = [*told, *random.sample(told, len(told) // 2)]
    random.shuffle(again)
    for worker, order in ((dora, told), (emil, again)):
        for number, note in enumerate(order, 1):
            worker.hear(News("anna", number, [note]), 10.0)
            assert len(worker.out(10.0)) <= len(ALL) // 2
    assert held(dora, 10.0) == pytest.approx(held(emil, 10.0), abs=0.002)


@given(st.lists(standings, min_size=2, max_size=2))
def test_of_two_standings_one_is_newer_or_they_are_the_same(told: list[Standing]) -> None:
    one, other = told[0], told[1]
    assert newer(one, other) + newer(other, one) + (one.rank == other.rank) == 1


def held(worker: Worker, time: float) -> dict[str, float]:
    """What a worker holds of each deployment, in seconds from now."""
    found: dict[str, float] = {}
    for id in ALL:
        found[f"share of {id}"] = worker.health.share(id, worker.now(time))
        resting = worker.health.resting([id], worker.now(time))
        found[f"rest of {id}"] = resting.get(id, worker.now(time)) - worker.now(time)
    for event in worker.health.holding():
        if isinstance(event, Ejected):
            found[f"{event.id} is out"] = event.until - worker.now(time)
            found[f"{event.id} has paused"] = event.pauses
    return found


class Room:
    """Workers that do anything, messages that go astray, and what is kept for all."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.time = 0.0
        self.workers = [Worker(name, random.uniform(0, 1000)) for name in ("anna", "ben", "carol")]
        self.flying: list[tuple[Worker, News]] = []
        self.open: list[tuple[Worker, int, float]] = []  # attempts, with their beginnings
        self.kept: dict[tuple[type[Note], int], Note] = {}

    def step(self) -> None:
        worker, id = self.random.choice(self.workers), self.random.choice(ALL)
        now = worker.now(self.time)
        match self.random.randrange(9):
            case 0:
                self.time += self.random.choice([0.001, 0.1, 1.0, 6.0])
            case 1:
                worker.fails(id, self.time, times=self.random.choice([1, 2, 5]))
            case 2:
                worker.health.succeeded(id, now, now - self.random.choice([0.0, 0.5, 9.0]))
            case 3:
                worker.health.rest(id, now + self.random.uniform(0.1, 9.0))
            case 4:
                worker.health.asked(id)
                self.open.append((worker, id, now))
            case 5 if self.open:
                self.end(self.random.randrange(3))
            case 6:
                self.speak(worker)
            case 7:
                self.deliver()
            case 8:
                self.beat(worker)
        for each in self.workers:
            assert len(each.out(self.time)) <= len(ALL) // 2

    def end(self, how: int) -> None:
        worker, id, began = self.open.pop(self.random.randrange(len(self.open)))
        now = worker.now(self.time)
        match how:
            case 0:
                worker.health.succeeded(id, now, began)
            case 1:
                worker.health.failed(id, now, began)
            case 2:
                worker.health.undecided(id, began)

    def speak(self, worker: Worker) -> None:
        if news := worker.tell(self.time):
            self.flying += [(other, news) for other in self.workers]
            self.flying += [(other, news) for other in self.workers if self.random.random() < 0.2]

    def deliver(self) -> None:
        if self.flying:
            hearer, news = self.flying.pop(self.random.randrange(len(self.flying)))
            if self.random.random() < 0.8:
                hearer.hear(news, self.time)

    def beat(self, worker: Worker) -> None:
        missing, over = worker.desk.compare(list(self.kept.values()), worker.now(self.time))
        for note in over:
            del self.kept[type(note), note.id]
        self.kept |= {(type(note), note.id): note for note in missing}


@settings(max_examples=150, deadline=None)
@given(random=st.randoms(use_true_random=False), steps=st.integers(1, 120))
def test_whatever_goes_astray_one_beat_of_each_makes_all_agree(random: Random, steps: int) -> None:
    room = Room(random)
    for _ in range(steps):
        room.step()
    for worker in [*room.workers, *room.workers]:
        room.beat(worker)
    anna, *others = [held(worker, room.time) for worker in room.workers]
    for other in others:
        assert other == pytest.approx(anna, abs=MOST_HOLD + 0.01)


@settings(max_examples=150, deadline=None)
@given(random=st.randoms(use_true_random=False), steps=st.integers(1, 120))
def test_whatever_goes_astray_every_deployment_is_asked_again(random: Random, steps: int) -> None:
    room = Room(random)
    for _ in range(steps):
        room.step()
    while room.open:
        room.end(2)
    for _ in range(10):  # beats, with the claims that they tell again
        room.time += 40
        for worker in room.workers:
            room.beat(worker)
            worker.desk.probe_on()
            news = worker.tell(room.time)
            for other in room.workers:
                other.hear(news, room.time)
    for worker in room.workers:
        assert worker.out(room.time) == set()


@given(st.lists(st.integers(0, 1), min_size=1, max_size=300))
def test_one_probe_at_a_time_however_requests_are_spread(turns: list[int]) -> None:
    """Messages arrive at once; the deployment fails for ever, and each request looks who may be asked."""
    workers = [Worker("anna"), Worker("ben", 99.0)]
    workers[0].fails(LLAMA, 0.0, times=5)
    exchange(workers, 0.0)
    time, probes = 0.0, 0
    for turn in turns:
        time += 0.7
        worker = workers[turn]
        if LLAMA in worker.out(time):
            continue
        worker.health.asked(LLAMA)
        exchange(workers, time)
        assert all(LLAMA in other.out(time) for other in workers)
        worker.fails(LLAMA, time)
        exchange(workers, time)
        probes += 1
    pauses = list(itertools.accumulate([5, 10, 20, 40, 80, 160]))
    assert probes <= sum(pause <= time for pause in pauses)


def exchange(workers: list[Worker], time: float) -> None:
    for teller, hearer in (workers, workers[::-1]):
        hearer.hear(teller.tell(time), time)
