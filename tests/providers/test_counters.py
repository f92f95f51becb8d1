"""Counting limits and slots: each rule by itself. `test_twins.py` has them all together."""

import pytest

from providers.state import (
    Ask,
    Candidate,
    Demand,
    Full,
    How,
    Refusal,
    Seed,
    Settlement,
    Ticket,
    Unseeded,
)
from providers.state.counters import Counters
from providers.state.memory import MemoryState

ANY = [Candidate(1)]
NOW = 1_700_000_000_000


def requests(limit: int, window: int = 60_000, *, shadow: bool = False) -> Demand:
    return Demand("requests", How.COUNT, limit, window=window, shadow=shadow)


def tokens(limit: int, least: int, want: int | None = None, window: int = 60_000) -> Demand:
    return Demand("tokens", How.TOKENS, limit, least, want or least, window)


def used(amount: int) -> Settlement:
    return Settlement(tokens=amount, slot_tokens=amount)


class Clerk:
    """Asks `Counters` for one worker, and numbers the tickets."""

    def __init__(self) -> None:
        self.counters = Counters()
        self.numbers = 0

    def ask(
        self, at: int, *demands: Demand, to: list[Candidate] = ANY, lost: int = 0
    ) -> Ticket | Refusal | Full | Unseeded:
        self.numbers += 1
        return self.counters.admit(NOW + at, str(self.numbers), "anna", demands, to, lost)

    def admitted(self, at: int, *demands: Demand, to: list[Candidate] = ANY, lost: int = 0) -> Ticket:
        ticket = self.ask(at, *demands, to=to, lost=lost)
        assert isinstance(ticket, Ticket), ticket
        return ticket

    def refused(self, at: int, *demands: Demand) -> Refusal:
        refusal = self.ask(at, *demands)
        assert isinstance(refusal, Refusal), refusal
        return refusal


@pytest.fixture
def clerk() -> Clerk:
    return Clerk()


def test_a_window_rolls(clerk: Clerk) -> None:
    for second in (0, 10, 20):
        clerk.admitted(second * 1000, requests(3))
    assert clerk.refused(30_000, requests(3)).resets_at == NOW + 60_000
    clerk.admitted(60_000, requests(3))
    assert clerk.refused(60_000, requests(3)).resets_at == NOW + 70_000


def test_what_was_counted_together_is_forgotten_together_and_not_before_its_last(clerk: Clerk) -> None:
    clerk.admitted(0, requests(2))
    clerk.admitted(900, requests(2))
    resets_at = clerk.refused(60_000, requests(2)).resets_at
    assert resets_at in (NOW + 60_900, NOW + 60_000 + 900)
    clerk.admitted(60_900, requests(2))


def test_a_refused_request_consumes_nothing(clerk: Clerk) -> None:
    clerk.admitted(0, tokens(100, 60))
    for _ in range(50):
        clerk.refused(0, requests(1), tokens(100, 60))
    clerk.admitted(0, requests(1), tokens(100, 40))


def test_without_a_free_slot_nothing_is_consumed(clerk: Clerk) -> None:
    one = [Candidate(1, 1)]
    ticket = clerk.admitted(0, to=one)
    for _ in range(50):
        assert clerk.ask(0, requests(1), tokens(100, 100), to=one) == Full()
    clerk.counters.settle(NOW, ticket.id, Settlement())
    clerk.admitted(0, requests(1), tokens(100, 100), to=one)


def test_the_first_free_candidate_is_taken(clerk: Clerk) -> None:
    both = [Candidate(2, 1), Candidate(1, 2)]
    assert [clerk.admitted(0, to=both).slot for _ in range(3)] == [2, 1, 1]
    assert clerk.ask(0, to=both) == Full()


def test_a_deployment_at_its_own_limit_is_passed_over(clerk: Clerk) -> None:
    own = Demand("rpm of 1", How.COUNT, 1, window=60_000)
    both = [Candidate(1, -1, 0, (own,)), Candidate(2)]
    assert [clerk.admitted(0, to=both).slot for _ in range(2)] == [1, 2]
    assert clerk.ask(1000, to=both[:1]) == Full(NOW + 60_000, frees=False)


@pytest.mark.parametrize(
    ("mine", "limit", "frees"),
    [
        (tokens(100, 60), 100, True),  # what the one in flight holds stands in the way
        (tokens(100, 101), 100, False),  # it can never fit
    ],
)
def test_whether_the_end_of_others_makes_room(clerk: Clerk, mine: Demand, limit: int, frees: bool) -> None:
    clerk.admitted(0, to=[Candidate(1, -1, 0, (tokens(limit, 60),))])
    assert clerk.ask(0, to=[Candidate(1, -1, 0, (mine,))]) == Full(None, frees)


