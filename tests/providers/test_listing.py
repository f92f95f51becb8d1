"""What providers send as the list of their models, and what is made of it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.listing import LONGEST_ID, Listed, NoList, kind_of, page_of
from providers.models import Model


def page(*entries: Any, **more: Any) -> Any:
    return page_of(json.dumps({"object": "list", "data": entries, **more}).encode())


def test_the_openai_form() -> None:
    told = page({"id": "gpt-5", "object": "model"}, {"id": "text-embedding-3-small"})
    assert told.models == (Listed("gpt-5", "chat"), Listed("text-embedding-3-small", "embedding"))
    assert told.after is None


def test_anthropics_form_goes_on_behind_its_last_id() -> None:
    model = {"type": "model", "id": "claude-opus-5", "max_input_tokens": 200000, "max_tokens": 64000}
    told = page(model, has_more=True, first_id="claude-opus-5", last_id="claude-opus-5")
    assert told.models == (Listed("claude-opus-5", "chat", 200000, 64000),)
    assert told.after == "claude-opus-5"
    assert page(model, has_more=False, last_id="claude-opus-5").after is None


def test_a_list_alone_is_one_too() -> None:
    assert page_of(b'[{"id": "a/b"}]').models == (Listed("a/b", "chat"),)


@pytest.mark.parametrize(
    ("told", "most"),
    [
        ({"max_model_len": 32768}, (32768, None)),
        ({"context_length": 8192, "top_provider": {"max_completion_tokens": 4096}}, (8192, 4096)),
        ({"context_window": 131072, "max_completion_tokens": 8192}, (131072, 8192)),
        ({"max_context_length": 1000}, (1000, None)),
        ({"max_model_len": "32768", "context_length": 10**12}, (None, None)),
        ({"max_model_len": True, "context_length": -1}, (None, None)),
        ({"max_tokens": 5}, (None, None)),
    ],
)
def test_how_much_a_model_takes(told: dict[str, Any], most: tuple[int | None, int | None]) -> None:
    [model] = page({"id": "m", **told}).models
    assert (model.max_input_tokens, model.max_output_tokens) == most


@pytest.mark.parametrize(
    ("id", "kind"),
    [
        ("gpt-5", "chat"),
        ("meta-llama/Llama-Guard-4-12B", "chat"),
        ("text-embedding-3-large", "embedding"),
        ("BAAI/bge-m3", "embedding"),
        ("intfloat/e5-mistral-7b-instruct", "embedding"),
        ("BAAI/bge-reranker-v2-m3", "rerank"),
        ("whisper-1", "audio_transcription"),
        ("gpt-4o-transcribe", "audio_transcription"),
        ("tts-1-hd", "audio_speech"),
        ("gpt-4o-mini-tts", "audio_speech"),
        ("hexgrad/Kokoro-82M", "audio_speech"),
        ("dall-e-3", "image_generation"),
        ("gpt-image-1", "image_generation"),
        ("black-forest-labs/FLUX.1-schnell", "image_generation"),
        ("influx-coder", "chat"),
        ("omni-moderation-latest", "moderation"),
        ("davinci-002", "completion"),
        ("gpt-3.5-turbo-instruct", "completion"),
    ],
)
def test_what_a_name_says(id: str, kind: str) -> None:
    assert kind_of(id, {}) == kind
    assert kind in Model.Kind.values


@pytest.mark.parametrize(
    ("entry", "kind"),
    [
        ({"type": "image"}, "image_generation"),
        ({"model_type": "reranker"}, "rerank"),
        ({"task": "automatic-speech-recognition"}, "audio_transcription"),
        ({"architecture": {"output_modalities": ["image"]}}, "image_generation"),
        ({"architecture": {"output_modalities": ["image", "text"]}}, "chat"),
        ({"type": ["image"], "kind": 5, "architecture": []}, "chat"),
    ],
)
def test_what_a_provider_says_of_a_model_counts_more(entry: dict[str, Any], kind: str) -> None:
    assert kind_of("my-model", entry) == kind


def test_entries_that_no_deployment_could_name_are_counted() -> None:
    bad = [
        None,
        5,
        {},
        {"id": ""},
        {"id": 5},
        {"id": "a\x1b[31m"},
        {"id": " a"},
        {"id": "a*"},
        {"id": "a" * 301},
    ]
    told = page(*bad, {"id": "a" * LONGEST_ID})
    assert (len(told.models), told.unusable) == (1, len(bad))


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"{}", b'{"data": {}}', b'"x"', b"5", b"[" * 100_000, b'{"data": "\xff"}', b"null"],
)
def test_what_is_no_list_is_told(body: bytes) -> None:
    with pytest.raises(NoList):
        page_of(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["id", "type", "data", "x"]), inner),
    max_leaves=20,
)


@given(JSON)
def test_whatever_comes_is_a_list_or_none(told: Any) -> None:
    try:
        found = page_of(json.dumps(told).encode())
    except NoList:
        return
    assert all(model.kind in Model.Kind.values for model in found.models)
