"""Speech and transcriptions: answers may be sound or plain text, and pass as they come."""

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.answers import NEVER_TOLD, StreamState, Usage, Verdict, read_usage, seconds_heard, text_size
from gateway.calls import Reading
from gateway.framing import TYPED
from gateway.surfaces.base import Surface


class _Told(msgspec.Struct):
    text: Any = None
    segments: Any = None
    usage: Any = None
    duration: Any = None
    error: Any = None


class _Event(msgspec.Struct):
    type: Any = None
    usage: Any = None
    error: Any = None


_told = msgspec.json.Decoder(_Told)
_event = msgspec.json.Decoder(_Event)


def _usage(reported: object, duration: object = None) -> Usage:
    """Some count tokens, some seconds, some nothing; a `verbose_json` tells how long the sound was."""
    told = reported if isinstance(reported, Mapping) else {}
    if "input_tokens" in told:
        return read_usage(told)
    seconds = seconds_heard(told.get("seconds", duration))
    return Usage(seconds=seconds) if seconds else NEVER_TOLD


def _judge_text(body: bytes) -> Verdict:
    """A transcription in JSON. Silence has an empty text."""
    try:
        answer = _told.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return Verdict("empty_answer" if not body.strip() else "broken_answer")
    if answer.error:
        return Verdict("error_in_answer", error=answer.error)
    if not isinstance(answer.text, str) and not isinstance(answer.segments, list):
        return Verdict("no_text")
    return Verdict("", _usage(answer.usage, answer.duration))


def _judge_speech(body: bytes) -> Verdict:
    """JSON is no sound."""
    try:
        error = _told.decode(body).error
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        error = None
    return Verdict("error_in_answer" if error else "wrong_content_type", error=error)


def _weigh_text(body: bytes) -> int:
    try:
        return -(-text_size(_told.decode(body).text) // 4)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return 0


def _nothing(_: bytes) -> int:
    return 0


def _watch(state: StreamState, data: bytes) -> tuple[StreamState, bool]:
    """`speech.audio.delta` and `.done`, `transcript.text.delta`, `.segment` and `.done`."""
    try:
        event = _event.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return state, False
    if event.error:
        return msgspec.structs.replace(state, error=event.error), False
    kind = event.type if isinstance(event.type, str) else ""
    ended = kind.endswith(".done")
    return msgspec.structs.replace(
        state,
        tokens=state.tokens + kind.endswith(".delta"),
        usage=_usage(event.usage) if ended else state.usage,
        finished=state.finished or ended,
        begun=state.begun or bool(kind),
        bulk=state.bulk or kind.startswith("speech."),
    ), False


SPEECH = Surface(
    "audio/speech",
    Reading(texts=("input", "instructions"), spoken="input", writes=False),
    _judge_speech,
    _nothing,
    TYPED,
    _watch,
    binary=True,
)
_HEARD = Reading(texts=("prompt",), heard=True, writes=False)


def _written(name: str) -> Surface:
    """Silence written as plain text has no byte, and older models write no streams."""
    return Surface(
        name,
        _HEARD,
        _judge_text,
        _weigh_text,
        TYPED,
        _watch,
        binary=True,
        may_be_whole=True,
        may_be_empty=True,
    )


TRANSCRIPTIONS = _written("audio/transcriptions")
TRANSLATIONS = _written("audio/translations")
