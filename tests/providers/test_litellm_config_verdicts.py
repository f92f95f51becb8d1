"""Every key of any file has exactly one verdict, and nothing but the importer's own error leaves it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import event, given, settings
from hypothesis import strategies as st

from providers.fallbacks import On
from providers.litellm_fallbacks import loop_in
from providers.litellm_records import Config
from providers.litellm_sections import ALWAYS, APPLIED, INERT, NEVER, UNSUPPORTED
from providers.litellm_tables import (
    ALL_PARAMS,
    MODEL_INFO,
    USAGE_LIMIT,
    WINDOWS,
)
from providers.litellm_values import LARGEST_AMOUNT
from providers.litellm_yaml import ConfigError
from providers.patterns import is_pattern
from providers.retries import RETRIED_KINDS, problem_of_retries
from providers.tags import problem_of_tags
from tests.providers.litellm_files import config_of

SHIPPED = Path(__file__).parents[2] / "config" / "config.yml"
VERDICTS = {"applied", "changed", "inert", "unsupported", "warning"}


def paths_of(tree: object, path: str = "") -> Iterator[str]:
    """Every key of a tree as yaml.safe_load gives it."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            below = f"{path}.{key}" if path else str(key)
            yield below
            yield from paths_of(value, below)
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield from paths_of(value, f"{path}[{index}]")


def test_every_key_of_the_shipped_file_has_one_verdict() -> None:
    paths = [verdict.path for verdict in config_of(SHIPPED.read_text()).verdicts]
    assert sorted(paths) == sorted(paths_of(yaml.safe_load(SHIPPED.read_text())))


