"""Retries, timeouts and cooldowns of a config.yml: for all models, for some, and by the entries of one."""

import pytest

from providers.litellm_records import Config, DeploymentRecord, ModelRecord
from tests.providers.litellm_files import config_of, entry, models, refusal_of, verdict_on

BOTH = models(entry("model: openai/a"), entry("model: openai/b", "small"))


def routed(settings: str, litellm: str = "") -> Config:
    more = f"litellm_settings: {{{litellm}}}\n" if litellm else ""
    return config_of(f"{BOTH}router_settings: {{{settings}}}\n{more}")


def llm(config: Config) -> ModelRecord:
    return next(model for model in config.models if model.name == "llm")


def one(params: str) -> tuple[Config, DeploymentRecord]:
    config = config_of(models(entry(f"model: openai/a, {params}")))
    [deployment] = config.deployments
    return config, deployment


@pytest.mark.parametrize(
    ("setting", "field", "value", "said"),
    [
        ("num_retries: 0", "max_attempts", 1, "applied"),
        ("num_retries: 3", "max_attempts", 4, "changed"),
        ("num_retries: 25", "max_attempts", 10, "changed"),
        ("timeout: 40", "timeout", 40, "applied"),
        ("stream_timeout: '2.5'", "stream_timeout", 2.5, "changed"),
        ("ttft_timeout: 2", "stream_timeout", 2, "changed"),
        ("stream_idle_timeout: 9", "idle_timeout", 9, "applied"),
        ("allowed_fails: 0", "eject_after", 1, "changed"),
        ("allowed_fails: 3", "eject_after", 4, "changed"),
        ("disable_cooldowns: true", "eject_after", 0, "changed"),
        ("disable_cooldowns: false", "eject_after", None, "applied"),
        ("cooldown_time: 30", "eject_seconds", 30, "changed"),
        ("cooldown_time: 0", "eject_seconds", None, "inert"),
        ("timeout: 0", "timeout", None, "inert"),
        ("num_retries: os.environ/RETRIES", "max_attempts", None, "unsupported"),
    ],
)
def test_a_setting_is_of_all_models_of_the_file(setting: str, field: str, value: object, said: str) -> None:
    config = routed(setting)
    assert [getattr(model, field) for model in config.models] == [value, value]
    assert verdict_on(config, f"router_settings.{setting.partition(':')[0]}").verdict == said


def test_more_retries_than_there_are_attempts_are_told() -> None:
    assert "10 attempts, the most there are, for 26" in verdict_on(routed("num_retries: 25"), "retries").note


def test_the_sooner_of_two_times_to_a_first_event_holds() -> None:
    assert llm(routed("stream_timeout: 9, ttft_timeout: 3")).stream_timeout == 3


def test_no_cooldowns_win_over_a_number_of_fails() -> None:
    config = routed("disable_cooldowns: true, allowed_fails: 3")
    assert llm(config).eject_after == 0
    assert verdict_on(config, "allowed_fails").verdict == "inert"


@pytest.mark.parametrize(
    ("litellm", "field", "value"),
    [
        ("num_retries: 1", "max_attempts", 2),
        ("request_timeout: 7", "timeout", 7),
        ("allowed_fails: 1", "eject_after", 2),
    ],
)
def test_litellm_settings_hold_where_router_settings_say_nothing(
    litellm: str, field: str, value: object
) -> None:
    assert getattr(llm(routed("retry_after: 0", litellm)), field) == value


def test_router_settings_win_over_litellm_settings() -> None:
    config = routed(
        "num_retries: 5, timeout: 6, allowed_fails: 7",
        "num_retries: 1, request_timeout: 2, allowed_fails: 3",
    )
    model = llm(config)
    assert (model.max_attempts, model.timeout, model.eject_after) == (6, 6, 8)
    for key in ("num_retries", "request_timeout", "allowed_fails"):
        verdict = verdict_on(config, f"litellm_settings.{key}")
        assert verdict.verdict == "inert"
        assert "router_settings" in verdict.note


@pytest.mark.parametrize(
    "key", ["cooldown_time", "retry_policy", "timeout", "enable_tag_filtering", "disable_cooldowns"]
)
def test_what_litellm_reads_of_router_settings_only_is_inert_elsewhere(key: str) -> None:
    config = config_of(f"{BOTH}litellm_settings: {{{key}: 1}}\n")
    assert verdict_on(config, key).verdict == "inert"
    assert config.models == config_of(BOTH).models


