"""messages, Anthropic's surface: usage comes in two parts, and cached tokens are beside the input."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec

from gateway.answers import NOT_TOLD, StreamState, Unsound, Usage, Verdict, better, count, text_size
from gateway.calls import Reading
from gateway.framing import ANTHROPIC
from gateway.surfaces.base import Surface

_READ = Reading(
    caps=("max_tokens",),
    texts=("system", "tools", "output_config"),
    messages=("messages",),
    user_in_metadata=True,
)
_INPUTS = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")


class _Message(msgspec.Struct):
    type: Any = None
    content: Any = None
    usage: Any = None
    error: Any = None


class _Delta(msgspec.Struct):
    stop_reason: Any = None


class _Event(msgspec.Struct):
    type: Any = None
    message: _Message | None = None
    delta: _Delta | None = None
    usage: Any = None
    error: Any = None


class _Counted(msgspec.Struct):
    input_tokens: Any = None
    error: Any = None


_message = msgspec.json.Decoder(_Message)
_event = msgspec.json.Decoder(_Event)
_counted = msgspec.json.Decoder(_Counted)


def read_usage(reported: object) -> Usage:
    """Anthropic's `usage`: the prompt is its input with what was read from and written to the cache."""
    if not reported:
        return NOT_TOLD
    if not isinstance(reported, Mapping):
        return replace(NOT_TOLD, anomaly="not_a_number")
    try:
        fresh, cached, written = (_told(reported, name) for name in _INPUTS)
        completion = count(reported.get("output_tokens", 0))
    except Unsound as wrong:
        return replace(NOT_TOLD, anomaly=str(wrong))
    return Usage(fresh + cached + written, completion, cached=cached, cache_write=written)


def _told(reported: Mapping[Any, Any], name: str) -> int:
    value = reported.get(name)
    return 0 if value is None else count(value)


def judge(body: bytes) -> Verdict:
    """Judge a whole message. Its content may be empty: a turn may end without words."""
    try:
        answer = _message.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return Verdict("empty_answer" if not body.strip() else "broken_answer")
    if answer.error:
        return Verdict("error_in_answer", error=answer.error)
    if not isinstance(answer.content, list):
        return Verdict("no_content")
    return Verdict("", read_usage(answer.usage))


def weigh(body: bytes) -> int:
    """Tokens of a whole answer that were not counted: four bytes of text each."""
    try:
        answer = _message.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return 0
    return -(-text_size(answer.content) // 4)


def watch(state: StreamState, data: bytes) -> tuple[StreamState, bool]:
    """The state after one event; none of them is only for those who asked for usage."""
    try:
        event = _event.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return state, False
    changed = msgspec.structs.replace
    match event.type:
        case "content_block_delta":
            return changed(state, tokens=state.tokens + 1, begun=True), False
        case "content_block_start" | "content_block_stop":
            return changed(state, begun=True), False
        case "message_start":
            told = event.message.usage if event.message else None
            # of the output nothing is known yet, whatever it says
            usage = replace(read_usage(told), completion=0) if told else state.usage
            return changed(state, usage=usage), False
        case "message_delta":
            usage, anomaly = better(state.usage, _after(state.usage, event.usage), state.anomaly)
            ended = bool(event.delta and event.delta.stop_reason)
            finished = state.finished or ended
            return changed(state, usage=usage, anomaly=anomaly, finished=finished, begun=True), False
        case "message_stop":
            return changed(state, done=True, finished=True, begun=True), False
    if event.error:
        return changed(state, error=event.error), False
    return state, False


def _after(start: Usage | None, reported: object) -> Usage:
    """The totals at the end: of the input what the beginning said, unless it is said again."""
    if start is None or start.anomaly or not isinstance(reported, Mapping):
        return read_usage(reported)
    if any(reported.get(name) is not None for name in _INPUTS):
        return read_usage(reported)
    try:
        return replace(start, completion=count(reported.get("output_tokens")))
    except Unsound as wrong:
        return replace(NOT_TOLD, anomaly=str(wrong))


def judge_count(body: bytes) -> Verdict:
    """Judge a count of tokens, which uses none."""
    try:
        answer = _counted.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return Verdict("empty_answer" if not body.strip() else "broken_answer")
    if answer.error:
        return Verdict("error_in_answer", error=answer.error)
    return Verdict("", Usage()) if isinstance(answer.input_tokens, int) else Verdict("no_count")


def _nothing(_: bytes) -> int:
    return 0


MESSAGES = Surface("messages", _READ, judge, weigh, ANTHROPIC, watch, cap="max_tokens")
COUNT_TOKENS = Surface(
    "messages/count_tokens",
    Reading(texts=_READ.texts, messages=_READ.messages, writes=False, user_in_metadata=True),
    judge_count,
    _nothing,
    ANTHROPIC,
)
