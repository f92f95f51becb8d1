"""How each strategy shares requests, with health, pauses and what was tried before."""

import time
from collections import Counter
from collections.abc import Sequence

import pytest

from providers.connection import Destination
from providers.prices import PriceList, Rates
from providers.router import Router
from providers.routing import Allowance, Share, Strategy
from providers.signals import Signals
from providers.snapshot import ServedModel, Target

type Prices = tuple[PriceList, ...]


def target(share: Share, prices: Prices) -> Target:
    where = Destination("https", "llm.example", 443)
    return Target(
        share.id, str(share.id), "Acme", "llm", where, "", (), share, None, 60.0, 60.0, {}, frozenset(), "",
        prices,
    )  # fmt: skip


def model(strategy: Strategy, *weights: int, prices: Sequence[Prices] = ()) -> ServedModel:
    shares = tuple(Share(id, 0, weight) for id, weight in enumerate(weights, 1))
    costs = prices or [()] * len(shares)
    targets = {each.id: target(each, cost) for each, cost in zip(shares, costs, strict=True)}
    return ServedModel("llm", False, 0, None, targets, shares, strategy)


def told(router: Router, served: ServedModel) -> Signals:
    signals = router.signals(served)
    assert signals is not None
    return signals


def ask(router: Router, served: ServedModel, times: int) -> Counter[int]:
    """Open so many requests that do not end."""
    found: Counter[int] = Counter()
    for _ in range(times):
        order = router.order(served)
        router.expect(served, order)
        told(router, served).asked(order.ids[0], time.monotonic())
        found[order.ids[0]] += 1
    return found


def test_nothing_is_watched_where_nothing_is_looked_at() -> None:
    assert Router().signals(model(Strategy.WEIGHTED, 1)) is None
    assert Router().signals(model(Strategy.COST, 1)) is None


def test_least_busy_fills_up_by_weight() -> None:
    assert ask(Router(), model(Strategy.LEAST_BUSY, 1, 3), 40) == {1: 10, 2: 30}


def test_least_busy_leaves_alone_who_does_not_come_to_an_end() -> None:
    router, served = Router(), model(Strategy.LEAST_BUSY, 1, 1)
    ask(router, served, 2)
    told(router, served).ended(2, time.monotonic(), waiting=True)
    assert [router.order(served).ids for _ in range(3)] == [[2, 1]] * 3


def test_latency_asks_the_fast_one_and_never_floods_one_that_is_unknown() -> None:
    router, served = Router(), model(Strategy.LATENCY, 1, 1, 1)
    signals, now = told(router, served), time.monotonic()
    for id, seconds in ((1, 3.0), (2, 0.1)):
        signals.asked(id, now)
        signals.first_token(id, seconds, now)
    asked = ask(router, served, 6)
    assert asked == {2: 5, 3: 1}


def test_usage_asks_who_has_most_room_and_ends_even() -> None:
    router, served = Router(), model(Strategy.USAGE, 1, 1)
    allowed = {1: Allowance(requests=100), 2: Allowance(requests=300)}
    found: Counter[int] = Counter()
    for _ in range(200):
        order = router.order(served, (), allowed)
        told(router, served).asked(order.ids[0], time.monotonic())
        found[order.ids[0]] += 1
    assert found == {1: 50, 2: 150}


def test_without_limits_usage_goes_by_weight() -> None:
    assert ask(Router(), model(Strategy.USAGE, 1, 2), 30) == {1: 10, 2: 20}


@pytest.mark.parametrize("strategy", Strategy)
def test_what_is_ejected_rests_or_was_tried_is_left_out_of_any_strategy(strategy: Strategy) -> None:
    router, served = Router(), model(strategy, 1, 1, 1, 1)
    for _ in range(5):
        router.health.failed(1, time.monotonic())
    router.health.rest(2, time.monotonic() + 60)
    assert router.order(served, {3}).ids == [4]


def test_cost_goes_by_the_prices_of_this_moment_and_equals_by_weight() -> None:
    dear, cheap = (PriceList(1, Rates(9, 9)),), (PriceList(2, Rates(1, 1)),)
    served = model(Strategy.COST, 1, 1, 2, prices=[dear, cheap, cheap])
    router, found = Router(), Counter[int]()
    for _ in range(30):
        order = router.order(served)
        assert order.ids[-1] == 1
        router.expect(served, order)
        found[order.ids[0]] += 1
    assert found == {2: 10, 3: 20}


@pytest.mark.parametrize("strategy", [Strategy.COST, Strategy.LATENCY, Strategy.USAGE])
def test_the_best_one_gets_a_small_part_only_soon_after_it_recovered(strategy: Strategy) -> None:
    cheap, dear = ((PriceList(number, Rates(number, number)),) for number in (1, 2))
    router, served = Router(), model(strategy, 1, 1, prices=[cheap, dear])
    now = time.monotonic()
    for _ in range(5):
        router.health.failed(1, now - 60)
    router.health.asked(1)
    router.health.succeeded(1, now)
    asked: Counter[int] = Counter()
    for _ in range(100):
        if signals := router.signals(served):  # the other one is slower, and has used more
            signals.asked(2, now)
            signals.first_token(2, 1.0, now)
            signals.ended(2, now, waiting=False, tokens=9)
        order = router.order(served, (), {1: Allowance(tokens=10**6), 2: Allowance(tokens=10**6)})
        router.expect(served, order)
        asked[order.ids[0]] += 1
    assert 5 <= asked[1] <= 30
    assert asked[1] + asked[2] == 100


def test_a_turn_that_its_deployment_could_not_take_is_not_lost() -> None:
    router, served = Router(), model(Strategy.COST, 1, 1, prices=[(PriceList(1, Rates(1, 1)),), ()])
    now = time.monotonic()
    for _ in range(5):
        router.health.failed(1, now - 60)
    router.health.asked(1)
    router.health.succeeded(1, now)
    for _ in range(40):
        order = router.order(served)
        router.expect(served, order)
        router.took(served, order, 2)  # the first one is full
        if order.ids[0] == 1:
            break
    assert router.order(served).ids[0] == 1
