"""Entries for many models, and tags of entries."""

import pytest

from providers.litellm_records import Config, DeploymentRecord
from tests.providers.litellm_files import config_of, entry, models, refusal_of, verdict_on

HOST = "api_base: 'http://10.0.0.1/v1'"


def only(name: str, params: str) -> tuple[Config, DeploymentRecord]:
    config = config_of(models(entry(params, f"'{name}'")))
    [deployment] = config.deployments
    return config, deployment


@pytest.mark.parametrize(
    ("name", "params", "kind", "upstream"),
    [
        ("openai/*", 'model: "openai/*"', "openai", "*"),
        ("*", 'model: "groq/*"', "groq", "*"),
        ("*", f'model: "*", {HOST}', "openai", "*"),
        ("*", f'model: "*", custom_llm_provider: groq, {HOST}', "groq", "*"),
        ("mine/*", f'model: "openai/org/*-it", {HOST}', "openai", "org/*-it"),
        ("gpt-*", 'model: "gpt-*"', "openai", "gpt-*"),
        ("all/*", f"model: openai/m, {HOST}", "openai", "m"),
        ("a*b*", f'model: "openai/a*b*", {HOST}', "openai", "a*b*"),
    ],
)
def test_a_wildcard_is_a_model_like_any_other(name: str, params: str, kind: str, upstream: str) -> None:
    config, deployment = only(name, params)
    assert [model.name for model in config.models] == [name]
    assert (config.providers[0].kind, deployment.upstream_model) == (kind, upstream)
    assert deployment.state == "active"
    assert verdict_on(config, "model_name").verdict == "applied"
    assert verdict_on(config, "litellm_params.model").verdict in ("applied", "warning")
    assert {v.verdict for v in config.verdicts} <= {"applied", "warning"}


@pytest.mark.parametrize(("name", "model"), [("a*b*", "openai/*"), ("a*", "openai/*/*")])
def test_stars_that_do_not_pair_up_are_told(name: str, model: str) -> None:
    config, _ = only(name, f"model: '{model}', {HOST}, api_key: none")
    assert verdict_on(config, "litellm_params.model").verdict == "changed"
    assert "LiteLLM sends" in verdict_on(config, "litellm_params.model").note


def test_a_star_of_no_provider_is_told_what_to_write() -> None:
    config = config_of(models(entry('model: "*"', "'*'")))
    assert config.models == ()
    assert "such as openai/*" in verdict_on(config, "litellm_params.model").note


@pytest.mark.parametrize(
    ("alias", "why"),
    [
        ("gpt: 'openai/*'", "is a wildcard"),
        ("gpt: openai/gpt-4o", "by the wildcard openai/* alone"),
        ("'gpt-*': llm", "without a *"),
    ],
)
def test_aliases_and_wildcards_do_not_meet(alias: str, why: str) -> None:
    text = models(entry('model: "openai/*"', "openai/*"), entry("model: openai/m"))
    config = config_of(f"{text}router_settings: {{model_group_alias: {{{alias}}}}}\n")
    assert {model.aliases for model in config.models} == {()}
    [verdict] = [v for v in config.verdicts if v.path.startswith("router_settings.model_group_alias.")]
    assert verdict.verdict == "unsupported"
    assert why in verdict.note


# --- tags --------------------------------------------------------------------------------------


def tagged(tags: str, settings: str) -> Config:
    return config_of(models(entry(f"model: openai/m, tags: {tags}")) + f"router_settings: {{{settings}}}\n")


def test_tags_count_where_they_are_switched_on() -> None:
    config = tagged("[paid, eu, paid]", "enable_tag_filtering: true")
    assert config.deployments[0].tags == ("paid", "eu")
    assert config.deployments[0].default_params == {}
    assert verdict_on(config, "tags").verdict == "applied"
    assert verdict_on(config, "enable_tag_filtering").verdict == "applied"


@pytest.mark.parametrize(
    "settings", ["", "enable_tag_filtering: false", "enable_tag_filtering: os.environ/T"]
)
@pytest.mark.parametrize("tags", ["[paid]", "7", "{a: b}"])
def test_tags_that_litellm_does_not_read_are_inert(settings: str, tags: str) -> None:
    config = tagged(tags, settings)
    assert config.deployments[0].tags == ()
    assert verdict_on(config, "litellm_params.tags").verdict == "inert"
    assert "enable_tag_filtering" in verdict_on(config, "litellm_params.tags").note


@pytest.mark.parametrize("tags", ["paid", "[1]", "['a,b']", "[' a']", "['']", f"[{'x' * 101}]", "{a: b}"])
def test_what_is_no_list_of_tags_refuses_the_file(tags: str) -> None:
    text = models(entry(f"model: openai/m, tags: {tags}"))
    refusal = refusal_of(f"{text}router_settings: {{enable_tag_filtering: true}}\n")
    assert "config.yml:2: model_list[0].litellm_params.tags" in refusal


# --- groups of models --------------------------------------------------------------------------


def test_a_group_of_models_has_a_strategy_of_its_own() -> None:
    text = models(*(entry(f"model: openai/{name}", name) for name in "abc"))
    config = config_of(
        f"{text}router_settings:\n  routing_strategy: cost-based-routing\n  routing_groups:\n"
        "    - {group_name: g, models: [a, b, zz], routing_strategy: least-busy,\n"
        "       routing_strategy_args: {ttl: 1}}\n"
        "    - {models: [b], routing_strategy: latency-based-routing}\n"
        "    - {models: [c], routing_strategy: nonsense}\n"
    )
    assert [model.strategy for model in config.models] == ["least-busy", "least-busy", "cost"]
    assert verdict_on(config, "routing_groups[0].models").verdict == "warning"
    assert verdict_on(config, "routing_groups[0].routing_strategy_args").verdict == "unsupported"
    assert verdict_on(config, "routing_groups[2].routing_strategy").verdict == "unsupported"
