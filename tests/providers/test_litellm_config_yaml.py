"""YAML as people write it: anchors and merges work, duplicates and foreign tags are told with their line."""

import pytest

from providers.litellm_yaml import load
from tests.providers.litellm_files import config_of, refusal_of, verdict_on


def test_anchors_and_merge_keys_give_every_entry_its_own_values() -> None:
    text = """
x-local: &local
  api_base: http://10.0.0.1/v1
  weight: 4
model_list:
  - model_name: a
    litellm_params: {<<: *local, model: openai/a, weight: 7}
  - model_name: b
    litellm_params: {<<: [*local], model: openai/b}
"""
    config = config_of(text)
    assert [row.weight for row in config.deployments] == [7, 4]
    assert verdict_on(config, "[1].litellm_params.weight").line == 4
    assert verdict_on(config, "x-local.weight").verdict == "inert"


def test_a_duplicate_key_names_both_lines() -> None:
    text = "general_settings:\n  master_key: a\n  drop_params: true\n  master_key: b\n"
    assert refusal_of(text) == "config.yml:4: general_settings.master_key: duplicate key, also on line 2"


def test_a_duplicate_key_under_usage_limits_is_not_shown() -> None:
    text = "general_settings:\n  usage_limits:\n    sk-alice-secret: {}\n    sk-alice-secret: {}\n"
    assert refusal_of(text).startswith("config.yml:4: general_settings.usage_limits.sk-…: duplicate key")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "config.yml:1: broken YAML"),
        ("a:\n\tb: 1", "config.yml:2: broken YAML"),
        ("a: !!python/object:os.system {}", "not plain YAML"),
        ("a: !!set {b}", "not plain YAML"),
        ("a: &a [*a]", "contains itself"),
        ("a: &a {b: *a}", "contains itself"),
        ("a: &a {<<: *a}", "contains itself"),
        ("a: *nothing", "config.yml:1: broken YAML: found undefined alias"),
        ("? [a]\n: b", "a key is plain text"),
        ("a: .inf", "a finite number is expected"),
        ("a: !!int x", "not a value of type int"),
        ("a: " + "9" * 5000, "not a value of type int"),
        ('a: "\\0"', "no text"),
        ('a: "\\ud800"', "no text"),
        ('a: "\\UFFFFFFFF"', "impossible escape"),
        ("a: \x07", "config.yml:1: broken YAML"),
        ("a: " + "[" * 3000 + "]" * 3000, "too deep"),
        ("a: 1\n---\nb: 2", "broken YAML"),
        ("<<: 3", "<< takes a mapping"),
    ],
)
def test_yaml_that_cannot_be_read_is_one_message(text: str, message: str) -> None:
    refusal = refusal_of(text)
    assert message in refusal
    assert "\n" not in refusal


def test_aliases_of_aliases_do_not_fill_the_memory() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert "too deep" in refusal_of("\n".join(lines))


def test_dates_and_versions_stay_text() -> None:
    assert load("a: 2025-01-01\nb: 1.0.0", "f").plain() == {"a": "2025-01-01", "b": "1.0.0"}
