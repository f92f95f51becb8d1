"""Bodies in pieces go out as they come, no faster than the provider reads, until it has answered."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from providers.connection import Destination, UpstreamRequest
from providers.transport import Transport

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
TOO_LARGE = b"HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno"
PIECE = b"x" * 65536
type Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Pieces:
    """A body that counts what was taken of it, and after its pieces waits or fails as it is told."""

    pieces: list[bytes]
    length: int | None = None
    then: Callable[[], Awaitable[None]] | None = None
    taken: int = field(default=0, init=False)
    over: bool = field(default=False, init=False)

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        self.over = False
        try:
            for piece in self.pieces:
                self.taken += 1
                yield piece
            if self.then is not None:
                await self.then()
        finally:
            self.over = True


@asynccontextmanager
async def playing(talk: Talk) -> AsyncIterator[Destination]:
    writers = []

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        try:
            await talk(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(keep, "127.0.0.1", 0, limit=2**20)
    try:
        port = server.sockets[0].getsockname()[1]
        yield Destination("http", "127.0.0.1", port, confirmed=True)
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()


def request(destination: Destination, body: bytes | Pieces) -> UpstreamRequest:
    return UpstreamRequest(destination, "POST", "/", [], body)


async def ask(transport: Transport, destination: Destination, body: bytes | Pieces) -> tuple[int, bytes]:
    async with asyncio.timeout(5):
        answer = await transport.ask(request(destination, body))
        try:
            return answer.status, await answer.body(100)
        finally:
            answer.close()


async def forever() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("length", [131_075, None])
async def test_it_goes_out_with_its_length_or_in_chunks(transport: Transport, length: int | None) -> None:
    seen: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            seen.append(await reader.readuntil(b"\r\n\r\n"))
            end = 131_075 if length else len(b"10000\r\n\r\n") * 2 + 131_072 + len(b"3\r\nend\r\n0\r\n\r\n")
            seen.append(await reader.readexactly(end))
            writer.write(OK)

    async with playing(talk) as destination:
        body = Pieces([PIECE, PIECE, b"end"], length)
        assert await ask(transport, destination, body) == (200, b"ok")
        # the same body once more, on the same connection
        assert await ask(transport, destination, body) == (200, b"ok")
    framing = b"content-length: 131075" if length else b"transfer-encoding: chunked"
    assert framing in seen[0]
    plain = PIECE + PIECE + b"end"
    chunks = b"10000\r\n" + PIECE + b"\r\n10000\r\n" + PIECE + b"\r\n3\r\nend\r\n0\r\n\r\n"
    assert seen[1] == seen[3] == (plain if length else chunks)


async def test_no_more_is_taken_than_the_provider_reads(transport: Transport) -> None:
    reads = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await reads.wait()
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        await reader.readuntil(b"0\r\n\r\n")
        writer.write(OK)

    async with playing(talk) as destination:
        body = Pieces([b"x" * 1000] * 100_000)
        asking = asyncio.create_task(ask(transport, destination, body))
        taken = -1
        while taken != body.taken:  # until it stands still
            taken = body.taken
            await asyncio.sleep(0.05)
        assert 0 < taken < 100_000
        asking.cancel()
        await asyncio.wait({asking})
        assert body.over, "nobody is asked for more of a body that is given up"
        reads.set()


async def test_an_answer_that_comes_early_is_taken_and_ends_the_sending(transport: Transport) -> None:
    connections = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(TOO_LARGE)
        await reader.read(-1)

    async with playing(talk) as destination:
        body = Pieces([PIECE], then=forever)
        assert await ask(transport, destination, body) == (413, b"no")
        await asyncio.sleep(0)
        assert body.over
        # what was left of it must not be taken for the next request
        assert await ask(transport, destination, body) == (413, b"no")
    assert connections == 2


async def test_a_body_that_broke_after_the_answer_came_leaves_no_connection_behind(
    transport: Transport,
) -> None:
    connections = 0
    answered = asyncio.Event()

    async def breaks() -> None:
        await answered.wait()
        raise ValueError("the client said nonsense")

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await reader.read(-1)

    async with playing(talk) as destination:
        for _ in range(2):
            answered.clear()
            async with asyncio.timeout(5):
                answer = await transport.ask(request(destination, Pieces([PIECE], then=breaks)))
            answered.set()
            await asyncio.sleep(0.01)  # the sending is over now
            assert await answer.body(100) == b"ok"
            answer.close()
    assert connections == 2


async def test_what_is_wrong_with_a_body_is_raised_as_it_is(transport: Transport) -> None:
    class Stalled(Exception):
        pass

    async def stalls() -> None:
        raise Stalled

    gone = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        try:
            while await reader.read(65536):
                pass
        finally:
            gone.set()

    async with playing(talk) as destination:
        with pytest.raises(Stalled):
            await ask(transport, destination, Pieces([PIECE], then=stalls))
        async with asyncio.timeout(5):
            await gone.wait()


@pytest.mark.parametrize("size", [10, 65_535, 65_536, 5_000_000])
async def test_a_whole_body_of_any_size_arrives_whole(transport: Transport, size: int) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            body = await reader.readexactly(size)
            writer.write(OK if body == b"ab" * (size // 2) + b"a" * (size % 2) else TOO_LARGE)

    async with playing(talk) as destination:
        body = b"ab" * (size // 2) + b"a" * (size % 2)
        for _ in range(2):
            assert await ask(transport, destination, body) == (200, b"ok")
