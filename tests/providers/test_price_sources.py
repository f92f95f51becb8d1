"""What is read of public price lists: LiteLLM's file, and the data of genai-prices."""

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pytest
from genai_prices.data import providers as listed
from genai_prices.types import (
    ConditionalPrice,
    ModelPrice,
    StartDateConstraint,
    Tier,
    TieredPrices,
    TimeOfDateConstraint,
)
from hypothesis import given
from hypothesis import strategies as st

from providers.dialects import KINDS
from providers.price_sources import (
    BadPriceFile,
    genai_provider,
    listed_charges,
    read_costs,
    read_price_file,
    written_costs,
)
from providers.prices import EACH_FIELDS, TOKEN_FIELDS, Charges, charges_of

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def price_of(entry: str, name: str = "gpt-4o") -> Charges:
    [charges] = read_price_file(f'{{"{name}": {{"litellm_provider": "openai", {entry}}}}}').charges.values()
    return charges


def test_costs_keep_every_digit_of_the_file() -> None:
    charges = price_of('"input_cost_per_token": 1.5e-07, "output_cost_per_token": 6.00000000000001e-07')
    assert (charges.input, charges.output) == (Decimal("0.15"), Decimal("0.6"))
    assert price_of('"input_cost_per_token": 0.000000000000123').input == Decimal("0.000000123")


def test_every_kind_of_cost_has_its_place() -> None:
    costs = {
        "input_cost_per_token": 1e-6,
        "output_cost_per_token": 2e-6,
        "cache_read_input_token_cost": 3e-6,
        "cache_creation_input_token_cost": 4e-6,
        "output_cost_per_reasoning_token": 5e-6,
        "input_cost_per_audio_token": 6e-6,
        "output_cost_per_audio_token": 7e-6,
        "input_cost_per_request": 8,
        "output_cost_per_image": 9,
        "input_cost_per_second": 10,
        "input_cost_per_character": 11,
    }
    amounts = [Decimal(number) for number in range(1, 12)]
    assert read_costs(costs) == charges_of(dict(zip((*TOKEN_FIELDS, *EACH_FIELDS), amounts, strict=True)))


def test_sound_is_read_where_the_name_means_it() -> None:
    whisper = (
        '"mode": "audio_transcription", "input_cost_per_second": 0.0001, "output_cost_per_second": 0.0001'
    )
    assert price_of(whisper).per_second == Decimal("0.0001")
    speech = price_of('"mode": "audio_speech", "input_cost_per_character": 1.5e-05')
    assert speech.per_character == Decimal("0.000015")


def test_tiers_are_read_from_the_names() -> None:
    charges = price_of(
        '"input_cost_per_token": 1e-6, "input_cost_per_token_above_200k_tokens": 2e-6, '
        '"output_cost_per_token_above_200k_tokens": 3e-6, '
        '"cache_read_input_token_cost_above_128k_tokens": 1e-7'
    )
    assert charges.tiers == (
        (128_000, {"cached_input": Decimal("0.1")}),
        (200_000, {"input": Decimal(2), "output": Decimal(3)}),
    )


def test_keys_that_are_not_read_are_counted() -> None:
    entry = {"litellm_provider": "openai", "input_cost_per_token": 1, "max_tokens": 5, "mode": "chat"}
    odd = {"input_cost_per_token_batches": 1, "output_cost_per_second": 1}
    text = json.dumps(
        {"a": entry | odd | {"input_cost_per_token": 0}, "b": odd | {"litellm_provider": "groq"}}
    )
    read = read_price_file(text)
    assert read.ignored == {"input_cost_per_token_batches": 2, "output_cost_per_second": 2}
    assert read.skipped == {"without a price that is read": 1}


