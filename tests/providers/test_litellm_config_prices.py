"""Prices in a config.yml: of the deployment whose entry has them, exactly as written."""

from decimal import Decimal

import pytest

from providers.prices import Charges
from tests.providers.litellm_files import config_of, entry, models, refusal_of, verdict_on

LOCAL = "api_base: 'http://10.0.0.1:8000/v1', api_key: none"


def charges_of(params: str, more: str = "") -> Charges:
    [price] = config_of(models(entry(f"model: openai/m, {LOCAL}, {params}", more=more))).prices
    return price.charges


def test_costs_per_token_become_a_price_of_the_deployment() -> None:
    text = models(
        entry(f"model: openai/m, {LOCAL}, input_cost_per_token: 1.5e-07, output_cost_per_token: 6e-7")
    )
    config = config_of(text)
    [price] = config.prices
    assert price.deployment == config.deployments[0].name
    assert (price.charges.input, price.charges.output) == (Decimal("0.15"), Decimal("0.6"))
    assert verdict_on(config, "input_cost_per_token").verdict == "applied"
    assert config.deployments[0].default_params == {}


def test_they_may_stand_under_model_info_and_are_no_note_then() -> None:
    more = ", model_info: {input_cost_per_token: 0.000001, cache_read_input_token_cost: 1.0e-7, team: x}"
    config = config_of(models(entry(f"model: openai/m, {LOCAL}", more=more)))
    assert config.prices[0].charges == Charges(Decimal(1), cached_input=Decimal("0.1"))
    assert config.models[0].info == {"team": "x"}


def test_litellm_params_win_over_model_info() -> None:
    params, more = "input_cost_per_token: 0.000001", ", model_info: {input_cost_per_token: 0.000009}"
    assert charges_of(params, more).input == 1
    config = config_of(models(entry(f"model: openai/m, {LOCAL}, {params}", more=more)))
    assert verdict_on(config, "model_info.input_cost_per_token").verdict == "inert"


def test_long_prompts_requests_and_images_have_their_prices() -> None:
    charges = charges_of(
        "input_cost_per_token: 0.000001, input_cost_per_token_above_200k_tokens: 0.000002, "
        "input_cost_per_request: 0.01, output_cost_per_image: 0.04"
    )
    assert charges.tiers == ((200_000, {"input": Decimal(2)}),)
    assert (charges.per_request, charges.per_image) == (Decimal("0.01"), Decimal("0.04"))


def test_sound_has_its_prices() -> None:
    charges = charges_of("input_cost_per_second: 0.0001, input_cost_per_character: 1.5e-05")
    assert (charges.per_second, charges.per_character) == (Decimal("0.0001"), Decimal("0.000015"))
    heard = charges_of("output_cost_per_second: 0.0001", ", model_info: {mode: audio_transcription}")
    assert heard.per_second == Decimal("0.0001")


@pytest.mark.parametrize(
    ("key", "mode"),
    [
        ("input_cost_per_second", "chat"),  # there it is of the time that a machine works
        ("input_cost_per_character", "chat"),
        ("output_cost_per_second", "audio_speech"),  # nobody tells how long the made sound is
    ],
)
def test_what_means_something_else_for_such_models_says_so(key: str, mode: str) -> None:
    more = f", model_info: {{mode: {mode}}}"
    config = config_of(models(entry(f"model: openai/m, {LOCAL}, {key}: 1", more=more)))
    assert verdict_on(config, key).verdict == "unsupported"
    assert f"models of mode {mode}" in verdict_on(config, key).note
    assert config.prices == ()


def test_an_entry_without_costs_has_no_price_and_one_of_zero_is_free() -> None:
    assert config_of(models(entry(f"model: openai/m, {LOCAL}"))).prices == ()
    assert charges_of("input_cost_per_token: 0, output_cost_per_token: 0") == Charges()


@pytest.mark.parametrize("key", ["output_cost_per_second", "input_cost_per_tokn", "tiered_pricing"])
def test_costs_that_are_not_read_say_so(key: str) -> None:
    config = config_of(models(entry(f"model: openai/m, {LOCAL}, {key}: 1")))
    assert verdict_on(config, key).verdict == "unsupported"
    assert (config.prices, config.deployments[0].default_params) == ((), {})


def test_a_misspelt_cost_is_told_the_right_name() -> None:
    config = config_of(models(entry(f"model: openai/m, {LOCAL}, input_cost_per_tokn: 1")))
    assert "did you mean input_cost_per_token?" in verdict_on(config, "tokn").note


def test_a_reference_is_no_price() -> None:
    config = config_of(models(entry(f"model: openai/m, {LOCAL}, input_cost_per_token: os.environ/A_API_KEY")))
    assert verdict_on(config, "input_cost_per_token").verdict == "unsupported"
    assert config.prices == ()


@pytest.mark.parametrize("value", ["-1", "free", "true", "[1]", "'1e9'"])
def test_what_is_no_price_is_refused_with_its_place(value: str) -> None:
    text = models(entry(f"model: openai/m, {LOCAL}, input_cost_per_token: {value}"))
    assert refusal_of(text).startswith("config.yml:2: model_list[0].litellm_params.input_cost_per_token: ")
