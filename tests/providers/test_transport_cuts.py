"""A cut answer is never taken for a whole one, and what is no answer is refused."""

import asyncio
import gzip
import zlib
from contextlib import suppress

import pytest

from providers.connection import BadAnswer, ConnectionLost
from providers.transport import Transport
from tests.providers.raw_provider import (
    BODY,
    CHUNKED,
    CLOSE,
    PLAIN,
    MiB,
    Provider,
    body_of,
    compressed,
    reset,
    settle,
)

# --- cut answers -------------------------------------------------------------------------------


@pytest.mark.parametrize("reply", [PLAIN, CHUNKED], ids=["content-length", "chunked"])
@pytest.mark.parametrize("hard", [False, True], ids=["closed", "reset"])
async def test_no_cut_answer_is_taken_for_a_whole_one(
    reply: bytes, hard: bool, transport: Transport, provider: Provider
) -> None:
    taken = []
    for place in range(len(reply)):

        async def cut(writer: asyncio.StreamWriter, place: int = place) -> None:
            writer.write(reply[:place])
            if hard:
                await asyncio.sleep(0.002)
                reset(writer)
            else:
                writer.close()

        with suppress(ConnectionLost):
            taken.append((place, await body_of(transport, provider, cut)))
    assert taken == []
    assert provider.connections == len(reply)


async def test_a_reset_within_a_body_that_ends_with_the_connection_is_a_cut(
    transport: Transport, provider: Provider
) -> None:
    async def cut(writer: asyncio.StreamWriter) -> None:
        writer.write(CLOSE)
        await settle()
        reset(writer)

    with pytest.raises(ConnectionLost):
        await body_of(transport, provider, cut)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_compression_nobody_asked_for_is_undone(
    encoding: str, transport: Transport, provider: Provider
) -> None:
    packed = gzip.compress(BODY) if encoding == "gzip" else zlib.compress(BODY)
    assert await body_of(transport, provider, compressed(packed, encoding)) == BODY
    assert await body_of(transport, provider, compressed(b"", encoding)) == b""


async def test_compression_in_single_bytes_is_whole(transport: Transport, provider: Provider) -> None:
    async def slowly(writer: asyncio.StreamWriter) -> None:
        for byte in compressed(gzip.compress(BODY)):
            writer.write(bytes([byte]))
            await asyncio.sleep(0)
            await writer.drain()

    assert await body_of(transport, provider, slowly) == BODY


async def test_no_compression_that_ends_too_early_is_taken_for_whole(
    transport: Transport, provider: Provider
) -> None:
    packed = gzip.compress(BODY)
    for damaged in [packed[:place] for place in range(1, len(packed))] + [packed + b"x", b"x" + packed]:
        with pytest.raises(BadAnswer):
            await body_of(transport, provider, compressed(damaged))


async def test_a_compression_bomb_is_stopped(transport: Transport, provider: Provider) -> None:
    with pytest.raises(BadAnswer):
        await body_of(transport, provider, compressed(gzip.compress(bytes(48 * MiB), 5)))


# --- answers that are none ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "reply",
    [
        b"hello\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n12345",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
    ],
)
async def test_what_is_not_http_is_a_bad_answer(
    reply: bytes, transport: Transport, provider: Provider
) -> None:
    with pytest.raises(BadAnswer):
        await body_of(transport, provider, reply)


@pytest.mark.parametrize(
    "start",
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nX-Long: ",
        b"HTTP/1.1 103 Early Hints\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n",  # trailers
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX-Long: ",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;",  # an extension of a chunk
    ],
)
async def test_endless_headers_are_refused(start: bytes, transport: Transport, provider: Provider) -> None:
    sent = 0

    async def bomb(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(start)
        line = {b": ": b"x" * 1000, b"2;": b"x" * 1000}.get(start[-2:], b"")
        hint = b"HTTP/1.1 103 Early Hints\r\nX: " + b"y" * 980 + b"\r\n\r\n"
        while not writer.is_closing():
            writer.write(line or (hint if b" 103 " in start else b"X-%d: " % sent + b"y" * 980 + b"\r\n"))
            sent += 1000
            await writer.drain()

    with pytest.raises((BadAnswer, ConnectionLost)):
        await body_of(transport, provider, bomb)
    assert sent < 16 * MiB  # what the sockets' buffers hold


async def test_a_body_beyond_its_limit_is_refused(transport: Transport, provider: Provider) -> None:
    provider.replies.append(PLAIN)
    answer = await transport.ask(provider.request())
    with pytest.raises(BadAnswer):
        await answer.body(50)
    answer.close()
