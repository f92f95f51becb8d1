"""responses: typed events, the last of which holds the whole answer."""

from typing import Any

import msgspec

from gateway.answers import StreamState, Usage, Verdict, better, read_usage, text_size
from gateway.calls import Reading
from gateway.framing import TYPED
from gateway.surfaces.base import Surface

_LAST = frozenset({"response.completed", "response.incomplete", "response.failed"})
# Nothing of the answer has come with these: another deployment could still give it.
_BEFORE = frozenset({"response.created", "response.queued", "response.in_progress"})
_UNDER_WAY = frozenset({"queued", "in_progress"})


class _Response(msgspec.Struct):
    output: Any = None
    status: Any = None
    usage: Any = None
    error: Any = None


class _Event(msgspec.Struct):
    type: Any = None
    response: msgspec.Raw = msgspec.Raw(b"null")
    error: Any = None
    message: Any = None
    code: Any = None


_response = msgspec.json.Decoder(_Response)
_event = msgspec.json.Decoder(_Event)


def judge(body: bytes) -> Verdict:
    """Judge a whole response object."""
    try:
        answer = _response.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return Verdict("empty_answer" if not body.strip() else "broken_answer")
    if answer.error or answer.status == "failed":
        return Verdict("error_in_answer", error=answer.error or {"message": "The response failed."})
    if not isinstance(answer.output, list):
        return Verdict("no_output")
    if not answer.output and answer.status not in (*_UNDER_WAY, "incomplete"):
        told = read_usage(answer.usage)
        # a model that ends at once has written no more than its end
        return Verdict("", told) if told.completion else Verdict("no_output", blameless=told.prompt > 0)
    if answer.status in _UNDER_WAY:  # in the background: nobody counts it, and that is no fault
        return Verdict("", Usage(estimated=True, anomaly="never_told"))
    return Verdict("", read_usage(answer.usage))


def weigh(body: bytes) -> int:
    """Tokens of a whole answer that were not counted: four bytes of text each."""
    try:
        answer = _response.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return 0
    return -(-text_size(answer.output) // 4)


def watch(state: StreamState, data: bytes) -> tuple[StreamState, bool]:
    """The state after one event; none of them is only for those who asked for usage."""
    try:
        event = _event.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return state, False
    kind = event.type if isinstance(event.type, str) else ""
    if kind in _LAST:
        return _at_the_end(state, kind, event), False
    if kind == "error" or (not kind and event.error):
        error = event.error or {"message": event.message, "code": event.code}
        return msgspec.structs.replace(state, error=error), False
    if not kind or kind in _BEFORE:
        return state, False
    tokens = state.tokens + kind.endswith(".delta")
    return msgspec.structs.replace(state, tokens=tokens, begun=True), False


def _at_the_end(state: StreamState, kind: str, event: _Event) -> StreamState:
    try:
        response = _response.decode(event.response)
    except msgspec.DecodeError:
        response = _Response()
    usage, anomaly = state.usage, state.anomaly
    if response.usage:
        usage, anomaly = better(usage, read_usage(response.usage), anomaly)
    failed = kind == "response.failed"
    error = (response.error or {"message": "The response failed."}) if failed else state.error
    return msgspec.structs.replace(
        state, finished=not failed, done=not failed, usage=usage, anomaly=anomaly, error=error, begun=True
    )


RESPONSES = Surface(
    "responses",
    Reading(caps=("max_output_tokens",), texts=("instructions", "tools", "text"), messages=("input",)),
    judge,
    weigh,
    TYPED,
    watch,
    cap="max_output_tokens",
)
