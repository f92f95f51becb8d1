"""The model_list: which provider, which upstream name, which share, and what became of each key."""

import pytest

from providers.litellm_records import DeploymentRecord, ProviderRecord
from tests.providers.litellm_files import config_of, entry, models, refusal_of, verdict_on

LOCAL = "api_base: 'http://10.0.0.1:8000/v1', api_key: EMPTY"


def only(params: str, **environment: str) -> tuple[ProviderRecord, DeploymentRecord]:
    config = config_of(models(entry(params)), environment)
    return config.providers[0], config.deployments[0]


@pytest.mark.parametrize(
    ("model", "kind", "upstream"),
    [
        ("openai/gpt-oss:20b", "openai", "gpt-oss:20b"),
        ("openai/openai/gpt-oss-20b", "openai", "openai/gpt-oss-20b"),
        ("groq/openai/gpt-oss-20b", "groq", "openai/gpt-oss-20b"),
        ("hosted_vllm/meta/llama", "hosted_vllm", "meta/llama"),
        ("gpt-4o", "openai", "gpt-4o"),
        ("meta-llama/Llama-3", "openai", "meta-llama/Llama-3"),
    ],
)
def test_exactly_one_leading_segment_is_the_provider(model: str, kind: str, upstream: str) -> None:
    provider, deployment = only(f"model: '{model}', {LOCAL}")
    assert (provider.kind, deployment.upstream_model) == (kind, upstream)


def test_a_model_without_provider_is_known_by_its_address() -> None:
    provider, deployment = only("model: org/m, api_base: 'https://api.deepinfra.com/v1/openai', api_key: k")
    assert (provider.kind, provider.name, deployment.upstream_model) == ("deepinfra", "deepinfra", "org/m")


def test_a_guessed_provider_is_a_warning() -> None:
    config = config_of(models(entry(f"model: my-model, {LOCAL}")))
    assert verdict_on(config, "litellm_params.model").verdict == "warning"


def test_custom_llm_provider_beats_the_prefix_and_keeps_the_whole_name() -> None:
    provider, deployment = only(f"model: groq/x, custom_llm_provider: openai, {LOCAL}")
    assert (provider.kind, deployment.upstream_model) == ("openai", "groq/x")


@pytest.mark.parametrize(
    ("params", "blamed", "words"),
    [
        ("model: azure/x, api_base: 'http://h'", ".model", "wire of its own"),
        ("model: gemini-2, api_base: 'http://h'", ".model", "wire of its own"),
        ("model: vllm/x", ".model", "write an api_base"),
        ("model: my-model", ".model", "not known"),
        ("model: openai/*", ".model", "needs one in model_name"),
        ('model: "*"', ".model", "such as openai/*"),
        ("model: x, custom_llm_provider: bedrock", ".custom_llm_provider", "wire of its own"),
        ("model: openai/x, api_base: 'http://${HOST}/v1'", ".api_base", "inside a text"),
    ],
)
def test_an_entry_that_cannot_be_served_is_not_made_and_says_why(
    params: str, blamed: str, words: str
) -> None:
    config = config_of(models(entry(params)))
    assert (config.deployments, config.models, config.providers) == ((), (), ())
    assert words in verdict_on(config, blamed).note
    assert {v.verdict for v in config.verdicts if v.path.startswith("model_list[0]")} == {"unsupported"}


def test_a_missing_address_and_key_are_the_providers_own() -> None:
    provider, _ = only("model: groq/m", GROQ_API_KEY="gsk-1")
    assert provider == ProviderRecord("groq", "groq", "https://api.groq.com/openai/v1", "GROQ_API_KEY")


def test_a_server_of_the_operators_own_needs_no_key() -> None:
    provider, _ = only("model: ollama/llama3, api_base: 'http://10.0.0.1:11434'")
    assert provider == ProviderRecord("ollama-10.0.0.1-11434", "ollama", "http://10.0.0.1:11434/v1")


def test_a_usual_key_sent_to_a_foreign_address_is_a_warning() -> None:
    config = config_of(models(entry("model: openai/m, api_base: 'http://h/v1'")), {"OPENAI_API_KEY": "k"})
    assert "OPENAI_API_KEY is sent to this address" in verdict_on(config, "api_base").note


@pytest.mark.parametrize("literal", ["EMPTY", "none", "sk-unused", "anything", "''"])
def test_words_for_no_key_are_no_key(literal: str) -> None:
    provider, _ = only(f"model: openai/m, api_base: 'http://h/v1', api_key: {literal}")
    assert (provider.secret, provider.secret_reference) == ("", "")


def test_a_literal_key_is_kept_and_never_told() -> None:
    config = config_of(models(entry("model: groq/m, api_key: gsk-alice-secret")))
    assert config.providers[0].secret == "gsk-alice-secret"
    assert "gsk-alice" not in repr(config)


