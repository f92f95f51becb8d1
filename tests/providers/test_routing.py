"""Shares are exact, strategies go before them, and the retry rule says what each status means."""

from collections import Counter
from collections.abc import Callable, Collection
from math import inf

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from providers.prices import PriceList, Rates
from providers.retries import Next, after_status
from providers.routing import (
    Allowance,
    Share,
    by_cost,
    by_latency,
    by_load,
    by_use,
    order,
    payment,
    settle_credits,
)
from providers.signals import Load

type Picker = Callable[[list[int]], int]


class Rounds:
    """Steps of the round robin one after the other, and who was asked."""

    def __init__(self, *shares: Share) -> None:
        self.shares = shares
        self.credits: dict[int, int] = {}
        self.asked: Counter[int] = Counter()

    def step(self, passed_over: Collection[int] = (), full: Collection[int] = ()) -> int:
        ranked = order(self.shares, self.credits, passed_over)
        chosen = next(id for id in ranked if id not in full)
        paid = payment(self.shares, passed_over, chosen)
        self.credits = settle_credits(self.shares, self.credits, paid)
        self.asked[chosen] += 1
        return chosen


def weighted(*weights: int) -> Rounds:
    return Rounds(*(Share(id, 0, weight) for id, weight in enumerate(weights, 1)))


def test_one_to_two_is_exact_over_3000_requests() -> None:
    rounds = weighted(1, 2)
    for _ in range(3000):
        rounds.step()
    assert rounds.asked == {1: 1000, 2: 2000}


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=6))
def test_a_whole_cycle_is_proportional_to_the_weights(weights: list[int]) -> None:
    rounds = weighted(*weights)
    for _ in range(sum(weights)):
        rounds.step()
    assert [rounds.asked[id] for id in range(1, len(weights) + 1)] == weights
    assert set(rounds.credits.values()) == {0}


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60))
def test_two_deployments_are_never_one_request_off(one: int, two: int) -> None:
    rounds, total = weighted(one, two), one + two
    for steps in range(1, total + 1):
        rounds.step()
        assert abs(steps * one - rounds.asked[1] * total) < total


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 100), min_size=3, max_size=8))
def test_many_deployments_are_less_than_two_requests_off(weights: list[int]) -> None:
    rounds, total = weighted(*weights), sum(weights)
    for steps in range(1, total + 1):
        rounds.step()
        ahead = [rounds.asked[id] - steps * weight / total for id, weight in enumerate(weights, 1)]
        assert max(ahead) < 1
        assert min(ahead) > -2


def test_smooth_means_no_bursts() -> None:
    rounds = weighted(5, 1, 1)
    assert [rounds.step() for _ in range(7)] == [1, 1, 2, 1, 3, 1, 1]


def test_one_that_was_full_for_a_while_catches_up_to_its_exact_share() -> None:
    rounds = weighted(1, 2)
    for step in range(3000):
        rounds.step(full={2} if step % 100 < 3 else ())
    assert rounds.asked == {1: 1000, 2: 2000}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([0, 1, 2]), min_size=30, max_size=30), st.integers(1, 9), st.integers(1, 9))
def test_short_overflows_leave_the_shares_exact(full: list[int], one: int, two: int) -> None:
    rounds = weighted(one, two)
    for blocked in full[:3]:
        rounds.step(full={blocked})
    for _ in range(50 * (one + two) - 3):
        rounds.step()
    assert rounds.asked == {1: 50 * one, 2: 50 * two}


def test_what_is_saved_while_full_is_bounded() -> None:
    rounds = weighted(1, 1)
    for _ in range(1000):
        rounds.step(full={1})
    later = [rounds.step() for _ in range(40)]
    assert later[:20].count(1) < 20
    assert later[20:].count(1) == 10


def test_a_lower_tier_is_asked_only_when_the_upper_one_is_out() -> None:
    rounds = Rounds(Share(1, 0, 1), Share(2, 1, 5))
    assert {rounds.step() for _ in range(20)} == {1}
    assert rounds.step(full={1}) == 2
    assert rounds.step(passed_over={1}) == 2


def test_shares_of_a_lower_tier_are_exact_though_it_is_asked_seldom() -> None:
    rounds = Rounds(Share(1, 0, 3), Share(2, 1, 1), Share(3, 1, 2))
    for step in range(3000):
        rounds.step(full={1} if step % 10 == 0 else ())
    assert rounds.asked == {1: 2700, 2: 100, 3: 200}


def test_standby_is_last_in_its_tier_and_asked_when_the_others_are_out() -> None:
    shares = (Share(1, 0, 0), Share(2, 0, 1), Share(3, 1, 9))
    assert order(shares, {}, ()) == [2, 1, 3]
    rounds = Rounds(*shares)
    assert {rounds.step() for _ in range(10)} == {2}
    assert rounds.step(full={2}) == 1


def test_nobody_is_asked_who_is_passed_over() -> None:
    assert order((Share(1, 0, 1), Share(2, 0, 1)), {}, {1, 2}) == []
    assert order((), {}, ()) == []


