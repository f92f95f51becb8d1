"""From a client's call to the request that one deployment gets, and what of the deployment stays hidden."""

import re
from collections.abc import Collection, Mapping
from types import MappingProxyType
from uuid import UUID

import msgspec

from gateway.calls import Call, rewrite
from gateway.errors import speaks_anthropic
from gateway.messages import Inbound
from gateway.passages import Passage
from gateway.surfaces import CHAT
from gateway.surfaces.base import Surface
from providers.adapters import anthropic
from providers.connection import Body, UpstreamRequest
from providers.snapshot import Target

# A client's own words to a provider; all else (credentials, cookies, hop-by-hop, Host) stays here.
_PASSED_HEADERS = (
    "anthropic-beta",
    "anthropic-version",
    "idempotency-key",
    "openai-beta",
    "traceparent",
    "tracestate",
)
type Edits = Mapping[str, bytes | None]
NO_EDITS: Edits = MappingProxyType({})
NO_CAPS = frozenset[str]()
# Beneath the headers of the provider's own configuration.
_OWN_HEADERS = {
    "content-type": "application/json",
    "accept": "application/json, text/event-stream",
    "user-agent": "switchyard",
}
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_options = msgspec.json.Decoder(dict[str, msgspec.Raw] | None)
_ONLY_USAGE = b'{"include_usage":true}'


def upstream_body(
    call: Call, target: Target, output_cap: int | None, wire: Surface = CHAT, edits: Edits = NO_EDITS
) -> bytes:
    """The body for this deployment: its model name and defaults, usage asked for, refused parameters gone.

    `call` is in the words of the `wire`; `edits` are fields that hold something else for the provider.
    """
    cap_param = wire.cap or target.cap_param
    caps = frozenset({*wire.reading.caps, cap_param}) if wire.reading.writes else NO_CAPS
    edited: dict[str, bytes | None] = {
        name: value for name, value in target.defaults.items() if name not in call.fields
    }
    if caps & call.fields.keys():
        edited = {name: value for name, value in edited.items() if name not in caps}
    edited |= dict.fromkeys(target.refused & call.fields.keys())
    for name in target.refused & edited.keys():
        edited[name] = None
    if output_cap is not None and caps:
        _lower_cap(edited, caps, cap_param, output_cap)
        # the client's other one was null, or beyond all bounds
        edited |= dict.fromkeys((caps - {cap_param}) & call.fields.keys())
    if call.tags is not None:
        edited["metadata"] = _without_tags(call)
    edited["model"] = msgspec.json.encode(target.upstream_model)
    if wire.reading.usage_option:
        edited["stream_options"] = _stream_options(call)
    edited |= edits
    return rewrite(call, edited)


def _lower_cap(edits: dict[str, bytes | None], caps: Collection[str], name: str, cap: int) -> None:
    """The answer may have `cap` tokens at most; a lower default of the deployment stays."""
    lower = [int(value) for cap_name in caps if (value := edits.pop(cap_name, None)) and value.isdigit()]
    edits[name] = str(min([cap, *lower])).encode()


def _without_tags(call: Call) -> bytes | None:
    """What is left of the metadata; None: nothing."""
    left = {name: value for name, value in _object.decode(call.fields["metadata"]).items() if name != "tags"}
    return msgspec.json.encode(left) if left else None


def _stream_options(call: Call) -> bytes | None:
    if not call.stream:
        return None
    given = _options.decode(call.fields.get("stream_options", b"null"))
    return msgspec.json.encode({**given, "include_usage": True}) if given else _ONLY_USAGE


def upstream_request(
    inbound: Inbound, target: Target, passage: Passage, body: bytes | Body, attempt_id: UUID, path: str = ""
) -> UpstreamRequest:
    """The request as it is sent; `x-request-id` is the attempt's own id. `path`: if not that of the wire."""
    wire = passage.wire.name
    translated = passage.translation is not None
    path = f"{target.base_path}/{wire if translated else path or wire}"
    headers = _wire_headers(passage.wire, inbound)
    headers |= {name: value for name in _PASSED_HEADERS if (value := inbound.headers.get(name))}
    headers |= target.headers
    headers["x-request-id"] = str(attempt_id)
    return UpstreamRequest(
        destination=target.destination,
        # a provider's answer to HEAD has a length and no body to wait for: the body is left out at the door
        method="GET" if inbound.method == "HEAD" else inbound.method,
        path=f"{path}?{inbound.query}" if inbound.query and not translated else path,
        headers=tuple(headers.items()),
        body=body,
        connect_timeout=target.connect_timeout,
    )


def _wire_headers(wire: Surface, inbound: Inbound) -> dict[str, str]:
    """Beneath what the client and the provider's configuration say."""
    headers = dict(_OWN_HEADERS)
    if inbound.upload is not None:
        headers |= {"content-type": inbound.upload.content_type, "accept": "*/*"}
    elif not inbound.body:
        del headers["content-type"]
    elif wire.binary:
        headers["accept"] = "*/*"
    if speaks_anthropic(wire.name):
        headers["anthropic-version"] = anthropic.VERSION
    return headers


def hide(body: bytes, target: Target) -> bytes:
    """A provider's words without its address and our credential."""
    for value in _secrets(target.headers):
        body = body.replace(value.encode(), b"[hidden]")
    host = re.escape(target.destination.host.encode())
    # a whole word only: a container called "llm" must not blank a part of "smollm2"
    pattern = rb"(?:https?://)?(?<![\w-])\[?" + host + rb"\]?(?![\w-])(?::\d+)?(?:/[^\s\"'<>\\]*)?"
    return re.sub(pattern, b"[provider]", body, flags=re.IGNORECASE)


def _secrets(headers: tuple[tuple[str, str], ...]) -> list[str]:
    values = [value.removeprefix("Bearer ") for _, value in headers]
    return [value for value in values if len(value) >= 8]  # shorter ones would blank common words
