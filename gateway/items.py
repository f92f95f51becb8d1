"""Responses that a provider keeps: read, listed, cancelled and deleted where they were made."""

import time
from typing import Any

import msgspec

from gateway import calls
from gateway.answers import StreamState, Usage, Verdict
from gateway.calibration import PromptSize
from gateway.errors import ApiError
from gateway.framing import TYPED
from gateway.handles import unseal
from gateway.messages import Inbound
from gateway.referring import place_of
from gateway.renaming import ITEM
from gateway.request import Pin, Request, seconds_allowed
from gateway.runtime import Gateway
from gateway.surfaces import responses
from gateway.surfaces.base import Surface
from keys.entries import Entry
from providers.snapshot import ServedModel

_NO_PROMPT = PromptSize(0, 0, 0)


class _Told(msgspec.Struct):
    error: Any = None
    object: Any = None


_told = msgspec.json.Decoder(_Told)


def _judge(body: bytes) -> Verdict:
    """Whatever the provider keeps, a response that failed too: its tokens were counted when it was made."""
    try:
        answer = _told.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return Verdict("empty_answer" if not body.strip() else "broken_answer")
    if answer.error and answer.object is None:
        return Verdict("error_in_answer", error=answer.error)
    return Verdict("", Usage())


def _nothing(_: bytes) -> int:
    return 0


def _watch(state: StreamState, data: bytes) -> tuple[StreamState, bool]:
    """The same events once more, which cost nothing."""
    told, hidden = responses.watch(state, data)
    return msgspec.structs.replace(told, usage=Usage(), tokens=0), hidden


SURFACE = Surface(ITEM, calls.Reading(writes=False), _judge, _nothing, TYPED, _watch)


def request_of(gateway: Gateway, caller: Entry, inbound: Inbound, name: str) -> tuple[Request, ServedModel]:
    """`name`: the client's of the response, with what is asked of it behind a slash. Raises `ApiError`."""
    name, _, part = name.partition("/")
    snapshot = gateway.snapshot
    call = calls.Call(
        body=inbound.body,
        fields={},
        model="",
        stream="stream=true" in inbound.query.split("&"),
        wants_usage=False,
        cap=0,
        choices=1,
        prompt=_NO_PROMPT,
        end_user="",
    )
    request = Request(gateway, snapshot, caller, call, inbound, SURFACE)
    handle = unseal("resp", name, request.owner)
    found = None if handle is None else place_of(snapshot, handle)
    if handle is None or found is None or not caller.may_use(found[0].name):
        message = f"No response with id '{name[:300]}' was found, or none that this key may see."
        raise ApiError(404, message, code="response_not_found")
    model, target = found
    request.path = f"responses/{handle.id}/{part}" if part else f"responses/{handle.id}"
    request.pin = Pin(target.id, target.provider)
    request.names = {handle.id: name}
    request.until = time.monotonic() + min(model.deadline, seconds_allowed(inbound.headers))
    return request, model
