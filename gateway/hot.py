"""HTTP/1.1 for the hot POSTs alone, below ASGI: bytes of a request in, bytes of its answer out.

It takes a request only when its head lies whole in what was read and asks for nothing unusual; every
other one is left to the server's own protocol, which then keeps the connection.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from http import HTTPStatus

import httptools

from gateway.door import ApiDoor, endpoint_of
from gateway.errors import ApiError
from gateway.messages import Inbound, Reply, error_reply

type Drain = Callable[[], Awaitable[None]]

_HOT = re.compile(
    rb"POST /*(?:v1/+)?(?:chat/+completions|responses|messages|completions|embeddings)/*"
    rb"(?:\?[^ ]*)? HTTP/1\.1\r\n"
)
# Asks for more than a plain exchange, or frames its body in a way left to the server.
_UNUSUAL = re.compile(rb"\r\n(?:upgrade|expect|transfer-encoding|http2-settings)[ \t]*:", re.IGNORECASE)
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,12})[ \t]*\r\n", re.IGNORECASE)
_LONGEST_HEAD = 64 * 1024
_MOST_AHEAD = 64 * 1024
_PHRASES = {status.value: status.phrase for status in HTTPStatus}


def takes(data: bytes, longest_body: int) -> bool:
    """Whether these first bytes of a request are one for here."""
    if not _HOT.match(data):
        return False
    end = data.find(b"\r\n\r\n", 0, _LONGEST_HEAD) + 2
    length = _LENGTH.search(data, 0, end)
    if end < 2 or length is None or int(length.group(1)) > longest_body:
        return False
    return not _UNUSUAL.search(data, 0, end)


class HotConnection:
    """Serves the hot requests of one client connection, one after the other.

    `drain` waits until the client has read enough; `alive` says whether the server takes more requests;
    `hand_over` gets the bytes of the first request that is not for here; `linger` closes while more may come.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        door: ApiDoor,
        *,
        drain: Drain,
        alive: Callable[[], bool],
        hand_over: Callable[[bytes], None],
        linger: Callable[[], None],
    ) -> None:
        self._transport = transport
        self._door = door
        self._drain = drain
        self._alive = alive
        self._hand_over = hand_over
        self._linger = linger
        self._parser: httptools.HttpRequestParser | None = None
        self._task: asyncio.Task[None] | None = None
        self._ahead = b""
        self._reset()

    def _reset(self) -> None:
        self._url = b""
        self._headers: dict[str, str] = {}
        self._pieces: list[bytes] = []
        self._complete = False
        self._keep_alive = False
        self._second = False

    @property
    def idle(self) -> bool:
        """Between two requests, with nothing of the next one read."""
        return self._parser is None and self._task is None

    def feed(self, data: bytes) -> None:
        """Bytes from the client."""
        if self._task is not None:
            self._ahead += data
            if len(self._ahead) > _MOST_AHEAD:
                self._transport.abort()
            return
        if self._parser is None:
            if not takes(data, self._door.max_body_bytes):
                self._hand_over(data)
                return
            self._reset()
            self._parser = httptools.HttpRequestParser(self)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._refuse(ApiError(400, "This is not an HTTP/1.1 request.", code="bad_http"))
            return
        if self._complete:
            self._task = asyncio.get_running_loop().create_task(self._serve())

    def cancel(self) -> None:
        """The client is gone, or the server stops: the request ends now."""
        if self._task is not None:
            self._task.cancel()

    # --- httptools -----------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._complete:  # a pipelined request: the client sends it again after the close
            self._second = True

    def on_url(self, url: bytes) -> None:
        if not self._complete:
            self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._complete:
            self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, piece: bytes) -> None:
        if not self._complete:
            self._pieces.append(piece)

    def on_message_complete(self) -> None:
        if not self._complete:
            assert self._parser is not None
            self._complete = True
            self._keep_alive = self._parser.should_keep_alive()

    # --- answering -----------------------------------------------------------------------------

    async def _serve(self) -> None:
        try:
            inbound = self._inbound()
            reply = await self._door.relayed(inbound)
            if self._door.cors is not None:
                reply = self._door.cors.marked(reply, inbound)
            await self._send(reply)
        finally:
            self._task = self._parser = None
        if self._second:
            self._linger()
        elif not self._keep_alive or not self._alive():
            self._transport.close()
        elif self._ahead:
            data, self._ahead = self._ahead, b""
            self.feed(data)

    def _inbound(self) -> Inbound:
        path, _, query = self._url.partition(b"?")
        body = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        endpoint = endpoint_of(path.decode("latin-1"))
        return Inbound("POST", endpoint, query.decode("latin-1"), self._headers, body)

    async def _send(self, reply: Reply) -> None:
        body = reply.body
        if isinstance(body, bytes):
            self._transport.write(self._head(reply, f"content-length: {len(body)}") + body)
            return
        try:
            head = self._head(reply, "transfer-encoding: chunked")
            async for piece in body:
                self._transport.write(b"%s%x\r\n%s\r\n" % (head, len(piece), piece))
                head = b""
                await self._drain()
            self._transport.write(head + b"0\r\n\r\n")
        finally:
            body.close()

    def _head(self, reply: Reply, framing: str) -> bytes:
        lines = [f"HTTP/1.1 {reply.status} {_PHRASES.get(reply.status, '')}", framing, _date()]
        lines += [f"{name}: {value}" for name, value in reply.headers.items()]
        if not self._keep_alive or self._second or not self._alive():
            lines.append("connection: close")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def _refuse(self, error: ApiError) -> None:
        self._keep_alive = False
        inbound = self._inbound()
        reply = error_reply(error, inbound.endpoint, inbound.request_id)
        if self._door.cors is not None:
            reply = self._door.cors.marked(reply, inbound)
        assert isinstance(reply.body, bytes), "errors are whole"
        self._parser = None
        self._transport.write(self._head(reply, f"content-length: {len(reply.body)}") + reply.body)
        self._linger()


_dated = (0, "")


def _date() -> str:
    global _dated
    now = int(time.time())
    if _dated[0] != now:
        _dated = (now, f"date: {formatdate(now, usegmt=True)}")
    return _dated[1]
