"""A cost is exactly what decimal arithmetic says, rounded half up once, and never negative."""

from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.prices import Charges, PriceList, charges_of, in_effect
from usage.pricing import UNPRICED, Used, cost, rated
from usage.records import MOST_NANO

COUNTS = st.integers(-(10**6), 10**12)
DOLLARS = st.decimals(0, 10**5, places=9)
PART = st.none() | DOLLARS
NAMES = ("input", "output", "cached_input", "cache_write", "reasoning", "audio_input", "audio_output")


@st.composite
def charges(draw: st.DrawFn) -> Charges:
    tier = st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, DOLLARS))
    aboves = draw(st.lists(st.integers(1, 10**9), max_size=3, unique=True))
    return Charges(
        input=draw(DOLLARS),
        output=draw(DOLLARS),
        cached_input=draw(PART),
        cache_write=draw(PART),
        reasoning=draw(PART),
        audio_input=draw(PART),
        audio_output=draw(PART),
        per_request=draw(DOLLARS),
        per_image=draw(DOLLARS),
        per_second=draw(DOLLARS),
        per_character=draw(DOLLARS),
        tiers=tuple((above, draw(tier)) for above in sorted(aboves)),
    )


USED = st.builds(Used, *[COUNTS] * 10)


def exactly(asked: Charges, used: Used, *, answered: bool) -> int:
    """The cost as a person works it out: each token is of one kind, each kind has one price."""
    rates = {name: getattr(asked, name) for name in NAMES}
    for above, dear in asked.tiers:
        if used.prompt > above:
            rates = {name: getattr(asked, name) for name in NAMES} | dict(dear)
    total = Decimal(0)
    prompt_details = [
        (used.cached, "cached_input"),
        (used.cache_write, "cache_write"),
        (used.audio_input, "audio_input"),
    ]
    completion_details = [(used.reasoning, "reasoning"), (used.audio_output, "audio_output")]
    for whole, plain, details in (
        (used.prompt, "input", prompt_details),
        (used.completion, "output", completion_details),
    ):
        left = max(0, whole)
        for tokens, name in details:
            if rates[name] is not None:
                part = min(max(0, tokens), left)
                total += part * rates[name] / 10**6
                left -= part
        total += left * rates[plain] / 10**6
    total += asked.per_request * answered + asked.per_image * max(0, used.images)
    total += asked.per_second * max(0, used.seconds) + asked.per_character * max(0, used.characters)
    return int((total * 10**9).quantize(Decimal(1), ROUND_HALF_UP))


@given(charges(), USED, st.booleans())
def test_a_cost_is_exactly_the_decimal_one(asked: Charges, used: Used, answered: bool) -> None:
    assert cost(asked.price_list(1, 0), used, answered=answered) == exactly(asked, used, answered=answered)


@given(charges(), USED)
def test_a_cost_is_never_negative(asked: Charges, used: Used) -> None:
    assert cost(asked.price_list(1, 0), used) >= 0


@given(charges(), st.integers(0, 10**9), st.integers(0, 10**9), USED)
def test_details_split_the_tokens_and_add_none(
    asked: Charges, prompt: int, completion: int, details: Used
) -> None:
    flat = Charges(**dict.fromkeys(NAMES, asked.input))  # type: ignore[arg-type]
    used = replace(details, prompt=prompt, completion=completion, images=0, seconds=0, characters=0)
    plain = Used(prompt, completion)
    assert cost(flat.price_list(1, 0), used) == cost(flat.price_list(1, 0), plain)


@given(charges(), USED, st.text(max_size=9), st.none() | st.integers(0, 600))
def test_rating_the_same_twice_gives_the_same(
    asked: Charges, used: Used, status: str, http_status: int | None
) -> None:
    prices = [asked.price_list(7, 0)]
    first = rated(prices, 5, used, status=status, http_status=http_status)
    assert first == rated(prices, 5, used, status=status, http_status=http_status)
    assert 0 <= first.cost_nano <= MOST_NANO


def listed(**amounts: str) -> PriceList:
    return charges_of({name: Decimal(value) for name, value in amounts.items()}).price_list(3, 1000)


def test_a_price_of_a_small_fraction_loses_nothing() -> None:
    assert cost(listed(input="0.0375"), Used(prompt=1)) == 38  # 37.5, half up
    assert cost(listed(input="0.0375"), Used(prompt=2)) == 75
    assert cost(listed(input="0.15"), Used(prompt=1)) == 150


def test_cached_and_reasoning_tokens_have_their_own_price() -> None:
    price = listed(input="2", output="8", cached_input="0.5", reasoning="10")
    assert cost(price, Used(prompt=1000, completion=100, cached=400, reasoning=60)) == 1_400_000 + 920_000


def test_what_has_no_price_of_its_own_is_charged_as_its_whole() -> None:
    used = Used(prompt=10, completion=10, cached=4, cache_write=4, reasoning=9, audio_input=1, audio_output=9)
    assert cost(listed(input="1", output="3"), used) == 40_000


def test_a_free_detail_is_free() -> None:
    assert cost(listed(input="1", cached_input="0"), Used(prompt=10, cached=10)) == 0


def test_details_that_claim_more_than_the_whole_are_cut() -> None:
    price = listed(input="1", cached_input="2", cache_write="4")
    assert cost(price, Used(prompt=10, cached=8, cache_write=8)) == 16_000 + 8_000


def test_a_long_prompt_raises_the_price_of_the_whole_request() -> None:
    asked = Charges(Decimal(1), Decimal(2), tiers=((200, {"input": Decimal(3), "output": Decimal(4)}),))
    assert cost(asked.price_list(1, 0), Used(200, 10)) == 220_000
    assert cost(asked.price_list(1, 0), Used(201, 10)) == 643_000


@pytest.mark.parametrize(
    ("status", "http_status", "nano"),
    [
        ("ok", 200, 5_000_000),
        ("cancelled", 200, 5_000_000),
        ("cancelled", None, 0),
        ("failed", 500, 0),
        ("failed", 200, 0),
        ("failed", None, 0),
        ("interrupted", None, 0),
    ],
)
def test_a_request_is_charged_where_the_provider_answered(
    status: str, http_status: int | None, nano: int
) -> None:
    found = rated([listed(per_request="0.005")], 2000, Used(), status=status, http_status=http_status)
    assert (found.cost_nano, found.priced) == (nano, True)


@pytest.mark.parametrize("status", ["refused", "cached"])
def test_what_no_provider_was_asked_for_is_not_priced(status: str) -> None:
    assert rated([listed(input="1")], 2000, Used(5), status=status, http_status=None) == UNPRICED


def test_before_its_first_price_nothing_is_priced() -> None:
    assert rated([listed(input="1")], 999, Used(5), status="ok", http_status=200) == UNPRICED
    assert rated([listed(input="1")], 1000, Used(5), status="ok", http_status=200).price_id == 3
    assert in_effect([], 10**15) is None


def test_an_absurd_cost_is_clipped_to_what_the_ledger_holds() -> None:
    assert (
        rated([listed(input="99999")], 2000, Used(10**12), status="ok", http_status=200).cost_nano
        == MOST_NANO
    )
