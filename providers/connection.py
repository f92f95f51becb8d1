"""One connection to a provider: one request at a time, and no trust in any byte outside of an answer."""

import asyncio
import re
import select
import zlib
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol, cast

import httptools

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_LIMIT = 64 * 1024
_PAUSE_ABOVE = 256 * 1024
_MOST_INFLATED = 32 * 1024 * 1024  # out of one read of at most 256 KiB
_RESUME_BELOW = 64 * 1024
_WRITTEN_APART = 64 * 1024  # a larger body is not copied behind its head
_LAST_BYTES_SECONDS = 1.0


class UpstreamError(Exception):
    """The provider could not be asked, or its answer could not be read. `error_class` names how."""

    error_class = "upstream_error"


class ConnectFailed(UpstreamError):
    error_class = "connect_failed"


class DestinationRefused(ConnectFailed):
    error_class = "destination_refused"


class ConnectionLost(UpstreamError):
    """The connection ended before the answer did. `reused`: it died idle, nothing of the answer came."""

    error_class = "connection_lost"

    def __init__(self, message: str, *, reused: bool = False) -> None:
        super().__init__(message)
        self.reused = reused


class BadAnswer(UpstreamError):
    """What came is not HTTP/1.1, or beyond a bound."""

    error_class = "bad_answer"


class TooLarge(BadAnswer):
    """More than is taken of one answer, or of one event."""

    error_class = "answer_too_large"


class UpstreamTimeout(UpstreamError):
    error_class = "timeout"


@dataclass(frozen=True, slots=True)
class Destination:
    """Where to connect, and whether an operator confirmed that private host."""

    scheme: str
    host: str
    port: int
    confirmed: bool = False

    @property
    def authority(self) -> str:
        name = f"[{self.host}]" if ":" in self.host else self.host
        default = 443 if self.scheme == "https" else 80
        return name if self.port == default else f"{name}:{self.port}"


def is_header(field: tuple[str, object]) -> bool:
    """Whether name and value can be sent as they are: printable ASCII, so no line ends either."""
    name, value = field
    if not isinstance(value, str):  # comes from a JSON field
        return False
    return bool(_HEADER_NAME.fullmatch(name)) and value.isascii() and value.isprintable()


class Body(Protocol):
    """A body in pieces; `length` in bytes, None: not known yet."""

    @property
    def length(self) -> int | None: ...

    def __aiter__(self) -> AsyncGenerator[bytes]: ...


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """One request: `headers` are sent as given, beside Host, Content-Length and Accept-Encoding.

    `connect_timeout` in seconds; None: the transport's own. A `body` in pieces is sent as they come.
    """

    destination: Destination
    method: str
    path: str
    headers: Sequence[tuple[str, str]]
    body: bytes | Body
    connect_timeout: float | None = None

    def head(self) -> bytes:
        fields = "".join([f"{name}: {value}\r\n" for name, value in self.headers])
        length = len(self.body) if isinstance(self.body, bytes) else self.body.length
        framing = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
        return (
            f"{self.method} {self.path} HTTP/1.1\r\nhost: {self.destination.authority}\r\n"
            f"accept-encoding: identity\r\n{framing}\r\n{fields}\r\n"
        ).encode("latin-1")