def outcome(text: str) -> Config | str:
    """The file as read, or the message that refuses it."""
    try:
        return config_of(text, ENVIRONMENT)
    except ConfigError as error:
        return str(error)


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-5, 10**12)
    | st.floats(0, 100, allow_nan=False)
    | st.text(max_size=8)
    | st.sampled_from(
        [
            "openai/gpt-4o",
            "azure/x",
            "gpt-4o",
            "ollama/llama3",
            "vllm/m",
            "x/*",
            "http://10.0.0.1:8000/v1",
            "https://api.groq.com/openai/v1",
            "http://[broken",
            "os.environ/A_API_KEY",
            "os.environ/",
            "${A_API_KEY}",
            "${A_BASE_URL:-http://h/v1}",
            "EMPTY",
            "minute",
            "chat",
        ]
    )
)
NAMES = sorted(ALL_PARAMS | MODEL_INFO | USAGE_LIMIT | {"model_name", "litellm_params", "<<<", "x-a", "tpyo"})
TREES = st.recursive(
    SCALARS,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(NAMES), below, max_size=4),
    max_leaves=8,
)
PARAMS = st.fixed_dictionaries(
    {"model": SCALARS},
    optional=dict.fromkeys(("api_base", "api_key", "custom_llm_provider"), SCALARS)
    | dict.fromkeys(("weight", "order"), st.none() | st.integers(0, 9) | st.floats(0, 9))
    | dict.fromkeys(("rpm", "tpm", "max_budget", "budget_duration"), SCALARS)
    | {
        "extra_body": TREES,
        "extra_headers": st.none() | st.just({"X-A": "b"}),
        "top_k": TREES,
        "tags": TREES,
        "drop_params": st.booleans(),
    },
)
ENTRIES = st.fixed_dictionaries(
    {"model_name": st.sampled_from(["a", "b", "a/b", "*", "x/*"]), "litellm_params": PARAMS},
    optional={
        "model_info": st.dictionaries(st.sampled_from([*sorted(MODEL_INFO), "team"]), SCALARS, max_size=4)
    },
)
AMOUNTS = st.none() | st.integers(0, 9)
MONEY = st.sampled_from([None, 0, 5, 0.25, "12.5", 1e-9, "os.environ/A_API_KEY"])
DURATIONS = st.sampled_from([None, "1h", "30d", "1mo", "14d", "90s", "daily", "os.environ/A_API_KEY"])
NUMBERS = st.none() | st.integers(0, 9) | st.floats(0, 9)
MODELS = st.sampled_from(["a", "b", "a/b", "*", "zz"])
WELL_MADE = st.fixed_dictionaries(
    {
        "model_name": st.sampled_from(["a", "b"]),
        "litellm_params": st.fixed_dictionaries(
            {
                "model": st.sampled_from(
                    ["openai/m", "gpt-4o", "azure/x", "os.environ/A_API_KEY", "my-model"]
                ),
                "api_base": st.sampled_from(
                    ["http://10.0.0.1:8000/v1", "http://gpu", "os.environ/GPU_BASE_URL"]
                ),
            },
            optional={
                "weight": NUMBERS,
                **dict.fromkeys(("rpm", "tpm"), AMOUNTS),
                "max_budget": MONEY,
                "budget_duration": DURATIONS,
                "input_cost_per_token": st.just(1e-6),
                "order": st.integers(-3, 3),
                "api_key": st.sampled_from(["EMPTY", "sk-1", "os.environ/A_API_KEY", "${B_API_KEY:-none}"]),
                "extra_body": st.dictionaries(st.sampled_from(NAMES), TREES, max_size=3),
                "top_k": TREES,
                "tags": st.lists(st.sampled_from(["paid", "eu"]), max_size=2) | TREES,
                **dict.fromkeys(("num_retries",), st.sampled_from([None, 0, 2, "os.environ/A_API_KEY"])),
                **dict.fromkeys(("cooldown_time", "max_retries"), st.sampled_from([None, 0, 2])),
                **dict.fromkeys(("ttft_timeout", "stream_idle_timeout", "request_timeout"), st.just(2.5)),
            },
        ),
    },
    optional={
        "model_info": st.fixed_dictionaries(
            {},
            optional={
                "switchyard_model": st.fixed_dictionaries(
                    {},
                    optional={
                        "max_attempts": st.integers(1, 10),
                        "hidden": st.booleans(),
                        "retries_by_error": st.dictionaries(
                            st.sampled_from(RETRIED_KINDS), st.integers(0, 9)
                        ),
                        **dict.fromkeys(("deadline", "timeout"), st.floats(0.001, 99)),
                        "fallbacks": st.dictionaries(
                            st.sampled_from([on.value for on in On]), st.lists(MODELS, max_size=2)
                        ),
                        "tpyo": SCALARS,
                    },
                ),
                "switchyard_queue_seconds": st.floats(0, 9),
            },
        )
    },
)
LIMITS = st.fixed_dictionaries(
    {},
    optional={
        "max_requests": st.integers(0, 9) | SCALARS,
        "max_tokens": st.integers(0, 9),
        "max_cost": st.sampled_from([None, 0, 5, 0.25, "12.5"]),
        "window": st.sampled_from(WINDOWS),
    },
)
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "master_key": SCALARS,
        "drop_params": st.booleans(),
        "usage_limits": st.dictionaries(
            st.sampled_from(["sk-a", "os.environ/A_API_KEY", "os.environ/B_API_KEY"]),
            LIMITS | TREES,
            max_size=3,
        ),
        **dict.fromkeys(("max_parallel_requests", "global_max_parallel_requests"), st.integers(1, 9)),
        "user_header_name": st.sampled_from(["X-User", "", None, "os.environ/A_API_KEY"]),
        **dict.fromkeys(sorted(UNSUPPORTED["general_settings"])[:3], TREES),
    },
)
CHAINS = st.lists(st.dictionaries(MODELS, st.lists(MODELS, max_size=2), max_size=2), max_size=3)
TIMES = st.sampled_from([None, 0, 5, 0.5, "2", "os.environ/A_API_KEY"])
COUNTS = st.sampled_from([None, 0, 1, 3, 40, "2", "os.environ/A_API_KEY"])
SWITCHES = st.sampled_from([None, True, False, "true", "os.environ/A_API_KEY"])
RELIABLE: dict[str, st.SearchStrategy[object]] = {
    **dict.fromkeys(("fallbacks", "context_window_fallbacks", "content_policy_fallbacks"), CHAINS | TREES),
    "default_fallbacks": st.none() | st.lists(MODELS, max_size=2),
    **dict.fromkeys(("num_retries", "allowed_fails", "max_fallbacks"), COUNTS),
    "request_timeout": TIMES,
    "drop_params": SWITCHES,
}
POLICIES_OF_FILE = st.dictionaries(
    st.sampled_from(["TimeoutErrorRetries", "DefaultRetries", "BadRequestErrorRetries", "tpyo"]), COUNTS
)
ROUTER = st.fixed_dictionaries(
    {},
    optional={
        **RELIABLE,
        **dict.fromkeys(("timeout", "stream_timeout", "ttft_timeout", "stream_idle_timeout"), TIMES),
        **dict.fromkeys(("cooldown_time", "retry_after"), TIMES),
        **dict.fromkeys(("disable_cooldowns", "enable_tag_filtering"), SWITCHES),
        **dict.fromkeys(sorted(ALWAYS["router_settings"].keys() | NEVER["router_settings"].keys()), SWITCHES),
        "retry_policy": POLICIES_OF_FILE,
        "model_group_retry_policy": st.dictionaries(MODELS, POLICIES_OF_FILE, max_size=2),
        "allowed_fails_policy": st.dictionaries(
            st.sampled_from(["TimeoutErrorAllowedFails", "BadRequestErrorAllowedFails"]), COUNTS
        ),
        "default_litellm_params": st.dictionaries(st.sampled_from([*NAMES, "timeout"]), TREES, max_size=3),
        "optional_pre_call_checks": st.none() | st.lists(st.sampled_from(["router_budget_limiting", "x"])),
        "default_max_parallel_requests": st.integers(1, 9),
        "model_group_alias": st.dictionaries(st.sampled_from(["al", "a"]), MODELS, max_size=2),
        **dict.fromkeys(sorted(UNSUPPORTED["router_settings"])[::7], TREES),
    },
)
FILES = st.fixed_dictionaries(
    {},
    optional={
        "router_settings": ROUTER,
        "model_list": st.lists(WELL_MADE, max_size=5) | st.lists(ENTRIES | TREES, max_size=2),
        "general_settings": SETTINGS,
        "litellm_settings": st.dictionaries(
            st.sampled_from(sorted([*UNSUPPORTED["litellm_settings"], *INERT["litellm_settings"]])),
            TREES,
            max_size=3,
        )
        | st.fixed_dictionaries(
            {},
            optional={
                "max_budget": MONEY,
                "budget_duration": DURATIONS,
                "max_end_user_budget": MONEY,
                **RELIABLE,
            },
        ),
        **dict.fromkeys(sorted(UNSUPPORTED[""].keys() | INERT[""].keys())[:4], TREES),
        "x-anchors": TREES,
        "modellist": TREES,
    },
)
ENVIRONMENT = {"A_API_KEY": "sk-from-the-environment"}


