"""A provider's own list of its models, as it sends it: ids, what each is for, and how much it takes.

The OpenAI form is `{"data": [{"id"}, ...]}`; Anthropic's has `has_more` and `last_id` too. Others send the
list alone, and what they know of a model under names of their own.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

# As wide as the column of a deployment's upstream model.
LONGEST_ID = 300
_MOST_TOKENS = 2**31 - 1
_INPUT = (
    *("max_input_tokens", "context_length", "max_model_len", "max_context_length"),
    *("context_window", "context_size", "max_context_window"),
)
_OUTPUT = ("max_output_tokens", "max_completion_tokens")
_SAYING_KIND = ("type", "model_type", "kind", "mode", "task")
_SAID: dict[str, str] = {
    "chat": "chat",
    "language": "chat",
    "llm": "chat",
    "embedding": "embedding",
    "embeddings": "embedding",
    "feature-extraction": "embedding",
    "rerank": "rerank",
    "reranker": "rerank",
    "score": "rerank",
    "image": "image_generation",
    "image_generation": "image_generation",
    "text-to-image": "image_generation",
    "moderation": "moderation",
    "transcribe": "audio_transcription",
    "transcription": "audio_transcription",
    "audio_transcription": "audio_transcription",
    "automatic-speech-recognition": "audio_transcription",
    "speech": "audio_speech",
    "tts": "audio_speech",
    "audio_speech": "audio_speech",
    "text-to-speech": "audio_speech",
}
# The first that fits a name decides; most names fit none, and are models to chat with.
_NAMED: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern))
    for kind, pattern in (
        ("rerank", r"rerank"),
        ("embedding", r"embed|minilm|(^|[/_-])(bge|e5|gte|voyage)-"),
        ("audio_transcription", r"whisper|transcribe|parakeet|(^|[/_-])canary-"),
        ("audio_speech", r"(^|[/_.-])tts($|[/_.-])|(^|[/_-])(kokoro|orpheus)"),
        (
            "image_generation",
            r"dall-e|gpt-image|chatgpt-image|stable-diffusion|sdxl|qwen-image|(^|[/_-])(flux|imagen)",
        ),
        ("moderation", r"moderation"),
        ("completion", r"^(babbage|davinci)-002$|-turbo-instruct"),
    )
)
_decoder = msgspec.json.Decoder()


class NoList(ValueError):
    """What came is no list of models; the message says what it is instead, for people."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A model as its provider names it; `kind` is one of `Model.Kind`. Tokens: None where it says nothing."""

    id: str
    kind: str
    max_input_tokens: int | None = None
    max_output_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """`after`: what the next page is asked for with; None: there is none. `unusable`: entries left out."""

    models: tuple[Listed, ...]
    after: str | None = None
    unusable: int = 0


def page_of(body: bytes) -> Page:
    """One page of a list. Raises `NoList`."""
    try:
        told = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise NoList("what came is no JSON") from None
    entries = told.get("data", told.get("models")) if isinstance(told, dict) else told
    if not isinstance(entries, list):
        raise NoList("what came has no list of models")
    models = tuple(model for entry in entries if (model := _listed(entry)) is not None)
    after = told.get("last_id") if isinstance(told, dict) and told.get("has_more") is True else None
    return Page(models, after if isinstance(after, str) and after else None, len(entries) - len(models))


def kind_of(id: str, entry: Mapping[str, Any]) -> str:
    """What a model is for: as its provider says, else as its name does."""
    for text in _words(entry):
        if (kind := _SAID.get(text.lower())) not in (None, "chat"):
            return str(kind)
    name = id.lower()
    return next((kind for kind, pattern in _NAMED if pattern.search(name)), "chat")


def _words(entry: Mapping[str, Any]) -> Iterator[str]:
    for name in _SAYING_KIND:
        if isinstance(text := entry.get(name), str):
            yield text
    nested = entry.get("architecture")
    made = nested.get("output_modalities") if isinstance(nested, dict) else None
    if isinstance(made, list) and "text" not in made:  # an image beside a text is a chat's
        yield from (text for text in made if isinstance(text, str))


def _listed(entry: object) -> Listed | None:
    """None: nothing that a deployment could name."""
    if not isinstance(entry, dict):
        return None
    id = entry.get("id")
    if not isinstance(id, str) or not 0 < len(id) <= LONGEST_ID or not id.isprintable() or id != id.strip():
        return None
    if "*" in id:  # it would stand for others
        return None
    output = _OUTPUT if entry.get("type") != "model" else (*_OUTPUT, "max_tokens")  # Anthropic's word
    return Listed(id, kind_of(id, entry), _tokens(entry, _INPUT), _tokens(entry, output))


def _tokens(entry: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    nested = entry.get("top_provider")
    for where in (entry, nested if isinstance(nested, dict) else {}):
        for name in names:
            value = where.get(name)
            if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _MOST_TOKENS:
                return value
    return None
