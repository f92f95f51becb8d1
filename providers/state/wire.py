"""One pipelined connection to Redis: all calls of a turn of the event loop leave in one write."""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import hiredis


class Disconnected(Exception):
    """The connection broke or stalled; nobody knows whether what was sent was carried out."""


class RedisError(Exception):
    """Redis answered with an error."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where Redis is: a host and port, or the path of a socket."""

    host: str
    port: int
    path: str
    tls: bool
    username: str
    password: str
    database: int


def address_of(url: str) -> Address:
    """Read `redis://`, `rediss://` or `unix://`. Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in ("redis", "rediss", "unix"):
        raise ValueError(f"{parts.scheme}:// is no Redis URL")
    query = dict(pair.partition("=")[::2] for pair in parts.query.split("&") if pair)
    place = query.get("db") or ("" if parts.scheme == "unix" else parts.path.strip("/"))
    return Address(
        host=parts.hostname or "localhost",
        port=parts.port or 6379,
        path=unquote(parts.path) if parts.scheme == "unix" else "",
        tls=parts.scheme == "rediss",
        username=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        database=int(place or 0),
    )


class Connection(asyncio.Protocol):
    """Answers come in the order of the calls. A call that waits for longer than `patience` ends it.

    `lost` is called once, when it is over for whatever reason; `heard` with each message of a channel.
    """

    def __init__(
        self, patience: float, lost: Callable[[], None], heard: Callable[[bytes], None] | None = None
    ) -> None:
        self._patience = patience
        self._lost = lost
        self._heard = heard
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader()
        self._pending: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._outgoing: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._suspect: asyncio.Future[Any] | None = None

    @property
    def alive(self) -> bool:
        return self._transport is not None

    def call(self, *arguments: bytes | str | int) -> asyncio.Future[Any]:
        """Send a command. The future raises `Disconnected` or `RedisError`."""
        return self.send(hiredis.pack_command(arguments))  # type: ignore[arg-type]  # its stub says a 1-tuple

    def send(self, command: bytes) -> asyncio.Future[Any]:
        """Send a command that is packed already."""
        answer = self._loop.create_future()
        if self._transport is None:
            answer.set_exception(Disconnected("there is no connection"))
            return answer
        self._post(command)
        self._pending.append((answer, self._loop.time()))
        if self._watch is None:
            self._watch = self._loop.call_later(self._patience, self._look)
        return answer

    def subscribe(self, channel: str) -> None:
        """Hear a channel from now on. Its answer is a push, so a refusal is the answer of the next call."""
        if self._transport is not None:
            self._post(hiredis.pack_command(("SUBSCRIBE", channel)))  # type: ignore[arg-type]

    def _post(self, command: bytes) -> None:
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(command)

    def close(self) -> None:
        self._end("it was closed")

    def _flush(self) -> None:
        if self._transport is not None and self._outgoing:
            self._transport.write(b"".join(self._outgoing))
        self._outgoing.clear()

    def _look(self) -> None:
        """End a connection that stalls. A busy loop is no stall: the answer may lie unread, so look twice."""
        self._watch = None
        if not self._pending:
            self._suspect = None
            return
        oldest, since = self._pending[0]
        left = since + self._patience - self._loop.time()
        if left > 0:
            self._suspect = None
            self._watch = self._loop.call_later(left, self._look)
        elif self._suspect is oldest:
            self._end("Redis does not answer")
        else:
            self._suspect = oldest
            self._watch = self._loop.call_later(0.01, self._look)

    # --- asyncio -------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its class

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (answer := self._reader.gets()) is not False:
                if isinstance(answer, hiredis.PushNotification):
                    self._pushed(answer)
                    continue
                if not self._pending:
                    self._end("it answers what nobody asked")
                    return
                waiting, _ = self._pending.popleft()
                if waiting.done():
                    continue
                if isinstance(answer, hiredis.ReplyError):
                    waiting.set_exception(RedisError(str(answer)))
                else:
                    waiting.set_result(answer)
        except hiredis.ProtocolError as error:
            self._end(f"it speaks no Redis protocol: {error}")

    def _pushed(self, told: list[Any]) -> None:
        if self._heard is not None and told[0] == b"message":
            self._heard(told[2])

    def connection_lost(self, exc: Exception | None) -> None:
        self._end("Redis closed the connection")

    def _end(self, why: str) -> None:
        transport, self._transport = self._transport, None
        if transport is None:
            return
        transport.abort()
        if self._watch is not None:
            self._watch.cancel()
        self._outgoing.clear()
        while self._pending:
            waiting, _ = self._pending.popleft()
            if not waiting.done():
                waiting.set_exception(Disconnected(why))
                waiting.exception()  # seen: nobody needs to wait for it
        self._lost()


async def connect(
    address: Address,
    patience: float,
    lost: Callable[[], None],
    heard: Callable[[bytes], None] | None = None,
) -> Connection:
    """A connection that is logged in; with `heard` it may subscribe. Raises `Disconnected`, `RedisError`."""
    loop = asyncio.get_running_loop()

    def make() -> Connection:
        return Connection(patience, lost, heard)

    try:
        async with asyncio.timeout(max(patience, 1.0)):
            if address.path:
                _, connection = await loop.create_unix_connection(make, address.path)
            else:
                context = ssl.create_default_context() if address.tls else None
                _, connection = await loop.create_connection(make, address.host, address.port, ssl=context)
    except (OSError, TimeoutError) as error:
        raise Disconnected(str(error) or "connecting took too long") from None
    try:
        if address.password:
            login = [address.username, address.password] if address.username else [address.password]
            await connection.call("AUTH", *login)
        if address.database:
            await connection.call("SELECT", address.database)
        if heard is not None:  # the protocol in which messages come between answers
            await connection.call("HELLO", 3)
    except (Disconnected, RedisError):
        connection.close()
        raise
    return connection
