"""What a request may use: what is reserved, and the cap that keeps an answer within it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.calls import Beside
from gateway.estimates import (
    DEFAULT_OUTPUT,
    MOST_OF_PICTURE,
    TOKENS_OF_SECOND,
    Estimate,
    Tariff,
    need,
    output_cap,
    tariff,
)
from keys.limits import Need
from providers.prices import PER, PriceList, Rates, Tier
from providers.state import How

HELLO = Estimate(prompt=20, cap=None, choices=1, most_output=None)
CHEAP = PriceList(1, Rates(input=1_000_000, output=4_000_000))


@pytest.mark.parametrize(
    ("estimate", "least", "want"),
    [
        (Estimate(20, 100, 1, None), 120, 120),
        (Estimate(20, 100, 3, None), 320, 320),
        (Estimate(20, 100, 1, 50), 70, 70),
        (Estimate(20, None, 1, None), 21, 20 + DEFAULT_OUTPUT),
        (Estimate(20, None, 3, None), 23, 20 + 3 * DEFAULT_OUTPUT),
        (Estimate(20, None, 2, 50), 22, 120),
    ],
)
def test_tokens_are_the_prompt_and_the_output(estimate: Estimate, least: int, want: int) -> None:
    assert need(estimate) == Need(least, want)


def test_cost_is_that_of_the_dearest_deployment() -> None:
    estimate = Estimate(20, 100, 1, None)
    tariffs = [Tariff(20 * 5, 7), Tariff(20 * 9 * PER, 3 * PER)]
    assert need(estimate, tariffs)[2:] == (20 * 9 + 100 * 3, 20 * 9 + 100 * 3)


def test_a_cost_is_rounded_up_so_that_nothing_is_free() -> None:
    assert Tariff(1, 0).cost(0) == 1


def test_without_a_price_a_request_costs_nothing_that_is_known() -> None:
    assert tariff((), 0, 20) is None


def test_the_price_that_holds_now_and_for_so_long_a_prompt_counts() -> None:
    long = PriceList(
        2, Rates(1, 1), (Tier(1000, Rates(input=3, output=5, cache_write=4)),), effective_from=50
    )
    prices = (CHEAP, long)
    assert tariff(prices, 49, 2000) == Tariff(2000 * 1_000_000, 4_000_000)
    assert tariff(prices, 50, 2000) == Tariff(2000 * 4, 5)
    assert tariff(prices, 50, 1000) == Tariff(1000, 1)


def test_reasoning_that_is_dearer_than_answers_counts_as_such() -> None:
    assert tariff((PriceList(1, Rates(output=2, reasoning=9)),), 0, 0) == Tariff(0, 9)


def test_what_no_tokens_count_is_paid_before_at_most() -> None:
    asked = Beside(pictures=2, characters=30, seconds=1, most_seconds=16)
    sound = PriceList(1, Rates(), per_image=5, per_second=7, per_character=11)
    assert tariff((sound,), 0, 0, asked) == Tariff((2 * 5 + 30 * 11 + 16 * 7) * PER, 0)
    by_tokens = PriceList(1, Rates(input=3, audio_input=9, output=2))
    heard, drawn = TOKENS_OF_SECOND * 16 * 9, MOST_OF_PICTURE * 2 * 2
    assert tariff((by_tokens,), 0, 0, asked) == Tariff(heard + drawn, 2)


def test_the_cap_is_what_the_tightest_grant_leaves() -> None:
    grants = [(How.COUNT, 1), (How.TOKENS, 500), (How.TOKENS, 100)]
    assert output_cap(grants, HELLO) == 80


def test_a_grant_of_money_caps_by_the_dearest_answer() -> None:
    tariffs = [Tariff(0, PER), Tariff(10 * PER, 2 * PER)]
    assert output_cap([(How.COST, 110)], HELLO, tariffs) == 50


def test_the_clients_own_cap_is_left_alone() -> None:
    assert output_cap([(How.TOKENS, 100)], Estimate(20, 50, 1, None)) is None


@pytest.mark.parametrize("grants", [[], [(How.COUNT, 1)], [(How.HOLD, 1)]])
def test_where_neither_tokens_nor_money_are_limited_nothing_is_capped(grants: list[tuple[How, int]]) -> None:
    assert output_cap(grants, HELLO) is None


@pytest.mark.parametrize(
    ("cap", "choices", "likely"),
    [(None, 1, 300), (None, 2, 300), (100, 1, 100), (100, 2, 200), (1000, 1, 300)],
)
def test_what_is_likely_is_what_such_answers_have_but_never_more_than_allowed(
    cap: int | None, choices: int, likely: int
) -> None:
    assert Estimate(20, cap, choices, None, foreseen=300).likely_output == likely


@given(
    prompt=st.integers(0, 9000),
    choices=st.integers(1, 9),
    most=st.one_of(st.none(), st.integers(1, 9000)),
    left=st.integers(0, 10**9),
    rates=st.lists(st.tuples(st.integers(0, 10**10), st.integers(1, 10**8)), min_size=1, max_size=3),
)
def test_prompt_and_answers_always_fit_in_what_was_granted(
    prompt: int, choices: int, most: int | None, left: int, rates: list[tuple[int, int]]
) -> None:
    estimate = Estimate(prompt, None, choices, most)
    tariffs = [Tariff(base, rate) for base, rate in rates]
    asked = need(estimate, tariffs)
    if left < max(asked.least_tokens, asked.least_cost):
        return  # it is not admitted
    tokens, cost = min(asked.want_tokens, left), min(asked.want_cost, left)
    cap = output_cap([(How.TOKENS, tokens), (How.COST, cost)], estimate, tariffs)
    assert cap is not None
    assert cap >= 1
    assert prompt + choices * cap <= tokens
    assert all(each.cost(choices * cap) <= cost for each in tariffs)