def test_a_place_that_is_taken_becomes_free_although_a_limit_beside_it_does_not(clerk: Clerk) -> None:
    full = Demand("requests of 2", How.COUNT, 0)
    clerk.admitted(0, to=[Candidate(1, 1)])
    assert clerk.ask(0, to=[Candidate(2, -1, 0, (full,))]) == Full(None, frees=False)
    assert clerk.ask(0, to=[Candidate(2, -1, 0, (full,)), Candidate(1, 1)]) == Full(None, frees=True)


def test_as_much_as_is_wanted_is_reserved_if_there_is_room(clerk: Clerk) -> None:
    assert clerk.admitted(0, tokens(100, 10, 70)).granted == [70]
    assert clerk.admitted(0, tokens(100, 10, 70)).granted == [30]
    refusal = clerk.refused(0, tokens(100, 10, 70))
    assert (refusal.used, refusal.held) == (100, 100)


def test_settling_gives_back_what_was_not_used(clerk: Clerk) -> None:
    ticket = clerk.admitted(0, tokens(100, 100))
    for _ in range(2):
        clerk.counters.settle(NOW + 1000, ticket.id, used(30))
    clerk.refused(1000, tokens(100, 71))
    clerk.admitted(1000, tokens(100, 70))


def test_more_than_was_reserved_counts_in_full(clerk: Clerk) -> None:
    clerk.counters.settle(NOW, clerk.admitted(0, tokens(100, 10)).id, used(500))
    assert clerk.refused(1000, tokens(100, 1)).resets_at == NOW + 60_000


def test_a_request_that_was_never_sent_is_not_counted(clerk: Clerk) -> None:
    for _ in range(5):
        ticket = clerk.admitted(0, requests(1), tokens(100, 60))
        clerk.counters.settle(NOW, ticket.id, Settlement(sent=False))


def test_what_only_requests_in_flight_hold_has_no_time_of_reset(clerk: Clerk) -> None:
    clerk.admitted(0, tokens(100, 100))
    assert clerk.refused(0, tokens(100, 1)).resets_at is None


def day(number: int, limit: int = 10, least: int = 1, reset: int = 0) -> Demand:
    start = NOW + number * 1000
    epoch = max(start, NOW + reset if reset else 0)
    return Demand("day", How.TOKENS, limit, least, least, 0, epoch, start + 1000, start + 2000)


def test_a_new_day_begins_at_nothing(clerk: Clerk) -> None:
    clerk.counters.settle(NOW + 1, clerk.admitted(1, day(0)).id, used(10))
    assert clerk.refused(999, day(0)).resets_at == NOW + 1000
    clerk.admitted(1000, day(1))


def test_midnight_comes_for_a_worker_whose_clock_is_slow(clerk: Clerk) -> None:
    clerk.counters.settle(NOW + 1, clerk.admitted(1, day(0)).id, used(10))
    clerk.admitted(1000, day(0))
    clerk.admitted(1000, day(1, limit=2))
    clerk.refused(1000, day(0, limit=2))


def test_a_hold_of_yesterday_does_not_touch_today(clerk: Clerk) -> None:
    late = clerk.admitted(999, day(0, least=8))
    clerk.admitted(1000, day(1, least=10))
    clerk.counters.settle(NOW + 1001, late.id, used(8))
    refusal = clerk.refused(1001, day(1))
    assert (refusal.used, refusal.held) == (10, 10)


def test_a_reset_begins_anew_and_in_flight_requests_stay_in_the_past(clerk: Clerk) -> None:
    before = clerk.admitted(1, day(0, least=10))
    clerk.admitted(500, day(0, least=10, reset=400))
    clerk.counters.settle(NOW + 501, before.id, used(10))
    assert clerk.refused(502, day(0, reset=400)).used == 10


def test_a_total_never_resets(clerk: Clerk) -> None:
    clerk.admitted(0, requests(1, window=0))
    assert clerk.refused(10**12, requests(1, window=0)).resets_at is None


def test_shadow_never_refuses_and_counts_as_if_it_had(clerk: Clerk) -> None:
    told = [clerk.admitted(0, requests(2, shadow=True)).granted for _ in range(4)]
    assert told == [[1], [1], [-1], [-1]]
    assert clerk.refused(0, requests(2)).used == 2