@pytest.mark.parametrize(
    "settings",
    [
        "num_retries: -1",
        "num_retries: 1.5",
        "num_retries: many",
        "timeout: -3",
        "cooldown_time: [1]",
        "allowed_fails: true",
        "disable_cooldowns: perhaps",
        "retry_policy: 3",
        "retry_policy: {TimeoutErrorRetries: -1}",
        "retry_policy: {BadRequestErrorRetries: no}",
        "model_group_retry_policy: [llm]",
        "allowed_fails_policy: 7",
        "default_litellm_params: 7",
        "routing_groups: {a: b}",
    ],
)
def test_a_wrong_value_refuses_the_file_with_its_place(settings: str) -> None:
    refusal = refusal_of(f"{BOTH}router_settings:\n  {settings}\n")
    assert refusal.startswith(f"config.yml:5: router_settings.{settings.partition(':')[0]}")


# --- by kind of error --------------------------------------------------------------------------


def test_a_policy_has_a_number_for_each_kind_of_error() -> None:
    config = routed(
        "retry_policy: {AuthenticationErrorRetries: 1, TimeoutErrorRetries: 0, RateLimitErrorRetries: 4, "
        "InternalServerErrorRetries: 2}"
    )
    assert llm(config).retries_by_error == {
        "authentication": 1,
        "timeout": 0,
        "rate_limit": 4,
        "server_error": 2,
        "connect": 2,
    }
    assert verdict_on(config, "TimeoutErrorRetries").verdict == "applied"
    assert verdict_on(config, "RateLimitErrorRetries").verdict == "changed"


def test_the_rest_of_a_policy_is_for_every_kind_without_a_number() -> None:
    config = routed("retry_policy: {DefaultRetries: 2, TimeoutErrorRetries: 0}")
    others = dict.fromkeys(("connect", "rate_limit", "authentication", "server_error"), 2)
    assert llm(config).retries_by_error == {"timeout": 0, **others}


def test_of_two_numbers_for_one_kind_the_larger_holds() -> None:
    config = routed("retry_policy: {AuthenticationErrorRetries: 3, NotFoundErrorRetries: 1}")
    assert llm(config).retries_by_error == {"authentication": 3}
    assert "the larger holds" in verdict_on(config, "NotFoundErrorRetries").note


def test_a_number_is_cut_to_what_there_is() -> None:
    config = routed("retry_policy: {TimeoutErrorRetries: 40}")
    assert llm(config).retries_by_error == {"timeout": 9}
    assert "no more than 9" in verdict_on(config, "TimeoutErrorRetries").note


@pytest.mark.parametrize("name", ["BadRequestErrorRetries", "ContentPolicyViolationErrorRetries"])
def test_the_requests_own_fault_is_never_retried(name: str) -> None:
    assert verdict_on(routed(f"retry_policy: {{{name}: 0}}"), name).verdict == "applied"
    config = routed(f"retry_policy: {{{name}: 2}}")
    assert verdict_on(config, name).verdict == "unsupported"
    assert not llm(config).retries_by_error


def test_a_policy_of_one_model_takes_the_place_of_that_of_all() -> None:
    config = routed(
        "retry_policy: {TimeoutErrorRetries: 1}, "
        "model_group_retry_policy: {small: {RateLimitErrorRetries: 0}, smal: {RateLimitErrorRetries: 0}}"
    )
    by_name = {model.name: model.retries_by_error for model in config.models}
    assert by_name == {"llm": {"timeout": 1}, "small": {"rate_limit": 0}}
    unknown = verdict_on(config, "model_group_retry_policy.smal")
    assert (unknown.verdict, "did you mean small" in unknown.note) == ("unsupported", True)


def test_a_policy_without_values_or_known_keys_changes_nothing() -> None:
    config = routed("retry_policy: {TimeoutErrorRetries: , TimeoutErorRetries: 1}")
    assert llm(config).retries_by_error is None
    assert verdict_on(config, "TimeoutErrorRetries").verdict == "inert"
    assert "did you mean TimeoutErrorRetries" in verdict_on(config, "TimeoutErorRetries").note


def test_fails_by_kind_are_told_what_to_write_instead() -> None:
    config = routed("allowed_fails_policy: {TimeoutErrorAllowedFails: 1, BadRequestErrorAllowedFails: 2}")
    assert verdict_on(config, "TimeoutErrorAllowedFails").verdict == "unsupported"
    assert "allowed_fails" in verdict_on(config, "TimeoutErrorAllowedFails").note
    assert verdict_on(config, "BadRequestErrorAllowedFails").verdict == "changed"


