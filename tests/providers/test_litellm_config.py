"""A config.yml becomes records, and what stands in the way says where."""

from pathlib import Path

import pytest

from tests.providers.litellm_files import config_of, entry, models, refusal_of, verdict_on

SHIPPED = Path(__file__).parents[2] / "config" / "config.yml"
LOCAL = "model: openai/m, api_base: 'http://10.0.0.1/v1', api_key: EMPTY"


def test_the_shipped_file_gives_one_model_and_two_deployments() -> None:
    config = config_of(SHIPPED.read_text(), {"NEBIUS_API_KEY": "nb-1"})
    assert [model.name for model in config.models] == ["llm"]
    first, second = config.deployments
    assert (first.name, first.weight, first.max_parallel_requests) == ("llm/openai-10.3.0.42-11434", 1, 10)
    assert (second.name, second.weight, second.max_parallel_requests) == ("llm/nebius", 2, 10)
    assert second.default_params == {"temperature": 0.2}
    assert (first.upstream_model, second.upstream_model) == ("gpt-oss:20b", "openai/gpt-oss-20b")
    assert config.providers[0].base_url == "http://10.3.0.42:11434/v1"
    assert (config.providers[0].secret, config.providers[0].secret_reference) == ("", "")
    assert config.providers[1].secret_reference == "NEBIUS_API_KEY"


def test_the_shipped_file_gives_the_master_key_its_limits() -> None:
    config = config_of(SHIPPED.read_text())
    (key,) = config.keys
    assert (key.name, key.text, key.is_admin) == ("master", "sk-litellm-admin", True)
    limits = {(limit.key, limit.metric, limit.amount, limit.window) for limit in config.limits}
    assert limits == {("master", "requests", 3, "minute"), ("master", "tokens", 1000, "minute")}


def test_the_published_master_key_is_a_loud_warning() -> None:
    verdict = verdict_on(config_of(SHIPPED.read_text()), "master_key")
    assert (verdict.line, verdict.verdict) == (23, "warning")
    assert "WEAK MASTER KEY" in verdict.note


def test_the_weight_of_the_shipped_file_stands_on_its_line() -> None:
    assert verdict_on(config_of(SHIPPED.read_text()), "[0].litellm_params.weight").line == 9


def test_drop_params_holds_for_entries_that_say_nothing() -> None:
    text = "general_settings: {drop_params: true}\n" + models(
        entry(LOCAL), entry(f"{LOCAL}, drop_params: false", "b")
    )
    config = config_of(text)
    assert [row.drop_params for row in config.deployments] == [True, False]
    assert verdict_on(config, "general_settings.drop_params").verdict == "changed"


def test_a_limit_may_name_the_master_key_by_another_reference() -> None:
    text = """
general_settings:
  master_key: os.environ/SWITCHYARD_MASTER_KEY
  usage_limits: {os.environ/LITELLM_MASTER_KEY: {max_requests: 5, window: day}}
"""
    value = "sk-a-long-and-random-master-key"
    config = config_of(text, {"SWITCHYARD_MASTER_KEY": value, "LITELLM_MASTER_KEY": value})
    assert [(key.name, key.text) for key in config.keys] == [("master", value)]
    assert [(limit.key, limit.window) for limit in config.limits] == [("master", "day")]


def test_a_key_that_nobody_defined_is_made_without_its_text_in_the_name() -> None:
    config = config_of("general_settings: {usage_limits: {sk-alice-0123456789: {max_tokens: 7}}}")
    (key,) = config.keys
    assert key.text == "sk-alice-0123456789"
    assert not key.is_admin
    assert "alice" not in key.name
    assert all("alice" not in verdict.shown for verdict in config.verdicts)