def test_a_slot_is_moved_or_given_up(clerk: Clerk) -> None:
    ticket, counters = clerk.admitted(0, to=[Candidate(1, 1)]), clerk.counters
    assert counters.move(NOW, ticket.id, [Candidate(2, 1)], Settlement()) == 2
    assert (counters.in_flight(1), counters.in_flight(2)) == (0, 1)
    assert counters.move(NOW, ticket.id, [Candidate(3, 0)], Settlement()) == 0
    counters.settle(NOW, ticket.id, Settlement())
    assert [counters.in_flight(id) for id in (1, 2, 3)] == [0, 0, 0]


def test_a_deployment_that_was_never_asked_counts_no_request(clerk: Clerk) -> None:
    def of(id: int) -> Candidate:
        return Candidate(id, demands=(Demand(f"requests of {id}", How.COUNT, 9),))

    ticket, counters = clerk.admitted(0, requests(9), to=[of(1)]), clerk.counters
    counters.move(NOW, ticket.id, [of(2)], Settlement())
    counters.settle(NOW, ticket.id, Settlement(slot_sent=False))
    assert counters.peek(NOW, [requests(9), *of(1).demands, *of(2).demands]) == [1, 1, 0]


def test_a_clock_that_goes_back_frees_nothing(clerk: Clerk) -> None:
    clerk.admitted(100_000, requests(1))
    clerk.refused(0, requests(1))
    clerk.refused(159_999, requests(1))


def test_a_new_end_user_counts_once(clerk: Clerk) -> None:
    def names(who: str) -> Demand:
        return Demand("names", How.MEMBER, 2, seeded=True, member=who)

    assert clerk.ask(0, names("alice")) == Unseeded(("names",))
    clerk.counters.seed(NOW, [Seed("names", 0, members=("", "alice"))])
    for who in ("alice", "bob", "bob", "alice"):
        clerk.admitted(0, names(who))
    assert clerk.refused(0, names("carol")).used == 2


def test_a_dead_workers_requests_are_charged_at_the_estimate_and_corrected_later(clerk: Clerk) -> None:
    counters = clerk.counters
    for worker in ("anna", "ben"):
        counters.heartbeat(NOW, worker, 30_000)
    ticket = clerk.admitted(0, tokens(100, 80), to=[Candidate(1, 1)], lost=25)
    for second in (10, 20, 30):
        counters.heartbeat(NOW + second * 1000, "ben", 30_000)
    assert counters.in_flight(1) == 0
    assert counters.peek(NOW + 30_000, [tokens(100, 1)]) == [25]
    for _ in range(2):
        counters.settle(NOW + 31_000, ticket.id, used(70))
    assert counters.peek(NOW + 31_000, [tokens(100, 1)]) == [70]


def test_a_silence_of_all_is_nobodys_death(clerk: Clerk) -> None:
    for worker in ("anna", "ben"):
        clerk.counters.heartbeat(NOW, worker, 30_000)
    clerk.admitted(0, to=[Candidate(1, 1)])
    assert clerk.counters.heartbeat(NOW + 60_000, "ben", 30_000) == 2
    assert clerk.counters.in_flight(1) == 1


def total(limit: int) -> Demand:
    return Demand("total", How.TOKENS, limit, seeded=True)


def test_the_ledger_raises_a_counter_and_lowers_only_a_quiet_one(clerk: Clerk) -> None:
    counters = clerk.counters
    counters.seed(NOW, [Seed("total", 0, 5)])
    counters.correct(NOW, [Seed("total", 0, 9)])
    assert counters.correct(NOW, [Seed("total", 0, 7)]) == ["total"]
    assert counters.peek(NOW, [total(100)]) == [9]
    assert counters.correct(NOW + 10_000, [Seed("total", 0, 7)]) == []
    assert counters.peek(NOW + 10_000, [total(100)]) == [7]


def test_the_ledger_tells_a_counter_that_knows_nothing_of_its_past(clerk: Clerk) -> None:
    assert clerk.ask(0, total(100)) == Unseeded(("total",))
    assert clerk.counters.correct(NOW, [Seed("total", 0, 7)]) == ["total"]
    assert clerk.counters.peek(NOW, [total(100)]) == [7]


HOUR = 3_600_000


def ever(limit: int = 9, *, epoch: int = 0) -> Demand:
    return Demand("ever", How.COUNT, limit, epoch=epoch, seeded=True)