class Answer:
    """An answer whose head has come; `chunk()` gives its body, `close()` ends it in any state."""

    def __init__(self, connection: "Connection") -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self._connection = connection
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._complete = False
        self._failure: UpstreamError | None = None
        self._inflate: zlib._Decompress | None = None
        self._inflating = False
        self._closed = False
        self._released = False

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    async def chunk(self) -> bytes:
        """The next piece of the body, b"" at its proper end. Raises `UpstreamError` on any other end."""
        while data := await self._chunk():
            if plain := self._inflated(data) if self._inflate else data:
                return plain
        if self._inflate and self._inflating and not self._inflate.eof:
            raise BadAnswer("compression that ends too early")
        return b""

    async def _chunk(self) -> bytes:
        while not self._chunks:
            if self._failure:
                raise self._failure
            if self._complete:
                return b""
            await self._connection.wait()
        data = self._chunks.popleft()
        self._size -= len(data)
        if self._size < _RESUME_BELOW:
            self._connection.resume()
        return data

    async def body(self, limit: int) -> bytes:
        """The whole body. Raises `TooLarge` beyond `limit` bytes."""
        pieces, size = [], 0
        while data := await self.chunk():
            pieces.append(data)
            size += len(data)
            if size > limit:
                raise TooLarge(f"an answer of more than {limit} bytes")
        return b"".join(pieces)

    def close(self) -> None:
        """Give the connection back if the answer ended as it should, else close it. Idempotent."""
        if not self._closed:
            self._closed = True
            self._connection.finished(clean=self._complete and self._failure is None)

    def release(self) -> None:
        """Let go of an answer whose content is complete: its last framing bytes may still be on their way."""
        if self._complete or self._failure or self._closed:
            self.close()
        else:
            self._released = True
            asyncio.get_running_loop().call_later(_LAST_BYTES_SECONDS, self.close)

    def _inflated(self, data: bytes) -> bytes:
        assert self._inflate is not None
        self._inflating = True
        try:
            plain = self._inflate.decompress(data, _MOST_INFLATED)
        except zlib.error as error:
            raise BadAnswer(f"damaged compression: {error}") from None
        if self._inflate.unconsumed_tail:
            raise BadAnswer("a compressed answer that grows without bound")
        if self._inflate.unused_data:
            raise BadAnswer("something behind the end of the compression")
        return plain

    # --- called by the connection ---

    def _head_came(self, status: int) -> None:
        self.status = status
        encoding = self.headers.get("content-encoding", "").strip().lower()
        if encoding in ("gzip", "x-gzip", "deflate"):  # although identity was asked for
            self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)

    def _body_came(self, data: bytes) -> None:
        if self._released:
            return
        self._chunks.append(data)
        self._size += len(data)
        if self._size > _PAUSE_ABOVE:
            self._connection.pause()

    def _ended(self, failure: UpstreamError | None) -> None:
        if not self._complete and self._failure is None:
            self._complete = failure is None
            self._failure = failure
            if self._released:
                asyncio.get_running_loop().call_soon(self.close)


class Pool(Protocol):
    """Where a connection goes when its answer ended well, and what hears of its end."""

    def keep(self, connection: "Connection") -> None: ...

    def forget(self, connection: "Connection") -> None: ...