@pytest.mark.parametrize(
    ("meaning", "statuses"),
    [
        (Next.FINAL, [400, 402, 405, 413, 415, 422, 451]),
        (Next.RETRY, [408, 409, 429, 500, 501, 502, 503, 504, 520, 529, 599]),
        (Next.MISCONFIGURED, [301, 302, 307, 308, 401, 403, 404]),
    ],
)
def test_each_status_has_its_meaning(meaning: Next, statuses: list[int]) -> None:
    assert {after_status(status) for status in statuses} == {meaning}


# --- strategies --------------------------------------------------------------------------------

SHARES = st.lists(
    st.builds(Share, st.integers(1, 8), st.integers(0, 2), st.integers(0, 5)),
    max_size=8,
    unique_by=lambda share: share.id,
)
SCORES = st.fixed_dictionaries({id: st.sampled_from([0.0, 1.0, 2.5, inf]) for id in range(1, 9)})


@seed(5)
@settings(max_examples=300, deadline=None)
@given(SHARES, SCORES, st.sets(st.integers(1, 8)), st.dictionaries(st.integers(1, 8), st.integers(-9, 9)))
def test_any_strategy_goes_by_tier_then_standby_then_score(
    shares: list[Share], scores: dict[int, float], out: set[int], credits: dict[int, int]
) -> None:
    ranked = order(shares, credits, out, scores)
    assert order(shares, credits, out, scores) == ranked
    assert sorted(ranked) == sorted(share.id for share in shares if share.id not in out)
    by_id = {share.id: share for share in shares}
    places = [(by_id[id].priority, by_id[id].weight == 0, scores[id]) for id in ranked]
    assert places == sorted(places)


@seed(5)
@settings(max_examples=100, deadline=None)
@given(SHARES.filter(bool), SCORES)
def test_shares_among_equals_stay_exact_whatever_the_others_score(
    shares: list[Share], scores: dict[int, float]
) -> None:
    best = shares[0].priority, scores[shares[0].id]
    equals = [s for s in shares if (s.priority, scores[s.id]) == best and s.weight]
    others = {share.id for share in shares} - {share.id for share in equals}
    asked: Counter[int] = Counter()
    credits: dict[int, int] = {}
    for _ in range(sum(share.weight for share in equals)):
        chosen = next(id for id in order(shares, credits, (), scores) if id not in others)
        credits = settle_credits(shares, credits, payment(shares, (), chosen, scores))
        asked[chosen] += 1
    assert asked == {share.id: share.weight for share in equals}


ONE, TWO, THREE = Share(1, 0, 1), Share(2, 0, 1), Share(3, 0, 4)


def test_least_busy_counts_what_is_in_flight_for_the_weight() -> None:
    loads = {1: Load(in_flight=2), 2: Load(in_flight=1), 3: Load(in_flight=3)}
    assert order((ONE, TWO, THREE), {}, (), by_load((ONE, TWO, THREE), loads)) == [3, 2, 1]


def test_latency_counts_those_who_wait_already() -> None:
    loads = {1: Load(latency=0.1, waiting=4), 2: Load(latency=0.3), 3: Load(latency=0.6)}
    assert order((ONE, TWO, THREE), {}, (), by_latency((ONE, TWO, THREE), loads)) == [2, 1, 3]


def test_one_that_nothing_is_known_of_is_tried_by_one_request() -> None:
    loads = {1: Load(latency=0.1), 2: Load()}
    assert order((ONE, TWO), {}, (), by_latency((ONE, TWO), loads)) == [2, 1]
    loads[2] = Load(in_flight=1, waiting=1)
    assert order((ONE, TWO), {}, (), by_latency((ONE, TWO), loads)) == [1, 2]


def test_cost_asks_the_cheapest_of_now_and_those_without_a_price_last() -> None:
    cheap, dear = PriceList(1, Rates(10, 20)), PriceList(2, Rates(5, 100))
    dearer_from_7 = PriceList(3, Rates(200, 200), effective_from=7)
    prices: dict[int, list[PriceList]] = {1: [], 2: [cheap, dearer_from_7], 3: [dear]}
    shares = (ONE, TWO, THREE)
    assert order(shares, {}, (), by_cost(shares, prices, 6)) == [2, 3, 1]
    assert order(shares, {}, (), by_cost(shares, prices, 7)) == [3, 2, 1]


def test_cost_counts_what_a_request_costs_by_itself() -> None:
    # a thousand tokens each way for $0.002, against nothing but $0.003 a request
    prices = {1: [PriceList(1, Rates(), per_request=3_000_000)], 2: [PriceList(2, Rates(10**9, 10**9))]}
    assert order((ONE, TWO), {}, (), by_cost((ONE, TWO), prices, 0)) == [2, 1]


def test_usage_looks_at_the_limit_that_is_used_most() -> None:
    allowed = {1: Allowance(requests=10, tokens=1000), 2: Allowance(requests=10)}
    loads = {1: Load(requests=1, tokens=900), 2: Load(requests=5), 3: Load(requests=99)}
    assert by_use((ONE, TWO, THREE), allowed, loads) == {1: 0.9, 2: 0.5, 3: 0.0}


def test_a_limit_of_nothing_has_no_room() -> None:
    assert by_use((ONE,), {1: Allowance(tokens=0)}, {1: Load()}) == {1: 1.0}
