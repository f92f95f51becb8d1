"""`router_settings` of a config.yml: strategies and further names of models."""

import pytest

from providers.litellm_records import Config, ModelRecord
from tests.providers.litellm_files import config_of, entry, models, refusal_of, verdict_on

BOTH = models(entry("model: openai/a"), entry("model: openai/b", "small"))


def routed(settings: str) -> Config:
    return config_of(f"{BOTH}router_settings:\n  {settings}\n")


def llm(config: Config) -> ModelRecord:
    return next(model for model in config.models if model.name == "llm")


@pytest.mark.parametrize(
    ("written", "strategy", "said"),
    [
        ("simple-shuffle", "weighted", "applied"),
        ("least-busy", "least-busy", "changed"),
        ("latency-based-routing", "latency", "changed"),
        ("cost-based-routing", "cost", "changed"),
        ("usage-based-routing", "usage", "changed"),
        ("usage-based-routing-v2", "usage", "changed"),
    ],
)
def test_a_strategy_is_of_all_models_of_the_file(written: str, strategy: str, said: str) -> None:
    config = routed(f"routing_strategy: {written}")
    assert [model.strategy for model in config.models] == [strategy, strategy]
    verdict = verdict_on(config, "router_settings.routing_strategy")
    assert verdict.verdict == said
    assert verdict.note.startswith(strategy)
    assert verdict_on(config, "router_settings").verdict == "applied"


def test_an_unknown_strategy_is_unsupported_and_a_near_one_named() -> None:
    config = routed("routing_strategy: latency-based-routin")
    assert llm(config).strategy == ""
    verdict = verdict_on(config, "routing_strategy")
    assert verdict.verdict == "unsupported"
    assert "latency-based-routing" in verdict.note


def test_a_strategy_is_not_read_from_the_environment() -> None:
    config = routed("routing_strategy: os.environ/STRATEGY_BASE")
    assert (llm(config).strategy, verdict_on(config, "routing_strategy").verdict) == ("", "unsupported")


def test_what_an_entry_says_of_its_model_wins() -> None:
    own = entry("model: openai/a", more=", model_info: {switchyard_strategy: cost}")
    config = config_of(
        models(own, entry("model: openai/b", "small")) + "router_settings: {routing_strategy: least-busy}\n"
    )
    assert [model.strategy for model in config.models] == ["cost", "least-busy"]
    assert verdict_on(config, "switchyard_strategy").verdict == "applied"


def test_a_model_has_one_strategy() -> None:
    both = [
        entry("model: openai/a", more=f", model_info: {{switchyard_strategy: {s}}}")
        for s in ("cost", "usage")
    ]
    config = config_of(models(*both))
    assert llm(config).strategy == "cost"
    assert verdict_on(config, "[1].model_info.switchyard_strategy").verdict == "warning"


def test_an_alias_has_two_forms() -> None:
    config = routed("model_group_alias: {gpt-4: llm, old: {model: llm, hidden: true}, new: {model: llm}}")
    assert (llm(config).aliases, llm(config).hidden_aliases) == (("gpt-4", "new"), ("old",))
    assert verdict_on(config, "model_group_alias").verdict == "applied"
    assert verdict_on(config, "model_group_alias.gpt-4").verdict == "applied"
    assert "not listed" in verdict_on(config, "model_group_alias.old.hidden").note


@pytest.mark.parametrize(
    ("alias", "why"),
    [
        ("small: llm", "a model of this file is called small"),
        ("gpt-4: lm", "no model of this file is called lm; did you mean llm"),
        ('"gpt-*": llm', "wildcard"),
        ('" gpt": llm', "no name"),
        ("gpt-4: os.environ/A_MODEL", "no model of this file"),
    ],
)
def test_an_alias_that_could_not_be_served_is_unsupported(alias: str, why: str) -> None:
    config = routed(f"model_group_alias: {{{alias}}}")
    assert llm(config).aliases == ()
    (verdict,) = [v for v in config.verdicts if v.path.startswith("router_settings.model_group_alias.")]
    assert verdict.verdict == "unsupported"
    assert why in verdict.note


def test_an_alias_without_a_value_is_inert() -> None:
    config = routed("model_group_alias: {gpt-4: }")
    assert verdict_on(config, "model_group_alias.gpt-4").verdict == "inert"


@pytest.mark.parametrize(
    "settings", ["model_group_alias: [a]", "model_group_alias: {a: {hidden: true}}", "routing_strategy: 7"]
)
def test_what_is_no_setting_at_all_is_refused_with_its_place(settings: str) -> None:
    assert "router_settings" in refusal_of(f"{BOTH}router_settings:\n  {settings}\n")