def test_references_are_stored_and_not_their_values() -> None:
    provider, _ = only(
        "model: openai/m, api_base: os.environ/GPU_BASE_URL, api_key: os.environ/GPU_API_KEY",
        GPU_BASE_URL="http://10.0.0.1/v1/",
        GPU_API_KEY="k",
    )
    assert (provider.name, provider.base_url) == ("openai-gpu-base-url", "os.environ/GPU_BASE_URL")
    assert (provider.secret_reference, provider.secret) == ("GPU_API_KEY", "")
    assert provider.address == "http://10.0.0.1/v1"


@pytest.mark.parametrize("name", ["UNSET_API_KEY", "DATABASE_URL"])
def test_an_unset_or_forbidden_variable_is_a_warning_and_the_row_is_made(name: str) -> None:
    config = config_of(models(entry(f"model: groq/m, api_key: os.environ/{name}")), {"DATABASE_URL": "x"})
    assert config.deployments[0].provider == "groq"
    assert verdict_on(config, "api_key").verdict == "warning"
    assert "not configured" in verdict_on(config, "api_key").note


def test_the_whole_model_may_be_a_reference() -> None:
    params = f"model: os.environ/MY_MODEL, {LOCAL}"
    config = config_of(models(entry(params)), {"MY_MODEL": "openai/m-7"})
    assert config.deployments[0].upstream_model == "m-7"
    assert config.resolved == {"MY_MODEL": "openai/m-7"}
    unset = config_of(models(entry(params)))
    assert unset.deployments[0].state == "disabled"
    assert verdict_on(unset, "litellm_params.model").verdict == "warning"


def test_shell_references_are_taken_with_a_warning() -> None:
    config = config_of(models(entry("model: groq/m, api_key: '${MY_API_KEY}'")), {"MY_API_KEY": "k"})
    assert config.providers[0].secret_reference == "MY_API_KEY"
    assert verdict_on(config, "api_key").verdict == "warning"


def test_the_value_behind_a_shell_reference_is_used_while_the_variable_is_unset() -> None:
    params = "model: openai/m, api_key: EMPTY, api_base: '${GPU_BASE:-http://10.0.0.1/v1}'"
    assert only(params)[0].base_url == "http://10.0.0.1/v1"
    assert only(params, GPU_BASE="http://10.0.0.2/v1")[0].base_url == "os.environ/GPU_BASE"


def test_the_key_behind_a_shell_reference_is_used_while_the_variable_is_unset() -> None:
    params = "model: openai/m, api_base: 'http://10.0.0.1/v1', api_key: '${MY_API_KEY:-sk-local}'"
    assert only(params)[0].secret == "sk-local"
    assert only(params, MY_API_KEY="k")[0].secret_reference == "MY_API_KEY"


def weights(*params: str) -> list[int]:
    config = config_of(models(*(entry(f"model: openai/m{n}, {LOCAL}{p}") for n, p in enumerate(params))))
    return [row.weight for row in config.deployments]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        (["", ""], [1, 1]),
        ([", weight: 3", ", weight: 0"], [3, 0]),
        ([", weight: 2", ""], [2, 1]),
        ([", weight: 0.7", ", weight: 0.3"], [7, 3]),
        ([", weight: 0.25", ""], [1, 4]),
        ([", rpm: 600", ", rpm: 900"], [2, 3]),
        ([", rpm: 600", ", tpm: 900"], [1, 1]),
        ([", tpm: 100, rpm: 1", ", tpm: 300"], [1, 3]),
        ([", rpm: 600, weight: 1", ", rpm: 900, weight: 1"], [1, 1]),
        ([", rpm: 0", ", rpm: 0"], [1, 1]),
        ([", weight: 999999999999", ", weight: 1"], [1000000, 1]),
    ],
)
def test_shares_follow_weight_else_rpm_else_tpm(params: list[str], expected: list[int]) -> None:
    assert weights(*params) == expected


def test_a_missing_weight_beside_others_is_told() -> None:
    config = config_of(
        models(entry(f"model: openai/a, {LOCAL}, weight: 2"), entry(f"model: openai/b, {LOCAL}"))
    )
    assert verdict_on(config, "[1].litellm_params").verdict == "changed"
    assert "LiteLLM sends it nothing" in verdict_on(config, "[1].litellm_params").note


def test_rpm_is_a_limit_and_says_when_it_is_the_share_too() -> None:
    shared = config_of(models(entry(f"model: openai/a, {LOCAL}, rpm: 5")))
    beside = config_of(models(entry(f"model: openai/a, {LOCAL}, rpm: 5, weight: 1")))
    assert verdict_on(shared, ".rpm").note.endswith("; sets the share too (weight 1)")
    assert "share" not in verdict_on(beside, ".rpm").note
    assert shared.limits == beside.limits


def test_order_is_the_priority_and_entries_without_one_come_last() -> None:
    group = [
        f"model: openai/m{n}, {LOCAL}{order}" for n, order in enumerate([", order: 1", "", ", order: 2"])
    ]
    config = config_of(models(*map(entry, group)))
    assert [row.priority for row in config.deployments] == [1, 3, 2]


