"""What OpenAI's own models take, by their names."""

import pytest

from providers.adapters import openai


@pytest.mark.parametrize(
    ("model", "effort", "top_k", "sampling"),
    [
        ("gpt-3.5-turbo", False, False, True),
        ("gpt-4", False, False, True),
        ("gpt-4-turbo-2024-04-09", False, False, True),
        ("gpt-4o", False, False, True),
        ("gpt-4o-mini-2024-07-18", False, False, True),
        ("ft:gpt-4o-mini-2024-07-18:acme::abc", False, False, True),
        ("gpt-4.1-nano", False, False, True),
        ("chatgpt-4o-latest", False, False, True),
        ("o1-mini", False, False, False),
        ("o1-preview", False, False, False),
        ("o1", True, False, False),
        ("o3-mini", True, False, False),
        ("o4-mini", True, False, False),
        ("ft:o4-mini-2025-04-16:acme::abc", True, False, False),
        ("gpt-5", True, False, False),
        ("gpt-5.6-codex", True, False, False),
        ("gpt-5-chat-latest", True, False, True),  # of its efforts nothing is known
        ("gpt-oss-120b", True, True, True),
        ("omni-of-somebody", True, True, True),
        ("qwen3-32b", True, True, True),
    ],
)
def test_what_a_model_is_known_to_refuse(model: str, effort: bool, top_k: bool, sampling: bool) -> None:
    refused = openai.refused_params("openai", model)
    taken = [name not in refused for name in ("reasoning_effort", "top_k", "temperature")]
    assert taken == [effort, top_k, sampling]


def test_of_others_models_the_names_say_nothing() -> None:
    for kind in ("hosted_vllm", "openrouter", "custom_openai"):
        assert openai.refused_params(kind, "gpt-4o") == frozenset()
    assert "top_k" not in openai.refused_params("groq", "gpt-4o")
