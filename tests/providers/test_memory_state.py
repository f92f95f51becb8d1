"""Limits and slots of one process, against a plain model that remembers everything."""

from copy import deepcopy

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from providers.state import Candidate, Demand, Full, How, Refusal, Ticket
from providers.state.memory import BUCKETS, MemoryState

ANY = [Candidate(1, None)]


def requests(limit: int, window: float = 60.0, shadow: bool = False) -> Demand:
    return Demand("requests", limit, 1, 1, How.COUNT, window, shadow=shadow)


def tokens(limit: int, least: int, want: int | None = None, window: float = 60.0) -> Demand:
    return Demand("tokens", limit, least, want or least, How.RESERVE, window)


def admitted(state: MemoryState, now: float, *demands: Demand, at: list[Candidate] = ANY) -> Ticket:
    ticket = state.admit(now, demands, at)
    assert isinstance(ticket, Ticket)
    return ticket


def refused(state: MemoryState, now: float, *demands: Demand) -> Refusal:
    refusal = state.admit(now, demands, ANY)
    assert isinstance(refusal, Refusal)
    return refusal


class Ledger(RuleBasedStateMachine):
    """Random requests under four limits and two deployments; every answer is checked by hand."""

    @initialize(
        limits=st.tuples(*[st.integers(1, n) for n in (6, 60, 9, 300)]), window=st.sampled_from([1, 60])
    )
    def begin(self, limits: tuple[int, int, int, int], window: int) -> None:
        self.state = MemoryState()
        self.now = 1_700_000_000.0
        self.window = float(window)
        self.limits = dict(zip(["requests", "tokens", "parallel", "day"], limits, strict=True))
        self.spent: dict[str, list[tuple[float, int]]] = {name: [] for name in ["requests", "tokens"]}
        self.day: dict[str, int] = {}
        self.tickets: list[Ticket] = []

    def demands(self, least: int, extra: int) -> list[Demand]:
        day = f"day:{int(self.now // 7)}"
        limits, window = self.limits, self.window
        return [
            Demand("requests", limits["requests"], 1, 1, How.COUNT, window),
            Demand("tokens", limits["tokens"], least, least + extra, How.RESERVE, window),
            Demand("parallel", limits["parallel"], 1, 1, How.HOLD),
            Demand(day, limits["day"], least, least + extra, How.RESERVE, ends_at=(self.now // 7 + 1) * 7),
        ]

    def held(self, counter: str) -> int:
        open_ones = [ticket for ticket in self.tickets if counter in ticket.granted]
        if counter == "requests":
            return 0
        return sum(ticket.granted[counter] for ticket in open_ones)

    def used(self, counter: str, slack: float = 0.0) -> int:
        """Spent in the exact window that ends now (or in one longer by `slack`), and held."""
        if counter in self.spent:
            since = self.now - self.window - slack
            return self.held(counter) + sum(n for at, n in self.spent[counter] if at > since)
        return self.held(counter) + self.day.get(counter, 0)

    @rule(part=st.sampled_from([1 / 240, 1 / 100, 1 / 60, 1 / 7, 0.98, 59 / 60, 1.0]))
    def wait(self, part: float) -> None:
        self.now += part * self.window

    @rule(least=st.integers(1, 9), extra=st.integers(0, 9), slots=st.integers(0, 9))
    def ask(self, least: int, extra: int, slots: int) -> None:
        demands = self.demands(least, extra)
        before = [self.state.in_flight(id) for id in (1, 2)]
        candidates = [Candidate(1, slots), Candidate(2, 1)]
        match self.state.admit(self.now, demands, candidates):
            case Ticket() as ticket:
                for demand in demands:
                    granted = ticket.granted[demand.counter]
                    assert demand.least <= granted <= demand.want
                    assert self.used(demand.counter) + granted <= demand.limit
                self.spent["requests"].append((self.now, 1))
                self.tickets.append(ticket)
                assert self.state.in_flight(ticket.slot) == before[ticket.slot - 1] + 1
                assert before[ticket.slot - 1] < (slots if ticket.slot == 1 else 1)
            case Refusal() as refusal:
                demand = refusal.demand
                # buckets may hold what was spent for one width longer than the window, never shorter
                late = self.used(demand.counter, slack=self.window / BUCKETS)
                assert self.used(demand.counter) <= refusal.used <= late
                assert refusal.used + demand.least > demand.limit
                self.truthful(refusal)
            case Full():
                assert before[0] >= slots
                assert before[1] >= 1

    def truthful(self, refusal: Refusal) -> None:
        """If nothing else happens until the time it names, then this fits."""
        demand, at = refusal.demand, refusal.resets_at
        if at is None:
            assert demand.least > demand.limit or self.held(demand.counter) + demand.least > demand.limit
            return
        assert at > self.now
        if demand.window:
            assert isinstance(deepcopy(self.state).admit(at, [demand], ANY), Ticket)

    @precondition(lambda self: self.tickets)
    @rule(data=st.data(), share=st.floats(0, 1.5))
    def settle(self, data: st.DataObject, share: float) -> None:
        ticket = self.tickets.pop(data.draw(st.integers(0, len(self.tickets) - 1)))
        amounts = {name: int(granted * share) for name, granted in ticket.granted.items()}
        for _ in range(2):  # the second time changes nothing
            self.state.settle(self.now, ticket, amounts)
        self.spent["tokens"].append((self.now, amounts["tokens"]))
        (day,) = [name for name in amounts if name.startswith("day:")]
        self.day[day] = self.day.get(day, 0) + amounts[day]

    @precondition(lambda self: self.tickets)
    @rule(data=st.data(), slots=st.integers(0, 2))
    def move(self, data: st.DataObject, slots: int) -> None:
        ticket = data.draw(st.sampled_from(self.tickets))
        if not self.state.move(ticket, [Candidate(1, slots)]):
            assert ticket.slot == 0

    @invariant()
    def slots_in_flight_are_those_of_open_tickets(self) -> None:
        for id in (1, 2):
            assert self.state.in_flight(id) == sum(ticket.slot == id for ticket in self.tickets)

    @invariant()
    def sweeping_changes_nothing(self) -> None:
        self.state._admitted = 4095  # the next request sweeps

    def teardown(self) -> None:
        for ticket in self.tickets:
            self.state.settle(self.now, ticket, {})
        assert [self.state.in_flight(id) for id in (1, 2)] == [0, 0]
        assert {counter.held for counter in self.state._counters.values()} <= {0}


TestLedger = Ledger.TestCase
TestLedger.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)


def test_a_window_rolls() -> None:
    state = MemoryState()
    for second in (0, 10, 20):
        admitted(state, 1000.0 + second, requests(3))
    assert refused(state, 1030.0, requests(3)).resets_at == pytest.approx(1060.0)
    admitted(state, 1060.0, requests(3))
    assert refused(state, 1060.0, requests(3)).resets_at == pytest.approx(1070.0)


def test_what_was_counted_together_is_forgotten_together_and_not_before_its_last() -> None:
    state = MemoryState()
    admitted(state, 1000.0, requests(2))
    admitted(state, 1000.9, requests(2))
    assert refused(state, 1060.0, requests(2)).resets_at == pytest.approx(1060.9)
    admitted(state, 1060.9, requests(2))
    admitted(state, 1060.9, requests(2))


def test_a_refused_request_consumes_nothing() -> None:
    state = MemoryState()
    admitted(state, 1000.0, tokens(100, 60))
    for _ in range(50):
        refused(state, 1000.0, requests(1), tokens(100, 60))
    admitted(state, 1000.0, requests(1), tokens(100, 40))


def test_without_a_free_slot_nothing_is_consumed() -> None:
    state, one = MemoryState(), [Candidate(1, 1)]
    ticket = admitted(state, 1000.0, at=one)
    for _ in range(50):
        assert state.admit(1000.0, [requests(1), tokens(100, 100)], one) == Full()
    state.settle(1000.0, ticket, {})
    admitted(state, 1000.0, requests(1), tokens(100, 100), at=one)


def test_the_first_free_candidate_is_taken() -> None:
    state, both = MemoryState(), [Candidate(2, 1), Candidate(1, 2)]
    assert [admitted(state, 0.0, at=both).slot for _ in range(3)] == [2, 1, 1]
    assert state.admit(0.0, [], both) == Full()


def test_as_much_as_is_wanted_is_reserved_if_there_is_room() -> None:
    state = MemoryState()
    assert admitted(state, 0.0, tokens(100, 10, 70)).granted == {"tokens": 70}
    assert admitted(state, 0.0, tokens(100, 10, 70)).granted == {"tokens": 30}
    assert refused(state, 0.0, tokens(100, 10, 70)).used == 100


def test_settling_gives_back_what_was_not_used() -> None:
    state = MemoryState()
    ticket = admitted(state, 0.0, tokens(100, 100))
    state.settle(1.0, ticket, {"tokens": 30})
    state.settle(1.0, ticket, {"tokens": 30})
    refused(state, 1.0, tokens(100, 71))
    admitted(state, 1.0, tokens(100, 70))


def test_more_than_was_reserved_counts_in_full() -> None:
    state = MemoryState()
    state.settle(1000.0, admitted(state, 1000.0, tokens(100, 10)), {"tokens": 500})
    assert refused(state, 1001.0, tokens(100, 1)).resets_at == pytest.approx(1060.0)


def test_what_only_requests_in_flight_hold_has_no_time_of_reset() -> None:
    state = MemoryState()
    admitted(state, 0.0, tokens(100, 100))
    assert refused(state, 0.0, tokens(100, 1)).resets_at is None


def test_calendar_windows_begin_anew_with_their_name() -> None:
    state = MemoryState()
    monday = Demand("limit:1:monday", 1, 1, 1, How.COUNT, ends_at=500.0)
    admitted(state, 499.0, monday)
    assert refused(state, 499.0, monday).resets_at == 500.0
    admitted(state, 500.0, Demand("limit:1:tuesday", 1, 1, 1, How.COUNT, ends_at=900.0))


def test_a_total_never_resets() -> None:
    state = MemoryState()
    admitted(state, 0.0, requests(1, window=0.0))
    assert refused(state, 1e12, requests(1, window=0.0)).resets_at is None


def test_shadow_counts_and_never_refuses() -> None:
    state = MemoryState()
    told = [admitted(state, 1000.0, requests(2, shadow=True)).shadowed for _ in range(4)]
    assert told == [[], [], ["requests"], ["requests"]]
    assert refused(state, 1000.0, requests(4)).used == 4


def test_a_slot_is_moved_or_given_up() -> None:
    state = MemoryState()
    ticket = admitted(state, 0.0, at=[Candidate(1, 1)])
    assert state.move(ticket, [Candidate(2, 1)])
    assert (state.in_flight(1), state.in_flight(2)) == (0, 1)
    assert not state.move(ticket, [Candidate(3, 0)])
    state.settle(0.0, ticket, {})
    assert [state.in_flight(id) for id in (1, 2, 3)] == [0, 0, 0]


def test_a_clock_that_goes_back_frees_nothing() -> None:
    state = MemoryState()
    admitted(state, 1000.0, requests(1))
    refused(state, 900.0, requests(1))
    refused(state, 1059.0, requests(1))


def test_counters_that_no_longer_matter_are_swept() -> None:
    state = MemoryState()
    for number in range(3 * 4096):
        demands = [
            Demand(f"rolling:{number}", 1, 1, 1, How.COUNT, 1.0),
            Demand(f"day:{number}", 1, 1, 1, How.COUNT, ends_at=number + 1.0),
            Demand(f"parallel:{number}", 1, 1, 1, How.HOLD),
        ]
        state.settle(number, admitted(state, number, *demands), {})
    assert len(state._counters) < 4 * 4096


def test_a_total_and_what_is_in_flight_are_never_swept() -> None:
    state = MemoryState()
    total = Demand("total", 2, 1, 1, How.COUNT)
    admitted(state, 0.0, total, Demand("parallel", 1, 1, 1, How.HOLD), tokens(100, 60))
    for second in range(2 * 4096):
        admitted(state, float(second))
    assert refused(state, 9999.0, tokens(100, 60)).used == 60
    assert refused(state, 9999.0, Demand("parallel", 1, 1, 1, How.HOLD)).used == 1
    admitted(state, 9999.0, total)
    assert refused(state, 9999.0, total).used == 2
