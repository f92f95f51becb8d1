"""A TCP proxy in front of PostgreSQL that cuts between a COMMIT and its answer, or falls silent."""

import asyncio
import contextlib
import struct
import threading
from typing import Self

_UNTYPED_STARTUP = 196608  # protocol 3.0; SSL, GSS and cancel requests have other codes
_COMMITTED = b"C\x00\x00\x00\x0bCOMMIT\x00"


class _Session:
    """What must be known of one connection: does its transaction copy rows, is the answer to be withheld."""

    def __init__(self) -> None:
        self.copied = False
        self.withhold = False


class PostgresProxy:
    """`with PostgresProxy(port) as proxy:` listens on `proxy.port` until the block ends."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="postgres-proxy", daemon=True)
        self._cuts_left = 0
        self._skip = False
        self._tasks: set[asyncio.Task[None]] = set()
        self.cuts = 0
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self.port = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut_commits(self, count: int) -> None:
        """Every second transaction that copies rows loses the answer to its COMMIT, `count` times."""
        self._cuts_left = count

    def freeze(self) -> None:
        """From now on no byte passes, and nobody is told."""
        self._loop.call_soon_threadsafe(self._thawed.clear)

    def thaw(self) -> None:
        self._loop.call_soon_threadsafe(self._thawed.set)

    async def _listen(self) -> int:
        self._thawed = asyncio.Event()
        self._thawed.set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _close(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task, "the server runs it as one"
        self._tasks.add(task)
        try:
            await self._thawed.wait()
            with contextlib.suppress(OSError):
                await self._connected(reader, writer)
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, to_them = await asyncio.open_connection("127.0.0.1", self._target)
        session = _Session()
        pumps = [
            asyncio.create_task(self._forward(reader, to_them, session)),
            asyncio.create_task(self._answer(theirs, writer, session)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            to_them.transport.abort()

    async def _forward(
        self, reader: asyncio.StreamReader, to_them: asyncio.StreamWriter, session: _Session
    ) -> None:
        """Client to server, message by message."""
        code = 0
        while code != _UNTYPED_STARTUP:
            head = await reader.readexactly(8)
            length, code = struct.unpack("!II", head)
            await self._pass(to_them, head + await reader.readexactly(length - 8))
        while True:
            head = await reader.readexactly(5)
            body = await reader.readexactly(struct.unpack("!I", head[1:])[0] - 4)
            if head[:1] in b"QP":
                self._look_at(body, session)
            await self._pass(to_them, head + body)

    def _look_at(self, statement: bytes, session: _Session) -> None:
        if b"COPY " in statement:
            session.copied = True
        elif b"COMMIT" in statement:
            if session.copied and self._cuts_left > 0:
                self._skip = not self._skip
                session.withhold = self._skip
            session.copied = False

    async def _answer(
        self, theirs: asyncio.StreamReader, writer: asyncio.StreamWriter, session: _Session
    ) -> None:
        """Server to client; when the answer to a COMMIT is withheld, its arrival ends the connection."""
        withheld = b""
        while data := await theirs.read(65536):
            if not session.withhold:
                await self._pass(writer, data)
                continue
            withheld += data
            if _COMMITTED in withheld:
                self._cuts_left -= 1
                self.cuts += 1
                return

    async def _pass(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        await self._thawed.wait()
        writer.write(data)
        await writer.drain()