class Connection(asyncio.Protocol):
    """One connection: parses one answer at a time, and distrusts every byte outside of one."""

    def __init__(self, pool: "Pool", destination: Destination) -> None:
        self._pool = pool
        self.destination = destination
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._answer: Answer | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._head_complete = False
        self._head_bytes = 0
        self._framed = False
        self._any_byte = False
        self._message_over = False
        self._keep = False
        self._paused = False
        self._sending: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self.closed = False
        self.used = 0
        self.idle_since = 0.0

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._readable = select.poll()
        self._readable.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        if self._parser is None or self._message_over:
            self._abort()  # nobody asked: stray bytes must never reach the next request
            return
        self._any_byte = True
        if self._head_bytes > _HEADER_LIMIT:
            self._fail(BadAnswer("more than 64 KiB of headers"))
            self._wake()
            return
        self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail(BadAnswer("the provider wants another protocol"))
        except httptools.HttpParserError as error:
            self._fail(BadAnswer(f"not HTTP/1.1: {error}"))
        self._wake()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._writable.set()
        if self._answer is not None:
            self._answer._ended(self._end_by_close(exc))
        self._wake()
        self._pool.forget(self)

    def _end_by_close(self, exc: Exception | None) -> UpstreamError | None:
        if self._head_complete and not self._framed and exc is None:
            return None  # HTTP/1.0 style: the close is the end of the body
        reused = self.used > 1 and not self._any_byte
        return ConnectionLost("the provider closed the connection before its answer ended", reused=reused)

    # --- httptools callbacks ---

    def on_message_begin(self) -> None:
        if self._message_over:  # a second answer to one request
            self._keep = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head_complete:  # a trailer, or a second answer
            return
        assert self._answer is not None
        key = name.decode("latin-1").lower()
        if key in ("content-length", "transfer-encoding"):
            self._framed = True
        self._answer.headers[key] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self._message_over:
            return
        assert self._parser is not None
        assert self._answer is not None
        status = self._parser.get_status_code()
        if 100 <= status < 200:
            return
        self._framed = self._framed or status in (204, 304)
        self._head_complete = True
        self._answer._head_came(status)

    def on_body(self, data: bytes) -> None:
        self._head_bytes = 0  # from here on it counts trailers and other framing without content
        if not self._message_over:
            assert self._answer is not None
            self._answer._body_came(data)

    def on_message_complete(self) -> None:
        if self._message_over:
            return
        assert self._answer is not None
        assert self._parser is not None
        if not self._head_complete:  # 100 Continue, 103 Early Hints
            self._answer.headers.clear()
            self._framed = False
            return
        self._message_over = True
        self._keep = self._parser.should_keep_alive() and self._framed
        self._answer._ended(None)

    # --- called by Transport and Answer ---

    async def ask(self, request: UpstreamRequest) -> Answer:
        assert self._transport is not None
        self._parser = httptools.HttpResponseParser(self)
        self._answer = answer = Answer(self)
        self._head_complete = self._framed = self._any_byte = self._message_over = self._keep = False
        self._head_bytes = 0
        self.used += 1
        if isinstance(request.body, bytes):
            self._write(request.head(), request.body)
        else:
            self._transport.write(request.head())
            self._sending = asyncio.get_running_loop().create_task(self._send(request.body))
        try:
            while not self._head_complete:
                if answer._failure:
                    raise answer._failure
                if self.closed:
                    raise ConnectionLost("the connection was already closed", reused=self.used > 1)
                self._raise_of_sending()
                await self.wait()
        except BaseException:
            answer.close()
            raise
        return answer

    def _write(self, head: bytes, body: bytes) -> None:
        assert self._transport is not None
        if len(body) < _WRITTEN_APART:
            self._transport.write(head + body)
        else:
            self._transport.writelines((head, body))

    async def _send(self, body: Body) -> None:
        """Piece by piece, as fast as the provider reads."""
        assert self._transport is not None
        chunked = body.length is None
        try:
            async with aclosing(aiter(body)) as pieces:
                async for piece in pieces:
                    await self._writable.wait()
                    if self.closed:
                        return
                    self._transport.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            if chunked:
                self._transport.write(b"0\r\n\r\n")
        finally:
            self._wake()

    def _raise_of_sending(self) -> None:
        """What went wrong with the client's side of the body is the client's matter."""
        if self._sending is not None and self._sending.done():
            sending, self._sending = self._sending, None
            sending.result()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    async def wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def is_quiet(self) -> bool:
        """Nothing has come that the event loop has not seen yet: no stray bytes, no end."""
        return not self._readable.poll(0)

    def pause(self) -> None:
        if not self._paused and self._transport is not None and not self.closed:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._paused and self._transport is not None and not self.closed:
            self._paused = False
            self._transport.resume_reading()

    def finished(self, *, clean: bool) -> None:
        self._parser = self._answer = None
        if self._sending is not None:
            # an answer before all was sent: the rest would be taken for the next request
            self._keep = self._keep and _succeeded(self._sending)
            self._sending.cancel()
            self._sending.add_done_callback(_hear)
            self._sending = None
        self.resume()
        if clean and self._keep and not self.closed:
            self._pool.keep(self)
        else:
            self._abort()

    def close(self) -> None:
        self._abort()

    def _abort(self) -> None:
        self.closed = True
        if self._transport is not None:
            self._transport.abort()

    def _fail(self, failure: UpstreamError) -> None:
        if self._answer is not None:
            self._answer._ended(failure)
        self._abort()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _succeeded(sending: asyncio.Task[None]) -> bool:
    return sending.done() and not sending.cancelled() and sending.exception() is None


def _hear(sending: asyncio.Task[None]) -> None:
    """What became of a body that nobody waits for any more is of no matter."""
    if not sending.cancelled():
        sending.exception()