@pytest.mark.parametrize(
    ("name", "provider", "subject"),
    [
        ("gpt-4o", '"openai"', ("openai", "gpt-4o")),
        ("openai/gpt-4o", '"openai"', ("openai", "gpt-4o")),
        ("groq/llama-3", '"groq"', ("groq", "llama-3")),
        ("fireworks_ai/accounts/f/m", '"fireworks_ai"', ("fireworks_ai", "accounts/f/m")),
        ("groq/llama-3", "null", ("groq", "llama-3")),
        ("my-model", "null", ("openai", "my-model")),
    ],
)
def test_an_entry_is_of_a_kind_and_its_model(name: str, provider: str, subject: tuple[str, str]) -> None:
    text = f'{{"{name}": {{"litellm_provider": {provider}, "input_cost_per_token": 1e-6}}}}'
    assert list(read_price_file(text).charges) == [subject]


def test_what_is_not_served_and_the_example_are_skipped() -> None:
    text = '{"sample_spec": {"input_cost_per_token": "float"}, "x": {"litellm_provider": "bedrock"}}'
    read = read_price_file(text)
    assert (dict(read.charges), read.skipped) == ({}, {"of a provider that is not served": 1})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        "null",
        '{"a": 1}',
        '{"a": {"input_cost_per_token": -1}}',
        '{"a": {"input_cost_per_token": NaN}}',
        '{"a": {"input_cost_per_token": "free"}}',
        '{"a": {"input_cost_per_token": [1]}}',
        "[" * 100_000,
        '{"a": ' + "9" * 5000 + "}",
    ],
)
def test_a_file_that_is_no_price_list_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(BadPriceFile) as refused:
        read_price_file(text)
    assert "\n" not in str(refused.value)


AMOUNT = st.decimals(0, 9999, places=9)


@given(st.dictionaries(st.sampled_from([*TOKEN_FIELDS, *EACH_FIELDS]), AMOUNT))
def test_written_costs_are_read_back(amounts: dict[str, Decimal]) -> None:
    charges = charges_of(amounts, ((200_000, {"input": Decimal("1.25")}),))
    assert read_costs(written_costs(charges)) == charges


# --- genai-prices ------------------------------------------------------------------------------


@dataclass
class Info:
    prices: Any


def test_prices_with_tiers_become_charges() -> None:
    price = ModelPrice(
        input_mtok=TieredPrices(Decimal("2.5"), [Tier(start=272_000, price=Decimal(5))]),
        output_mtok=Decimal(15),
        cache_read_mtok=Decimal("0.25"),
        requests_kcount=Decimal(5),
    )
    found = listed_charges(Info(price), NOW)
    assert found is not None
    assert found.charges == Charges(
        Decimal("2.5"),
        Decimal(15),
        cached_input=Decimal("0.25"),
        per_request=Decimal("0.005"),
        tiers=((272_000, {"input": Decimal(5)}),),
    )


def conditional(*pairs: tuple[Any, int]) -> Info:
    return Info([ConditionalPrice(when, prices=ModelPrice(input_mtok=Decimal(each))) for when, each in pairs])


def test_the_price_of_the_day_is_taken() -> None:
    past, coming = (StartDateConstraint(date(year, 1, 1)) for year in (2026, 2027))
    found = listed_charges(conditional((None, 1), (past, 2), (coming, 3)), NOW)
    assert found is not None
    assert (found.charges.input, found.notes) == (Decimal(2), "")


def test_of_prices_by_the_hour_the_dearest_is_taken_and_told() -> None:
    night = TimeOfDateConstraint(time(0, tzinfo=UTC), time(8, tzinfo=UTC))
    found = listed_charges(conditional((None, 9), (night, 1)), NOW)
    assert found is not None
    assert (found.charges.input, "time of day" in found.notes) == (Decimal(9), True)


def test_a_model_without_a_price_that_is_read_is_none() -> None:
    assert listed_charges(Info(ModelPrice(input_mchars=Decimal(1))), NOW) is None


def test_the_package_can_be_read_whole_and_knows_the_names_used_for_it() -> None:
    ids = {provider.id for provider in listed}
    assert {name for kind in KINDS if (name := genai_provider(kind))} <= ids
    found = [listed_charges(model, NOW) for provider in listed for model in provider.models]
    assert sum(charges is not None for charges in found) > 1000