# --- of one entry ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "field", "value", "said"),
    [
        ("timeout: 3", "timeout", 3, "applied"),
        ("request_timeout: 4", "timeout", 4, "changed"),
        ("stream_timeout: 5", "stream_timeout", 5, "changed"),
        ("ttft_timeout: 6", "stream_timeout", 6, "changed"),
        ("stream_idle_timeout: 7", "idle_timeout", 7, "changed"),
        ("cooldown_time: 8", "eject_seconds", 8, "changed"),
        ("cooldown_time: 0", "eject_seconds", None, "unsupported"),
        ("max_retries: 9", "timeout", None, "inert"),
    ],
)
def test_an_entry_has_times_of_its_own(params: str, field: str, value: object, said: str) -> None:
    config, deployment = one(params)
    assert getattr(deployment, field) == value
    assert verdict_on(config, params.partition(":")[0]).verdict == said
    assert deployment.default_params == {}


def retried(*retries: str, settings: str = "") -> Config:
    entries = (entry(f"model: openai/{n}{text}") for n, text in enumerate(retries))
    return config_of(models(*entries) + f"router_settings: {{{settings}}}\n")


@pytest.mark.parametrize(
    ("retries", "settings", "attempts"),
    [
        ([", num_retries: 0"], "", 1),
        ([", num_retries: 0"], "num_retries: 5", 1),
        ([", num_retries: 1", ", num_retries: 4"], "", 5),
        ([", num_retries: 0", ""], "", 3),
        ([", num_retries: 0", ""], "num_retries: 1", 2),
        ([", num_retries: os.environ/R"], "num_retries: 1", 2),
    ],
)
def test_retries_of_entries_are_those_of_their_model_the_most_of_them(
    retries: list[str], settings: str, attempts: int
) -> None:
    assert retried(*retries, settings=settings).models[0].max_attempts == attempts


def test_an_entry_that_asks_for_less_retries_than_the_model_has_is_told() -> None:
    config = retried(", num_retries: 0", "")
    verdict = verdict_on(config, "num_retries")
    assert verdict.verdict == "changed"
    assert verdict.note.startswith("3 attempts")
    assert "0 here" in verdict.note


def test_what_an_entry_says_of_its_model_in_our_own_keys_wins() -> None:
    own = (
        "switchyard_model: {max_attempts: 2, retries_by_error: {connect: 1}, deadline: 60, eject_after: 0, "
        "max_queue: 0, connect_timeout: 1, timeout: 2, stream_timeout: 3, idle_timeout: 4, eject_seconds: 5, "
        "hidden: true}"
    )
    config = config_of(
        models(entry("model: openai/a, num_retries: 7", more=f", model_info: {{{own}}}"))
        + "router_settings: {num_retries: 8, timeout: 90, retry_policy: {TimeoutErrorRetries: 1}}\n"
    )
    assert config.models == (
        ModelRecord(
            "llm",
            max_attempts=2,
            retries_by_error={"connect": 1},
            deadline=60,
            eject_after=0,
            max_queue=0,
            connect_timeout=1,
            timeout=2,
            stream_timeout=3,
            idle_timeout=4,
            eject_seconds=5,
            hidden=True,
        ),
    )


def test_the_first_entry_that_says_something_of_the_model_is_right() -> None:
    both = [
        entry("model: openai/a", more=f", model_info: {{switchyard_model: {own}}}")
        for own in ("{deadline: 3}", "{deadline: 4, max_queue: 5}")
    ]
    config = config_of(models(*both))
    assert (llm(config).deadline, llm(config).max_queue) == (3, 5)
    assert verdict_on(config, "[1].model_info.switchyard_model.deadline").verdict == "warning"
    assert verdict_on(config, "[1].model_info.switchyard_model.max_queue").verdict == "applied"


@pytest.mark.parametrize(
    "own",
    [
        "max_attempts: 0",
        "max_attempts: 11",
        "retries_by_error: {bad: 1}",
        "retries_by_error: {connect: 99}",
        "deadline: 0",
        "eject_after: 40000",
        "hidden: 3",
        "fallbacks: [a]",
        "fallbacks: {sometimes: [a]}",
        "fallbacks: {any: [1]}",
    ],
)
def test_a_wrong_setting_of_our_own_refuses_the_file(own: str) -> None:
    text = models(entry("model: openai/a", more=f", model_info: {{switchyard_model: {{{own}}}}}"))
    assert "config.yml:2: model_list[0].model_info.switchyard_model." in refusal_of(text)