def test_one_key_takes_limits_of_several_windows() -> None:
    limits = "[{max_tokens: 7}, {max_tokens: 70, window: day}, {max_requests: 2, window: total}]"
    config = config_of(f"general_settings: {{usage_limits: {{sk-alice-0123456789: {limits}}}}}")
    found = [(limit.metric, limit.amount, limit.window) for limit in config.limits]
    assert found == [("tokens", 7, "minute"), ("tokens", 70, "day"), ("requests", 2, "total")]


@pytest.mark.parametrize(
    ("environment", "problem"),
    [({}, "unset or empty"), ({"LITELLM_MASTER_KEY": ""}, "unset or empty")],
)
def test_a_master_key_that_is_not_set_makes_no_key(environment: dict[str, str], problem: str) -> None:
    config = config_of("general_settings: {master_key: os.environ/LITELLM_MASTER_KEY}", environment)
    assert config.keys == ()
    assert problem in verdict_on(config, "master_key").note


def test_the_master_key_names_only_its_own_variables() -> None:
    config = config_of("general_settings: {master_key: os.environ/SECRET_KEY}", {"SECRET_KEY": "x" * 40})
    assert config.keys == ()
    assert "SECRET_REFERENCES" in verdict_on(config, "master_key").note


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "config.yml: the file is empty"),
        ("- a", "config.yml:1: a mapping is expected"),
        ("model_list: {a: 1}", "config.yml:1: model_list: a list is expected, not a mapping"),
        ("model_list:\n  - a", "config.yml:2: model_list[0]: a mapping is expected, not text"),
        ("model_list:\n  - model_name: a", "config.yml:2: model_list[0]: litellm_params is missing"),
        (
            models(entry(f"{LOCAL}, weight: two")),
            "config.yml:2: model_list[0].litellm_params.weight: a number is expected, not text",
        ),
        (models(entry(f"{LOCAL}, weight: -1")), "weight: a number from 0 on is expected"),
        (models(entry(f"{LOCAL}, max_parallel_requests: 1.5")), "a whole number from 1"),
        (models(entry(f"{LOCAL}, drop_params: 3")), "true or false is expected, not a number"),
        (models(entry("model: 4")), "litellm_params.model: text in quotes is expected, not a number"),
        ("general_settings: {usage_limits: {k: {window: fortnight}}}", "window: one of second, minute"),
        ("general_settings:\n  master_key: [a]", "config.yml:2: general_settings.master_key: text"),
        ("include: nowhere.yml", "config.yml:1: include: nowhere.yml: No such file"),
    ],
)
def test_what_is_wrong_is_told_with_file_line_and_key(text: str, message: str) -> None:
    assert message in refusal_of(text)


def test_included_lists_extend_and_other_values_overwrite() -> None:
    files = {"more.yml": models(entry(LOCAL, "b")) + "general_settings: {drop_params: true}\n"}
    text = "include: [more.yml]\ngeneral_settings: {master_key: sk-gone}\n" + models(entry(LOCAL, "a"))
    config = config_of(text, files=files)
    assert [model.name for model in config.models] == ["a", "b"]
    assert [row.drop_params for row in config.deployments] == [True, True]
    assert config.keys == ()
    assert verdict_on(config, "general_settings.master_key").verdict == "inert"
    assert verdict_on(config, "more.yml:model_list[0].model_name").verdict == "applied"


def test_keys_of_later_work_say_what_to_do_instead() -> None:
    config = config_of("litellm_settings: {set_verbose: true, stream: true, requst_timeout: 3}\n")
    assert verdict_on(config, ".set_verbose").verdict == "unsupported"
    assert "LOG_LEVEL" in verdict_on(config, ".set_verbose").note
    assert verdict_on(config, ".stream").verdict == "inert"
    assert "did you mean request_timeout?" in verdict_on(config, ".requst_timeout").note


def test_names_of_the_environment_are_not_taken_over() -> None:
    verdict = verdict_on(config_of("environment_variables: {A_API_KEY: secret}"), ".A_API_KEY")
    assert verdict.verdict == "unsupported"
    assert ".env" in verdict.note
    assert "secret" not in verdict.note
