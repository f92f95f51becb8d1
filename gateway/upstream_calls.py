"""From a client's call to the request that one deployment gets, and what of the deployment stays hidden."""

import re
from uuid import UUID

import msgspec

from gateway.calls import Call, rewrite
from gateway.messages import Inbound
from providers.snapshot import Target
from providers.transport import UpstreamRequest

# A client's own words to a provider; all else (credentials, cookies, hop-by-hop, Host) stays here.
_PASSED_HEADERS = (
    "anthropic-beta",
    "anthropic-version",
    "idempotency-key",
    "openai-beta",
    "traceparent",
    "tracestate",
)
_CAPS = frozenset({"max_tokens", "max_completion_tokens"})
# Beneath the headers of the provider's own configuration.
_OWN_HEADERS = {
    "content-type": "application/json",
    "accept": "application/json, text/event-stream",
    "user-agent": "switchyard",
}
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_options = msgspec.json.Decoder(dict[str, msgspec.Raw] | None)
_ONLY_USAGE = b'{"include_usage":true}'


def upstream_body(call: Call, target: Target, output_cap: int | None) -> bytes:
    """The body for this deployment: its model name and defaults, usage asked for, refused parameters gone."""
    edits: dict[str, bytes | None] = {
        name: value for name, value in target.defaults.items() if name not in call.fields
    }
    if _CAPS & call.fields.keys():
        edits = {name: value for name, value in edits.items() if name not in _CAPS}
    edits |= dict.fromkeys(target.refused & call.fields.keys())
    for name in target.refused & edits.keys():
        edits[name] = None
    if output_cap is not None:
        _lower_cap(edits, target.cap_param, output_cap)
        # the client's other one was null, or beyond all bounds
        edits |= dict.fromkeys((_CAPS - {target.cap_param}) & call.fields.keys())
    if call.tags is not None:
        edits["metadata"] = _without_tags(call)
    edits["model"] = msgspec.json.encode(target.upstream_model)
    edits["stream_options"] = _stream_options(call)
    return rewrite(call, edits)


def _lower_cap(edits: dict[str, bytes | None], name: str, cap: int) -> None:
    """The answer may have `cap` tokens at most; a lower default of the deployment stays."""
    caps = [int(value) for cap_name in _CAPS if (value := edits.pop(cap_name, None)) and value.isdigit()]
    edits[name] = str(min([cap, *caps])).encode()


def _without_tags(call: Call) -> bytes | None:
    """What is left of the metadata; None: nothing."""
    left = {name: value for name, value in _object.decode(call.fields["metadata"]).items() if name != "tags"}
    return msgspec.json.encode(left) if left else None


def _stream_options(call: Call) -> bytes | None:
    if not call.stream:
        return None
    given = _options.decode(call.fields.get("stream_options", b"null"))
    return msgspec.json.encode({**given, "include_usage": True}) if given else _ONLY_USAGE


def upstream_request(inbound: Inbound, target: Target, body: bytes, attempt_id: UUID) -> UpstreamRequest:
    """The request as it is sent; `x-request-id` is the attempt's own id."""
    path = f"{target.base_path}/{inbound.endpoint}"
    headers = {name: value for name in _PASSED_HEADERS if (value := inbound.headers.get(name))}
    headers |= _OWN_HEADERS
    headers |= target.headers
    headers["x-request-id"] = str(attempt_id)
    return UpstreamRequest(
        destination=target.destination,
        method="POST",
        path=f"{path}?{inbound.query}" if inbound.query else path,
        headers=tuple(headers.items()),
        body=body,
        connect_timeout=target.connect_timeout,
    )


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
