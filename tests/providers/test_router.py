"""The order in which deployments are asked, with shares, health and pauses together."""

import time

import pytest

from providers.router import Router
from providers.routing import Passed, Share
from providers.snapshot import ServedModel


def model(*weights: int) -> ServedModel:
    shares = tuple(Share(id, 0, weight) for id, weight in enumerate(weights, 1))
    return ServedModel("llm", False, 0, None, {}, shares)


def asked(router: Router, served: ServedModel, times: int) -> list[int]:
    found = []
    for _ in range(times):
        order = router.order(served)
        router.expect(served, order)
        router.took(served, order, order.ids[0])
        found.append(order.ids[0])
    return found


def test_shares_are_exact() -> None:
    router = Router()
    assert sorted(asked(router, model(1, 2), 30)) == [1] * 10 + [2] * 20


def test_what_was_tried_is_not_asked_again() -> None:
    assert Router().order(model(1, 1, 1), {2}).ids == [1, 3]


def test_what_is_gone_since_the_request_came_is_not_asked() -> None:
    order = Router().order(model(1, 1, 1), {2}, left_out=dict.fromkeys((2, 3), Passed.GONE))
    assert order.ids == [1]
    assert order.passed == {2: Passed.TRIED, 3: Passed.GONE}


def test_an_ejected_one_is_left_out() -> None:
    router, served = Router(), model(1, 1)
    for _ in range(5):
        router.health.failed(1, time.monotonic())
    assert router.order(served).ids == [2]
    assert router.order(served, {2}).ids == [1]  # the last one is asked all the same


def test_one_that_asked_for_a_pause_is_not_asked_even_when_it_is_the_last() -> None:
    router, served = Router(), model(1, 1)
    router.health.rest(1, time.monotonic() + 60)
    assert router.order(served).ids == [2]
    order = router.order(served, {2})
    assert order.ids == []
    assert order.rests_for == pytest.approx(60, abs=5)


def test_the_shortest_pause_is_told() -> None:
    router = Router()
    for id, seconds in ((1, 60), (2, 30)):
        router.health.rest(id, time.monotonic() + seconds)
    assert router.order(model(1, 1)).rests_for == pytest.approx(30, abs=5)


def test_a_recovered_one_gets_a_small_share_first() -> None:
    router, served = Router(), model(1, 1)
    for _ in range(5):
        router.health.failed(1, time.monotonic() - 60)
    router.health.asked(1)
    router.health.succeeded(1, time.monotonic())
    assert 5 <= asked(router, served, 100).count(1) <= 30