def test_times_of_a_deployment_that_litellm_has_no_key_for() -> None:
    info = "switchyard_queue_seconds: 0, switchyard_connect_timeout: 1.5, switchyard_idle_timeout: 30"
    config = config_of(models(entry("model: openai/a", more=f", model_info: {{{info}}}")))
    [deployment] = config.deployments
    assert deployment.queue_seconds == 0
    assert deployment.connect_timeout == 1.5
    assert deployment.idle_timeout == 30
    assert llm(config).info == {}


# --- what else the router knows ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("retry_after: 0", "applied"),
        ("retry_after: 5", "unsupported"),
        ("enable_weighted_failover: true", "applied"),
        ("enable_weighted_failover: false", "unsupported"),
        ("tag_filtering_match_any: true", "applied"),
        ("tag_filtering_match_any: false", "unsupported"),
        ("enable_pre_call_checks: false", "applied"),
        ("enable_pre_call_checks: true", "unsupported"),
        ("optional_pre_call_checks: [router_budget_limiting]", "applied"),
        ("optional_pre_call_checks: [router_budget_limiting, session_affinity]", "unsupported"),
        ("deployment_affinity_ttl_seconds: 60", "unsupported"),
        ("max_retries: 3", "inert"),
        ("numretries: 3", "unsupported"),
    ],
)
def test_each_further_setting_has_an_honest_verdict(setting: str, said: str) -> None:
    verdict = verdict_on(routed(setting), f"router_settings.{setting.partition(':')[0]}")
    assert (verdict.verdict, bool(verdict.note)) == (said, True)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("enforce_fallback_model_access: true", "applied"),
        ("enforce_fallback_budget: false", "unsupported"),
        ("enable_health_check_routing: true", "unsupported"),
    ],
)
def test_general_settings_about_routing_are_told(setting: str, said: str) -> None:
    config = config_of(f"{BOTH}general_settings: {{{setting}}}\n")
    assert verdict_on(config, setting.partition(":")[0]).verdict == said


@pytest.mark.parametrize("key", ["cooldown_time: 5", "enable_tag_filtering: true", "blocked: true"])
def test_what_newer_litellm_reads_of_a_model_info_is_told_and_kept_as_a_note(key: str) -> None:
    config = config_of(models(entry("model: openai/a", more=f", model_info: {{{key}}}")))
    name = key.partition(":")[0]
    verdict = verdict_on(config, name)
    assert (verdict.verdict, "write" in verdict.note) == ("unsupported", True)
    assert name in llm(config).info


def test_default_params_are_those_of_every_deployment_and_before_its_own() -> None:
    config = config_of(
        models(entry("model: openai/a, temperature: 1, seed: 5"))
        + "router_settings: {default_litellm_params: {temperature: 0.5, model: x, max_retries: 1, "
        "metadata: {}, api_key: x, timeout: 7, vendor: {a: 1}, top_p: }}\n"
    )
    assert config.deployments[0].default_params == {"temperature": 0.5, "seed": 5, "vendor": {"a": 1}}
    assert llm(config).timeout == 7
    said = {
        v.path.rpartition(".")[2]: v.verdict for v in config.verdicts if "default_litellm_params." in v.path
    }
    assert said == {
        "temperature": "applied",
        "model": "unsupported",
        "max_retries": "inert",
        "metadata": "unsupported",
        "api_key": "unsupported",
        "timeout": "applied",
        "vendor": "applied",
        "a": "applied",
        "top_p": "inert",
    }


def test_a_default_without_a_value_is_none() -> None:
    config = routed("default_litellm_params: {timeout: , temperature: }")
    assert verdict_on(config, "default_litellm_params.timeout").verdict == "inert"
    assert llm(config).timeout is None


def test_slots_of_entries_without_their_own_come_from_the_router_first() -> None:
    text = BOTH + "general_settings: {max_parallel_requests: 3}\n"
    config = config_of(text + "router_settings: {default_max_parallel_requests: 7}\n")
    assert [row.max_parallel_requests for row in config.deployments] == [7, 7]
    assert verdict_on(config, "general_settings.max_parallel_requests").verdict == "inert"


def test_parameters_that_a_provider_does_not_take_are_left_out_by_either_section() -> None:
    text = models(entry("model: openai/a"), entry("model: openai/b, drop_params: false"))
    config = config_of(text + "litellm_settings: {drop_params: true}\n")
    assert [row.drop_params for row in config.deployments] == [True, False]
    assert verdict_on(config, "litellm_settings.drop_params").verdict == "applied"
    assert verdict_on(config, "litellm_params.drop_params").verdict == "changed"
