"""What each generation of the models of the Messages wire takes."""

import pytest

from providers.adapters import anthropic


@pytest.mark.parametrize(
    ("model", "adaptive", "sampling"),
    [
        ("claude-3-5-sonnet-20241022", False, True),
        ("claude-sonnet-4-20250514", False, True),
        ("claude-opus-4-1-20250805", False, True),
        ("claude-haiku-4-5-20251001", False, True),
        ("claude-sonnet-4-6", True, True),
        ("claude-opus-4-6", True, True),
        ("claude-opus-4-7", True, False),
        ("claude-opus-4-8", True, False),
        ("claude-sonnet-5", True, False),
        ("claude-opus-5-5", True, False),
        ("claude-mythos-preview", True, False),
        ("claude-fable-5-1", True, False),
        ("a-model-of-somebody-else", False, True),
    ],
)
def test_generations_of_models(model: str, adaptive: bool, sampling: bool) -> None:
    assert anthropic.thinks_adaptively(model) is adaptive
    assert ("temperature" not in anthropic.refused_params("anthropic", model)) is sampling
    assert anthropic.cap_param("anthropic", model) == "max_tokens"