@settings(max_examples=250, deadline=None)
@given(FILES)
def test_any_file_is_read_with_a_verdict_for_every_key_or_refused_in_one_line(
    tree: dict[str, object],
) -> None:
    text = yaml.safe_dump(tree, allow_unicode=True)
    config = outcome(text)
    event("refused" if isinstance(config, str) else f"{len(config.deployments)} deployments")
    if isinstance(config, str):
        assert config.startswith("config.yml")
        assert "\n" not in config
        return
    assert sorted(v.path for v in config.verdicts) == sorted(paths_of(yaml.safe_load(text)))
    assert {v.verdict for v in config.verdicts} <= VERDICTS
    names = [row.name for row in config.deployments]
    assert len(set(names)) == len(names)
    assert {row.provider for row in config.deployments} <= {row.name for row in config.providers}
    assert {row.model for row in config.deployments} <= {row.name for row in config.models}
    assert {limit.key for limit in config.limits} <= {"", *(key.name for key in config.keys)}
    assert {limit.deployment for limit in config.limits} <= {"", *names}
    modelled = {row.name for row in config.models}
    assert {name for row in config.fallbacks for name in (row.model, row.to)} <= modelled
    assert not any(is_pattern(row.to) for row in config.fallbacks)
    assert not loop_in((row.model, row.to) for row in config.fallbacks)
    assert all(problem_of_retries(model.retries_by_error or {}) == "" for model in config.models)
    assert all(problem_of_tags(list(row.tags)) == "" for row in config.deployments)
    places = [replace(limit, amount=0) for limit in config.limits]
    assert len(set(places)) == len(places)
    assert all(0 <= limit.amount <= LARGEST_AMOUNT for limit in config.limits)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab:-[]{}&*!|>'\"#%@,?<\n \t\\x0"), max_size=60))
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    found = outcome(text)
    assert not isinstance(found, str) or found.startswith("config.yml")


@pytest.mark.parametrize("section", sorted(UNSUPPORTED))
def test_no_key_stands_in_two_tables(section: str) -> None:
    tables = [set(UNSUPPORTED[section]), set(INERT[section]), set(APPLIED[section])]
    tables += [set(ALWAYS.get(section, {})), set(NEVER.get(section, {}))]
    assert len(set.union(*tables)) == sum(map(len, tables))
