"""The API's door: from ASGI messages to a view and back, with no middleware, signal or thread between."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import structlog
from django.http import HttpResponseBase
from django.urls import Resolver404, get_resolver

from gateway.cors import Cors
from gateway.errors import ApiError
from gateway.messages import Inbound, Reply, error_reply
from gateway.relay import relay
from gateway.runtime import Gateway
from gateway.streams import StreamBroken
from gateway.surfaces import FORMS, SURFACES
from gateway.uploads import Upload, is_form, too_large
from gateway.views.base import ApiRequest, ReplyResponse

type Scope = MutableMapping[str, Any]
type Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
type Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

log = structlog.get_logger(__name__)
# What Django's pages own. Everything else is the API's, also what does not exist: clients read no HTML.
_PAGES = re.compile(r"/(?:(?:admin|static)(?:/.*)?)?", re.DOTALL)
_SLASHES = re.compile(r"/{2,}")
# POSTs that `DIRECT_DOOR` hands to `relay` without building a Django request.
RELAYED = SURFACES.keys()


class ClientGone(Exception):
    """The client left before its request was read."""


def is_api(path: str) -> bool:
    return _PAGES.fullmatch(path) is None


def endpoint_of(path: str) -> str:
    """`/v1/chat/completions/`, `//chat/completions` -> "chat/completions"."""
    endpoint = _SLASHES.sub("/", path).strip("/")
    return endpoint.removeprefix("v1/") if endpoint != "v1" else ""


class ApiDoor:
    """Serves the API for one worker. `direct`: relayed POSTs skip the Django request and view.

    `cors`: which web pages may ask; None: none.
    """

    def __init__(self, gateway: Gateway, *, direct: bool, cors: Cors | None = None) -> None:
        self._gateway = gateway
        self._direct = direct
        self.cors = cors
        self._resolver = get_resolver("gateway.api_urls")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        inbound = Inbound(
            method=scope["method"],
            endpoint=endpoint_of(scope["path"]),
            query=scope["query_string"].decode("latin-1"),
            headers=_headers(scope),
            body=b"",
        )
        try:
            inbound = await self._with_body(inbound, receive)
            reply = _closing(await self._reply(scope, inbound), inbound)
        except ClientGone:
            return
        except ApiError as error:
            reply = error_reply(error, inbound.endpoint, inbound.request_id)
        except Exception:  # the edge: what nobody foresaw is logged once and told in the one shape
            log.exception("request_failed", endpoint=inbound.endpoint)
            told = ApiError(500, "The gateway failed to serve this request.", code="internal_error")
            reply = error_reply(told, inbound.endpoint, inbound.request_id)
        try:
            if self.cors is not None:
                reply = self.cors.marked(reply, inbound)
            await _send(reply, send, head=scope["method"] == "HEAD")
        finally:
            if inbound.upload is not None:
                inbound.upload.close()

    @property
    def direct(self) -> bool:
        """Whether relayed POSTs skip the Django request and view."""
        return self._direct

    @property
    def max_body_bytes(self) -> int:
        most: int = self._gateway.max_body_bytes
        return most

    async def relayed(self, inbound: Inbound) -> Reply:
        """The answer to a relayed POST, whatever happens."""
        try:
            return await relay(self._gateway, inbound)
        except Exception:  # the edge: what nobody foresaw is logged once and told in the one shape
            log.exception("request_failed", endpoint=inbound.endpoint)
            told = ApiError(500, "The gateway failed to serve this request.", code="internal_error")
            return error_reply(told, inbound.endpoint, inbound.request_id)

    async def _reply(self, scope: Scope, inbound: Inbound) -> Reply:
        if self.cors is not None and (reply := self.cors.preflight(inbound)):
            return reply
        if self._direct and inbound.method == "POST" and inbound.endpoint in RELAYED:
            return await self.relayed(inbound)
        try:
            match = self._resolver.resolve(_resolvable(scope, inbound))
        except Resolver404:
            message = f"There is nothing at {scope['path'][:200]}."
            raise ApiError(404, message, code="unknown_url") from None
        request = ApiRequest(dict(scope), inbound, self._gateway)
        response: HttpResponseBase = await match.func(request, *match.args, **match.kwargs)
        assert isinstance(response, ReplyResponse), "API views answer with ReplyResponse"
        return response.reply

    def _upload(self, inbound: Inbound, receive: Receive) -> Upload:
        async def piece() -> tuple[bytes, bool]:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise asyncio.CancelledError
            return message.get("body", b""), message.get("more_body", False)

        gateway, most = self._gateway, self._gateway.max_upload_bytes
        declared = _declared(inbound)
        if declared > most:
            raise too_large(most)
        idle = gateway.upload_idle_seconds
        return Upload(piece, inbound.headers["content-type"], most=most, idle=idle, declared=declared)

    async def _with_body(self, inbound: Inbound, receive: Receive) -> Inbound:
        if inbound.endpoint in FORMS and is_form(inbound.headers):
            return replace(inbound, upload=self._upload(inbound, receive))
        limit = self._gateway.max_body_bytes
        if _declared(inbound) > limit:
            raise _too_large(limit)
        pieces: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            piece = message.get("body", b"")
            size += len(piece)
            if size > limit:
                raise _too_large(limit)
            pieces.append(piece)
            if not message.get("more_body"):
                break
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        return replace(inbound, body=body)


def _declared(inbound: Inbound) -> int:
    """How many bytes the body says that it has; 0: it does not say."""
    told = inbound.headers.get("content-length", "")
    return int(told) if told.isdigit() else 0


def _resolvable(scope: Scope, inbound: Inbound) -> str:
    """Model ids may hold an encoded slash, and slashes that are their own."""
    raw = scope.get("raw_path")
    if raw and inbound.endpoint.startswith("models/") and b"%" in raw:
        return "/" + endpoint_of(unquote(raw.split(b"?")[0].decode("latin-1")))
    return "/" + inbound.endpoint


def _headers(scope: Scope) -> Mapping[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def _closing(reply: Reply, inbound: Inbound) -> Reply:
    """What of an upload nobody read must not be taken for the next request."""
    if inbound.upload is None or inbound.upload.complete:
        return reply
    return replace(reply, headers={**reply.headers, "connection": "close"})


def _too_large(limit: int) -> ApiError:
    message = f"The body is larger than {limit // 2**20} MB, the most this gateway takes (MAX_BODY_MB)."
    return ApiError(413, message, code="request_too_large", headers={"connection": "close"})


async def _send(reply: Reply, send: Send, *, head: bool) -> None:
    body = reply.body
    try:
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in reply.headers.items()]
        if isinstance(body, bytes):
            if reply.status != 204:
                headers.append((b"content-length", str(len(body)).encode()))
            await send({"type": "http.response.start", "status": reply.status, "headers": headers})
            await send({"type": "http.response.body", "body": b"" if head else body})
            return
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        if head:
            await send({"type": "http.response.body", "body": b""})
            return
        async for piece in body:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    except StreamBroken as broken:  # the server ends an answer without an end by closing its connection
        log.warning("answer_broke_off", error=str(broken))
    finally:
        if not isinstance(body, bytes):
            body.close()
