"""Surfaces that answer with one JSON object and write no text: embeddings, moderations, rerank, images."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec

from gateway.answers import NEVER_TOLD, StreamState, Usage, Verdict, read_usage
from gateway.calls import Reading
from gateway.framing import TYPED
from gateway.surfaces.base import Surface


class _Told(msgspec.Struct):
    data: Any = None
    results: Any = None
    usage: Any = None
    error: Any = None
    meta: Any = None


class _Event(msgspec.Struct):
    type: Any = None
    usage: Any = None
    error: Any = None


_told = msgspec.json.Decoder(_Told)
_event = msgspec.json.Decoder(_Event)


def _judge(
    field: str, usage_of: Callable[[_Told], Usage], *, may_be_empty: bool = False
) -> Callable[[bytes], Verdict]:
    """A good answer has something in this field, or `may_be_empty`.

    What clients send can leave it empty: a text without words, a picture that a filter held back.
    """

    def judge(body: bytes) -> Verdict:
        try:
            answer = _told.decode(body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return Verdict("empty_answer" if not body.strip() else "broken_answer")
        if answer.error:
            return Verdict("error_in_answer", error=answer.error)
        found = getattr(answer, field)
        if not isinstance(found, list):
            return Verdict(f"no_{field}")
        if not found and not may_be_empty:
            return Verdict(f"no_{field}", blameless=True)
        return Verdict("", usage_of(answer))

    return judge


def _counted(answer: _Told) -> Usage:
    return read_usage(answer.usage)


def _perhaps_counted(answer: _Told) -> Usage:
    return read_usage(answer.usage) if answer.usage else NEVER_TOLD


def _reranked(answer: _Told) -> Usage:
    """Jina's and vLLM's form tells only a total, Cohere's the tokens beside what it bills."""
    match answer.usage, answer.meta:
        case {"total_tokens": int(total), **rest}, _ if "prompt_tokens" not in rest:
            return read_usage({"prompt_tokens": total})
        case _, {"tokens": {"input_tokens": int(tokens)}}:
            return read_usage({"prompt_tokens": tokens})
    return _perhaps_counted(answer)


def _drawn(answer: _Told) -> Usage:
    return replace(_perhaps_counted(answer), images=len(answer.data))


def _nothing(_: bytes) -> int:
    return 0


def _watch_images(state: StreamState, data: bytes) -> tuple[StreamState, bool]:
    """`image_generation.partial_image` and `.completed`, `image_edit...` alike."""
    try:
        event = _event.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return state, False
    if event.error:
        return msgspec.structs.replace(state, error=event.error), False
    kind = event.type if isinstance(event.type, str) else ""
    ended = kind.endswith(".completed")
    usage = state.usage
    if ended:
        before = usage.images if usage else 0
        usage = replace(read_usage(event.usage) if event.usage else NEVER_TOLD, images=before + 1)
    return msgspec.structs.replace(
        state,
        usage=usage,
        finished=state.finished or ended,
        begun=state.begun or bool(kind),
        bulk=True,
    ), False


EMBEDDINGS = Surface(
    "embeddings",
    Reading(messages=("input",), writes=False, some="input"),
    _judge("data", _counted),
    _nothing,
    TYPED,
)
MODERATIONS = Surface(
    "moderations",
    Reading(messages=("input",), writes=False, some="input"),
    _judge("results", _perhaps_counted),
    _nothing,
    TYPED,
)
RERANK = Surface(
    "rerank",
    Reading(texts=("query", "documents"), writes=False, some="documents"),
    _judge("results", _reranked, may_be_empty=True),  # as many as `top_n` says, or as fit
    _nothing,
    TYPED,
)
_IMAGES = Reading(texts=("prompt",), pictures=True, writes=False)
IMAGES = Surface(
    "images/generations", _IMAGES, _judge("data", _drawn), _nothing, TYPED, _watch_images, may_be_whole=True
)
IMAGE_EDITS = Surface(
    "images/edits", _IMAGES, _judge("data", _drawn), _nothing, TYPED, _watch_images, may_be_whole=True
)
IMAGE_VARIATIONS = Surface("images/variations", _IMAGES, _judge("data", _drawn), _nothing, TYPED)
