"""Budgets and limits of a config.yml: what each becomes, and what is said where it cannot be kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.specs import LARGEST
from providers.litellm_budgets import dollars_of, in_dollars
from providers.litellm_records import Config, LimitRecord
from providers.litellm_values import LARGEST_AMOUNT
from providers.litellm_yaml import load
from tests.providers.litellm_files import config_of, entry, models, refusal_of, verdict_on

HOST = "api_base: 'http://10.0.0.1/v1', api_key: EMPTY"
LOCAL = f"model: openai/m, {HOST}"
PRICED = f"{LOCAL}, input_cost_per_token: 0.000001, output_cost_per_token: 0.000002"
NAME = "llm/openai-10.0.0.1"
DOLLAR = 10**9
WINDOWS = {
    "1s": "second",
    "1m": "minute",
    "60s": "minute",
    "1h": "hour",
    "60m": "hour",
    "3600s": "hour",
    "1d": "day",
    "24h": "day",
    "7d": "week",
    "1w": "week",
    "168h": "week",
    "30d": "month",
    "31d": "month",
    "1mo": "month",
    "daily": "day",
    "Monthly": "month",
}


def deployed(params: str) -> Config:
    return config_of(models(entry(params)))


def settled(settings: str, *entries: str) -> Config:
    return config_of(f"litellm_settings: {{{settings}}}\n" + (models(*entries) if entries else ""))


def general(settings: str, *entries: str) -> Config:
    return config_of(f"general_settings: {{{settings}}}\n" + (models(*entries) if entries else ""))


def test_the_most_that_a_file_may_say_is_the_most_that_a_limit_holds() -> None:
    assert LARGEST_AMOUNT == LARGEST


def test_rpm_and_tpm_are_limits_of_their_deployment() -> None:
    config = deployed(f"{LOCAL}, rpm: 60, tpm: '4000'")
    assert config.limits == (
        LimitRecord("requests", 60, "minute", deployment=NAME),
        LimitRecord("tokens", 4000, "minute", deployment=NAME),
    )
    for key in (".rpm", ".tpm"):
        assert verdict_on(config, key).verdict == "changed"
        assert "only a weight in LiteLLM" in verdict_on(config, key).note
    assert "at most 60 requests per minute" in verdict_on(config, ".rpm").note


def test_rpm_of_several_entries_limits_each_and_shares_among_them() -> None:
    config = config_of(models(*(entry(f"model: openai/m{rpm}, {HOST}, rpm: {rpm}") for rpm in (600, 900))))
    assert [row.weight for row in config.deployments] == [2, 3]
    assert [(limit.deployment, limit.amount) for limit in config.limits] == [
        (row.name, amount) for row, amount in zip(config.deployments, (600, 900), strict=True)
    ]
    assert "sets the share too (weight 3)" in verdict_on(config, "[1].litellm_params.rpm").note


def test_a_limit_of_nothing_is_a_warning() -> None:
    config = config_of(models(entry(f"model: openai/a, {HOST}, rpm: 0"), entry(f"{LOCAL}, rpm: 4")))
    verdict = verdict_on(config, "[0].litellm_params.rpm")
    assert (verdict.verdict, config.limits[0].amount) == ("warning", 0)
    assert "lets nothing through" in verdict.note


@pytest.mark.parametrize(("duration", "window"), WINDOWS.items())
def test_a_duration_as_long_as_a_window_is_that_window(duration: str, window: str) -> None:
    config = deployed(f"{PRICED}, max_budget: 12.5, budget_duration: {duration}")
    assert config.limits == (LimitRecord("cost", 12_500_000_000, window, deployment=NAME),)
    assert verdict_on(config, "max_budget").verdict == "applied"
    assert verdict_on(config, "max_budget").note == f"at most $12.5 per {window} of this deployment"
    calendar = "of the calendar, in UTC" if window in ("day", "week", "month") else "rolling"
    assert verdict_on(config, "budget_duration").verdict == "changed"
    assert calendar in verdict_on(config, "budget_duration").note


@pytest.mark.parametrize(
    ("duration", "nearest"),
    [
        ("14d", "write 7d (week) or 1mo (month)"),
        ("90s", "write 1m (minute) or 1h (hour)"),
        ("2mo", "write 1mo (month)"),
        ("12h", "write 1h (hour) or 1d (day)"),
    ],
)
@pytest.mark.parametrize("place", ["deployment", "everyone"])
def test_a_budget_of_another_duration_is_not_applied_in_another_window(
    place: str, duration: str, nearest: str
) -> None:
    said = f"max_budget: 5, budget_duration: {duration}"
    config = deployed(f"{PRICED}, {said}") if place == "deployment" else settled(said)
    assert config.limits == ()
    for key in ("max_budget", "budget_duration"):
        assert verdict_on(config, key).verdict == "unsupported"
        assert nearest in verdict_on(config, key).note


def test_a_budget_of_a_deployment_without_a_duration_is_a_total_that_litellm_lacks() -> None:
    config = deployed(f"{PRICED}, max_budget: 5")
    assert config.limits == (LimitRecord("cost", 5 * DOLLAR, "total", deployment=NAME),)
    verdict = verdict_on(config, "max_budget")
    assert verdict.verdict == "changed"
    assert "LiteLLM does nothing without budget_duration" in verdict.note


def test_a_duration_without_a_budget_does_nothing() -> None:
    config = deployed(f"{LOCAL}, budget_duration: 14d")
    assert config.limits == ()
    assert verdict_on(config, "budget_duration").verdict == "inert"


def test_an_empty_duration_is_none() -> None:
    config = settled("max_budget: 5, budget_duration: ")
    assert config.limits == (LimitRecord("cost", 5 * DOLLAR, "total"),)
    assert verdict_on(config, "budget_duration").verdict == "inert"


@pytest.mark.parametrize(
    ("params", "unread"),
    [
        ("rpm: os.environ/A_API_KEY", ["rpm"]),
        ("max_budget: os.environ/A_API_KEY, budget_duration: 1d", ["max_budget", "budget_duration"]),
        ("max_budget: 5, budget_duration: os.environ/A_API_KEY", ["max_budget", "budget_duration"]),
    ],
)
def test_references_are_no_limits(params: str, unread: list[str]) -> None:
    config = deployed(f"{LOCAL}, {params}")
    assert config.limits == ()
    assert [verdict_on(config, key).verdict for key in unread] == ["unsupported"] * len(unread)


def test_the_budget_of_litellm_settings_is_everyones() -> None:
    config = settled("max_budget: 100, budget_duration: 30d, set_verbose: true")
    assert config.limits == (LimitRecord("cost", 100 * DOLLAR, "month"),)
    assert verdict_on(config, "litellm_settings").verdict == "applied"
    assert verdict_on(config, "max_budget").note == "at most $100 per month of all requests together"
    assert verdict_on(config, "set_verbose").verdict == "unsupported"


def test_settings_of_which_nothing_is_applied_stay_unsupported() -> None:
    assert verdict_on(settled("set_verbose: true"), "litellm_settings").verdict == "unsupported"


def test_a_budget_of_zero_is_none_in_litellm_and_here() -> None:
    config = settled("max_budget: 0, budget_duration: 30d")
    assert config.limits == ()
    assert verdict_on(config, "max_budget").verdict == "inert"
    assert verdict_on(config, "budget_duration").verdict == "inert"


def test_the_budget_of_end_users_is_for_each_of_them_in_total() -> None:
    config = settled("max_end_user_budget: 0.002, max_budget: 5, budget_duration: 1d")
    assert config.limits == (
        LimitRecord("cost", 5 * DOLLAR, "day"),
        LimitRecord("cost", 2_000_000, "total", each_end_user=True),
    )
    verdict = verdict_on(config, "max_end_user_budget")
    assert (verdict.verdict, verdict.note) == (
        "applied",
        "at most $0.002 in total for each end user without a limit of cost of their own",
    )


def test_a_key_takes_a_budget_beside_its_other_limits() -> None:
    limits = "{max_cost: 0.25, max_tokens: 7, window: day}"
    config = general(f"usage_limits: {{sk-alice-0123456789: [{limits}, {{max_cost: 3, window: total}}]}}")
    key = config.keys[0].name
    assert config.limits == (
        LimitRecord("tokens", 7, "day", key=key),
        LimitRecord("cost", 250_000_000, "day", key=key),
        LimitRecord("cost", 3 * DOLLAR, "total", key=key),
    )
    assert verdict_on(config, "[0].max_cost").verdict == "changed"
    assert verdict_on(config, "[0].max_cost").note == "at most $0.25 per day"


def test_of_two_budgets_of_one_window_the_smaller_holds() -> None:
    config = general("usage_limits: {sk-alice-0123456789: [{max_cost: 2}, {max_cost: 1.5}]}")
    assert [limit.amount for limit in config.limits] == [1_500_000_000]
    assert verdict_on(config, "[1].max_cost").verdict == "warning"


def test_a_default_of_parallel_requests_holds_for_entries_without_their_own() -> None:
    config = general(
        "max_parallel_requests: 7", entry(LOCAL), entry(f"{LOCAL}, max_parallel_requests: 2", "b")
    )
    assert [row.max_parallel_requests for row in config.deployments] == [7, 2]
    assert verdict_on(config, "general_settings.max_parallel_requests").verdict == "changed"
    assert config.limits == ()


def test_parallel_requests_of_everyone_are_a_limit() -> None:
    config = general("global_max_parallel_requests: 20")
    assert config.limits == (LimitRecord("parallel", 20, ""),)
    verdict = verdict_on(config, "global_max_parallel_requests")
    assert verdict.verdict == "changed"
    assert "at most 20 parallel requests, counted over all workers" in verdict.note


def test_a_header_for_end_users_is_trusted_from_the_keys_of_the_file_only() -> None:
    config = general(
        "user_header_name: X-OpenWebUI-User-Email, master_key: sk-a-long-and-random-master-key, "
        "usage_limits: {sk-alice-0123456789: {max_tokens: 7}}"
    )
    assert [key.end_user_header for key in config.keys] == ["X-OpenWebUI-User-Email"] * 2
    verdict = verdict_on(config, "user_header_name")
    assert verdict.verdict == "changed"
    assert "trusted from the keys that this file defines, and from no other" in verdict.note


def test_a_header_without_a_key_to_trust_is_not_taken() -> None:
    assert verdict_on(general("user_header_name: X-User"), "user_header_name").verdict == "unsupported"


def test_an_empty_header_is_none() -> None:
    config = general("user_header_name: '', master_key: sk-a-long-and-random-master-key")
    assert config.keys[0].end_user_header == ""
    assert verdict_on(config, "user_header_name").verdict == "inert"


def test_a_budget_of_a_deployment_without_a_price_is_a_warning_with_the_way_out() -> None:
    verdict = verdict_on(deployed(f"{LOCAL}, max_budget: 5, budget_duration: 1d"), "max_budget")
    assert verdict.verdict == "warning"
    assert verdict.note.startswith("at most $5 per day of this deployment; ")
    assert "import_prices or sync_prices" in verdict.note


def test_one_budget_of_all_deployments_says_how_many_have_no_price() -> None:
    limits = "general_settings: {usage_limits: {sk-a: {max_cost: 1}, sk-b: {max_cost: 1}}}\n"
    settings = "litellm_settings: {max_budget: 5, max_end_user_budget: 1}\n"
    found = config_of(
        limits + settings + models(entry(LOCAL), entry(PRICED, "b"), entry(f"model: openai/x, {HOST}"))
    )
    warned = [v.path for v in found.verdicts if "2 of 3 deployments have no price" in v.note]
    assert warned == ["litellm_settings.max_budget"]
    keyed = config_of(limits + models(entry(LOCAL)))
    warned = [v.path for v in keyed.verdicts if v.verdict == "warning" and "no price" in v.note]
    assert warned == ["general_settings.usage_limits.sk-a.max_cost"]


@pytest.mark.parametrize("entries", [[], [entry(PRICED)]])
def test_nothing_is_said_of_prices_where_none_is_known_to_be_missing(entries: list[str]) -> None:
    assert verdict_on(settled("max_budget: 5", *entries), "max_budget").verdict == "applied"


@pytest.mark.parametrize("value", ["-1", "ten", ".nan", ".inf", "true", "[1]", "'nan'", "1e400", "4000001"])
@pytest.mark.parametrize(
    ("file", "key"),
    [
        (
            models(entry(f"{LOCAL}, max_budget: VALUE")),
            "config.yml:2: model_list[0].litellm_params.max_budget:",
        ),
        ("litellm_settings:\n  max_budget: VALUE", "config.yml:2: litellm_settings.max_budget:"),
        (
            "litellm_settings:\n  max_end_user_budget: VALUE",
            "config.yml:2: litellm_settings.max_end_user_budget:",
        ),
        (
            "general_settings:\n  usage_limits:\n    sk-alice: {max_cost: VALUE}",
            "config.yml:3: general_settings.usage_limits.sk-…",
        ),
    ],
)
def test_what_is_no_amount_of_money_is_refused_with_its_place(file: str, key: str, value: str) -> None:
    assert refusal_of(file.replace("VALUE", value)).startswith(key)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (models(entry(f"{LOCAL}, rpm: 1.5")), "litellm_params.rpm: a whole number from 0"),
        (models(entry(f"{LOCAL}, tpm: -5")), "litellm_params.tpm: a number from 0"),
        (models(entry(f"{LOCAL}, max_budget: 0.00000000015")), "at most 9 decimals of a dollar"),
        (models(entry(f"{LOCAL}, max_budget: '1.{'0' * 40}1'")), "at most 9 decimals of a dollar"),
        (models(entry(f"{LOCAL}, max_budget: '1e-400000000'")), "at most 9 decimals of a dollar"),
        (models(entry(f"{LOCAL}, max_budget: 1, budget_duration: soon")), "a duration such as 1h"),
        (models(entry(f"{LOCAL}, max_budget: 1, budget_duration: 0d")), "a duration such as 1h"),
        (models(entry(f"{LOCAL}, max_budget: 1, budget_duration: 30")), "budget_duration: text in quotes"),
        ("general_settings: {max_parallel_requests: 0}", "a number from 1 on"),
        ("general_settings: {global_max_parallel_requests: many}", "a number is expected"),
        ("general_settings: {user_header_name: 'X User'}", "user_header_name: the name of a header"),
        ("general_settings: {user_header_name: Authorization}", "carries a secret"),
        ("litellm_settings: [max_budget]", "litellm_settings: a mapping is expected"),
    ],
)
def test_what_is_no_limit_is_refused_with_its_key(text: str, message: str) -> None:
    assert message in refusal_of(text)


@given(st.integers(0, LARGEST_AMOUNT))
def test_dollars_are_read_as_they_are_told_to_the_nano_dollar(nano: int) -> None:
    told = in_dollars(nano).removeprefix("$")
    for text in (told, f"'{told}'"):
        assert dollars_of(load(f"a: {text}", "config.yml").children()[0]) == nano