def test_times_and_slots_are_read_also_from_quotes() -> None:
    _, row = only(f"model: openai/m, {LOCAL}, timeout: '30', stream_timeout: 2.5, max_parallel_requests: 4")
    assert (row.timeout, row.stream_timeout, row.max_parallel_requests) == (30, 2.5, 4)


def test_request_defaults_hold_known_and_unknown_parameters() -> None:
    extra = "extra_body: {top_k: 3, chat_template_kwargs: {a: [1]}}"
    _, row = only(f"model: openai/m, {LOCAL}, temperature: 0.2, my_vendor_flag: yes, {extra}")
    assert row.default_params == {
        "temperature": 0.2,
        "my_vendor_flag": True,
        "top_k": 3,
        "chat_template_kwargs": {"a": [1]},
    }


def test_a_typo_is_named_and_still_sent() -> None:
    config = config_of(models(entry(f"model: openai/m, {LOCAL}, max_paralel_requests: 4")))
    verdict = verdict_on(config, "max_paralel_requests")
    assert verdict.verdict == "warning"
    assert "did you mean max_parallel_requests?" in verdict.note
    assert config.deployments[0].default_params == {"max_paralel_requests": 4}


@pytest.mark.parametrize(
    "params", ["stream: true", "extra_body: {messages: []}", "seed: os.environ/A_API_KEY"]
)
def test_what_may_not_be_a_default_is_left_out_and_told(params: str) -> None:
    config = config_of(models(entry(f"model: openai/m, {LOCAL}, {params}")), {"A_API_KEY": "secret"})
    assert config.deployments[0].default_params == {}
    assert config.verdicts[-1].verdict == "unsupported"


@pytest.mark.parametrize("name", ["fallbacks", "tag_regex", "aws_region_name", "output_cost_per_second"])
def test_what_is_not_built_says_what_to_do_instead(name: str) -> None:
    config = config_of(models(entry(f"model: openai/m, {LOCAL}, {name}: 1")))
    assert verdict_on(config, name).verdict == "unsupported"
    assert len(verdict_on(config, name).note) > 10
    assert config.deployments[0].default_params == {}


def test_providers_are_shared_by_address_credential_and_headers() -> None:
    config = config_of(
        models(
            entry(f"model: openai/a, {LOCAL}", "a"),
            entry("model: openai/b, api_base: 'http://10.0.0.1:8000/v1/', api_key: none", "b"),
            entry(f"model: openai/c, {LOCAL}, extra_headers: {{X-Team: blue}}", "c"),
            entry("model: openai/d, api_base: 'http://10.0.0.1:8000/v1', api_key: sk-1", "d"),
        )
    )
    stem = "openai-10.0.0.1-8000"
    assert [row.provider for row in config.deployments] == [stem, stem, f"{stem}-2", f"{stem}-3"]
    assert config.providers[1].extra_headers == {"X-Team": "blue"}


def test_namesakes_are_told_apart_by_their_upstream_model() -> None:
    config = config_of(models(*(entry(f"model: openai/{name}, {LOCAL}") for name in ("x", "y", "y"))))
    stem = "llm/openai-10.0.0.1-8000"
    assert [row.name for row in config.deployments] == [stem, f"{stem}/y", f"{stem}/y-2"]


def test_model_info_describes_the_model() -> None:
    facts = "id: fast, mode: embedding, max_input_tokens: 9, max_tokens: 5, team: blue, supports_vision: no"
    info = f", model_info: {{{facts}}}"
    config = config_of(models(entry(f"model: openai/m, {LOCAL}", more=info)))
    (model,) = config.models
    assert (model.kind, model.max_input_tokens, model.max_output_tokens) == ("embedding", 9, 5)
    assert model.info == {"team": "blue", "supports_vision": False}
    assert config.deployments[0].name == "fast"


def test_entries_of_one_model_that_disagree_are_told() -> None:
    config = config_of(
        models(
            entry(f"model: openai/m, {LOCAL}", more=", model_info: {max_input_tokens: 9}"),
            entry(f"model: openai/n, {LOCAL}", more=", model_info: {max_input_tokens: 8}"),
        )
    )
    assert config.models[0].max_input_tokens == 9
    assert verdict_on(config, "[1].model_info.max_input_tokens").verdict == "warning"


def test_keys_without_a_value_do_nothing() -> None:
    config = config_of(models(entry("model: groq/m, api_key: null, weight: null")), {"GROQ_API_KEY": "k"})
    assert config.providers[0].secret_reference == "GROQ_API_KEY"
    assert verdict_on(config, "weight").verdict == "inert"


@pytest.mark.parametrize("name", ["' a'", '"a\\nb"', "''", "x" + "y" * 200])
def test_names_that_cannot_be_asked_for_are_refused(name: str) -> None:
    assert "model_list[0].model_name" in refusal_of(models(entry(f"model: openai/m, {LOCAL}", name)))