@pytest.fixture
def seeded(clerk: Clerk) -> Clerk:
    clerk.counters.seed(NOW, [Seed(name, 0, 5) for name in ("ever", "ever of 1", "ever of 2")])
    return clerk


def corrected(clerk: Clerk, at: int, demand: Demand, to: int) -> int:
    """What a counter has when the ledger has said what it knows."""
    clerk.counters.correct(NOW + at, [Seed(demand.counter, demand.epoch, to)])
    told = clerk.counters.peek(NOW + at, [demand])
    assert not isinstance(told, Unseeded)
    return told[0]


def test_requests_are_lowered_to_their_rows_once_none_is_in_flight(seeded: Clerk) -> None:
    first, second = seeded.admitted(0, ever()), seeded.admitted(0, ever())
    assert corrected(seeded, HOUR, ever(), 0) == 7
    seeded.counters.settle(NOW + HOUR, first.id, used(1))
    assert corrected(seeded, 2 * HOUR, ever(), 0) == 7
    seeded.counters.settle(NOW + 2 * HOUR, second.id, used(1))
    assert corrected(seeded, 2 * HOUR + 9_999, ever(), 2) == 7
    assert corrected(seeded, 2 * HOUR + 10_000, ever(), 2) == 2


def test_requests_are_not_lowered_while_rows_wait(seeded: Clerk) -> None:
    seeded.counters.correct(NOW + HOUR, [Seed("ever", 0, 2)], behind=10_000)
    assert seeded.counters.peek(NOW + HOUR, [ever()]) == [5]
    assert corrected(seeded, HOUR, ever(), 2) == 2


def test_a_request_that_moved_is_in_flight_where_it_is_now(seeded: Clerk) -> None:
    def own(id: int) -> Demand:
        return Demand(f"ever of {id}", How.COUNT, 9, seeded=True)

    ticket = seeded.admitted(0, to=[Candidate(1, demands=(own(1),))])
    seeded.counters.move(NOW, ticket.id, [Candidate(2, demands=(own(2),))], Settlement())
    assert [corrected(seeded, HOUR, own(id), 1) for id in (1, 2)] == [1, 6]


def test_a_request_that_was_never_sent_is_not_in_flight(seeded: Clerk) -> None:
    seeded.counters.settle(NOW, seeded.admitted(0, ever()).id, Settlement(sent=False))
    assert corrected(seeded, HOUR, ever(), 3) == 3


def test_a_dead_workers_requests_are_not_in_flight(seeded: Clerk) -> None:
    counters = seeded.counters
    for worker in ("anna", "ben"):
        counters.heartbeat(NOW, worker, 30_000)
    seeded.admitted(0, ever())
    for second in (10, 20, 30):
        assert corrected(seeded, second * 1000, ever(), 0) == 6
        counters.heartbeat(NOW + second * 1000, "ben", 30_000)
    assert corrected(seeded, 39_999, ever(), 1) == 6
    assert corrected(seeded, 40_000, ever(), 1) == 1


def test_requests_in_flight_since_before_a_reset_are_of_the_past(seeded: Clerk) -> None:
    before, now = seeded.admitted(0, ever()), ever(epoch=NOW + 1)
    seeded.counters.settle(NOW + 1, seeded.admitted(1, now).id, used(1))
    assert corrected(seeded, HOUR, now, 0) == 0
    seeded.admitted(HOUR, now)
    seeded.counters.settle(NOW + HOUR, before.id, used(1))
    assert corrected(seeded, 2 * HOUR, now, 0) == 1


def test_counters_that_nobody_used_for_a_day_are_forgotten(clerk: Clerk) -> None:
    for number in range(4096):
        clerk.admitted(number, Demand(f"rolling:{number}", How.COUNT, 1, window=1000))
    clerk.admitted(0, Demand("parallel", How.HOLD, 1))
    for number in range(4096):
        clerk.admitted(2 * 86_400_000 + number)
    assert len(clerk.counters._counters) == 1
    assert clerk.refused(2 * 86_400_000, Demand("parallel", How.HOLD, 1)).held == 1


async def test_the_state_of_one_process_asks_the_ledger_once() -> None:
    state, asked = MemoryState(), []

    async def ledger(counters: object) -> list[Seed]:
        asked.append(counters)
        return [Seed("total", 0, 3)]

    told = [await state.admit(Ask([total(5)], ANY, ledger)) for _ in range(3)]
    assert [type(each) for each in told] == [Ticket, Ticket, Refusal]
    assert asked == [("total",)]
