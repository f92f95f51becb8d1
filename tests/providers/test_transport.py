"""Upstream connections are used again, and the bytes of one request never reach another."""

import asyncio

import pytest

from providers.connection import Answer, ConnectionLost
from providers.transport import REST_SECONDS, Transport
from tests.providers.raw_provider import (
    BODY,
    CHUNKED,
    CLOSE,
    PLAIN,
    MiB,
    Provider,
    Reply,
    body_of,
    reset,
    settle,
)

# --- sound answers -----------------------------------------------------------------------------


@pytest.mark.parametrize("reply", [PLAIN, CHUNKED])
async def test_a_connection_is_used_again_after_a_whole_answer(
    reply: bytes, transport: Transport, provider: Provider
) -> None:
    assert [await body_of(transport, provider, reply) for _ in range(5)] == [BODY] * 5
    assert provider.connections == 1


async def test_the_request_goes_out_as_it_was_given(transport: Transport, provider: Provider) -> None:
    provider.replies.append(PLAIN)
    (await transport.ask(provider.request(b'{"a":1}'))).close()
    head, body = provider.requests[0].split(b"\r\n\r\n")
    assert body == b'{"a":1}'
    assert head.decode().split("\r\n") == [
        "POST /v1/chat/completions HTTP/1.1",
        f"host: 127.0.0.1:{provider.port}",
        "accept-encoding: identity",
        "content-length: 7",
        "x-a: 1",
    ]


async def test_status_and_headers_are_told(transport: Transport, provider: Provider) -> None:
    head = b"HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Type: Application/JSON; charset=x\r\n"
    provider.replies.append(head + b"Content-Length: 0\r\n\r\n")
    answer = await transport.ask(provider.request())
    assert (answer.status, answer.headers["retry-after"]) == (429, "7")
    assert answer.content_type == "application/json"
    assert await answer.chunk() == await answer.chunk() == b""
    answer.close()


async def test_trailers_are_no_headers(transport: Transport, provider: Provider) -> None:
    provider.replies.append(CHUNKED)
    answer = await transport.ask(provider.request())
    assert await answer.body(MiB) == BODY
    assert "x-trailer" not in answer.headers


async def test_early_hints_come_before_the_answer(transport: Transport, provider: Provider) -> None:
    early = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\nContent-Length: 9\r\n\r\n"
    provider.replies.append(early + CLOSE)
    provider.closing = True
    answer = await transport.ask(provider.request())
    assert answer.status == 200
    assert "link" not in answer.headers
    assert await answer.body(MiB) == BODY


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
async def test_answers_without_a_body_end_at_once(
    status: bytes, transport: Transport, provider: Provider
) -> None:
    reply = b"HTTP/1.1 " + status + b"\r\n\r\n"
    assert [await body_of(transport, provider, reply) for _ in range(2)] == [b"", b""]
    assert provider.connections == 1


async def test_a_body_that_ends_with_the_connection_is_whole(
    transport: Transport, provider: Provider
) -> None:
    provider.closing = True
    for reply in (CLOSE, b"HTTP/1.0 200 OK\r\n\r\n" + BODY):
        assert await body_of(transport, provider, reply) == BODY
    assert provider.connections == 2


# --- one request's bytes never reach another ---------------------------------------------------

STRAY = PLAIN.replace(b"Alice", b"Mallo")


@pytest.mark.parametrize(
    "stray", [STRAY, STRAY[:30], STRAY[:1], b"x", b"\x00", b"HTTP/1.1 100 Continue\r\n\r\n", b"0\r\n\r\n"]
)
@pytest.mark.parametrize("reply", [PLAIN, CHUNKED], ids=["content-length", "chunked"])
async def test_stray_bytes_behind_an_answer_never_reach_the_next_request(
    reply: bytes, stray: bytes, transport: Transport, provider: Provider
) -> None:
    for _ in range(3):
        assert await body_of(transport, provider, reply + stray) == BODY
    assert provider.connections == 3


@pytest.mark.parametrize("wait", [0.0, 0.002])
async def test_a_stray_second_answer_that_comes_later_never_reaches_the_next_request(
    wait: float, transport: Transport, provider: Provider
) -> None:
    async def twice(writer: asyncio.StreamWriter) -> None:
        writer.write(PLAIN)
        await writer.drain()
        await asyncio.sleep(wait)
        writer.write(STRAY)

    for _ in range(20):
        assert await body_of(transport, provider, twice) == BODY
        await asyncio.sleep(2 * wait + 0.001)
    assert provider.connections == 20


async def test_a_connection_rests_before_it_is_used_again(provider: Provider) -> None:
    transport = Transport(connect_timeout=10)
    assert await body_of(transport, provider, PLAIN) == BODY
    assert await body_of(transport, provider, PLAIN) == BODY
    assert provider.connections == 2
    await asyncio.sleep(3 * REST_SECONDS)
    assert await body_of(transport, provider, PLAIN) == BODY
    assert provider.connections == 2
    transport.close()


async def test_an_answer_that_says_close_is_not_followed_by_another(
    transport: Transport, provider: Provider
) -> None:
    reply = PLAIN.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    for _ in range(2):
        assert await body_of(transport, provider, reply) == BODY
    assert provider.connections == 2


async def test_an_answer_left_half_read_costs_its_connection(
    transport: Transport, provider: Provider
) -> None:
    provider.replies.append(PLAIN[:-10])
    answer = await transport.ask(provider.request())
    assert await answer.chunk() == BODY[:-10]
    answer.close()
    answer.close()
    await asyncio.wait_for(provider.gone.wait(), 1)
    assert await body_of(transport, provider, PLAIN) == BODY
    assert provider.connections == 2


# --- connections that end ----------------------------------------------------------------------


async def test_a_connection_that_died_idle_and_is_known_to_is_not_used(
    transport: Transport, provider: Provider
) -> None:
    for _ in range(2):
        provider.closing = True
        assert await body_of(transport, provider, PLAIN) == BODY
        await settle()
    assert provider.connections == 2


@pytest.mark.parametrize("hard", [False, True], ids=["closed", "reset"])
async def test_a_used_connection_that_dies_before_any_byte_says_so(
    hard: bool, transport: Transport, provider: Provider
) -> None:
    async def die(writer: asyncio.StreamWriter) -> None:
        reset(writer) if hard else writer.close()

    assert await body_of(transport, provider, PLAIN) == BODY
    with pytest.raises(ConnectionLost) as lost:
        await body_of(transport, provider, die)
    assert lost.value.reused
    provider.replies.append(PLAIN)
    fresh = await transport.ask(provider.request(), fresh=True)
    assert await fresh.body(MiB) == BODY


async def test_a_used_connection_that_dies_after_a_byte_was_not_idle(
    transport: Transport, provider: Provider
) -> None:
    async def die(writer: asyncio.StreamWriter) -> None:
        writer.write(b"H")
        await settle()
        writer.close()

    assert await body_of(transport, provider, PLAIN) == BODY
    with pytest.raises(ConnectionLost) as lost:
        await body_of(transport, provider, die)
    assert not lost.value.reused


async def never(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(0)


@pytest.mark.parametrize("reply", [never, PLAIN[:-10]], ids=["before the head", "within the body"])
async def test_a_cancelled_request_closes_its_connection_at_once(
    reply: Reply, transport: Transport, provider: Provider
) -> None:
    task = asyncio.create_task(body_of(transport, provider, reply))
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(provider.gone.wait(), 0.2)


async def test_closing_the_transport_closes_what_is_in_use(transport: Transport, provider: Provider) -> None:
    provider.replies.append(PLAIN[:-10])
    answer = await transport.ask(provider.request())
    transport.close()
    with pytest.raises(ConnectionLost):
        await answer.body(MiB)
    await asyncio.wait_for(provider.gone.wait(), 0.2)


async def released(transport: Transport, provider: Provider, *, rest: bytes) -> Answer:
    """An answer let go of while its last bytes are still on their way."""

    async def late(writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED[: -len(b"0\r\nX-Trailer: Bob\r\n\r\n")])
        await settle()
        writer.write(rest)

    provider.replies.append(late)
    answer = await transport.ask(provider.request())
    while len(await answer.chunk()) != 46:
        pass
    answer.release()
    return answer


async def test_a_released_answer_gives_its_connection_back_when_it_ends(
    transport: Transport, provider: Provider
) -> None:
    await released(transport, provider, rest=b"0\r\n\r\n")
    await asyncio.sleep(0.05)
    assert await body_of(transport, provider, PLAIN) == BODY
    assert provider.connections == 1


async def test_a_released_answer_that_goes_on_costs_its_connection(
    transport: Transport, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("providers.connection._LAST_BYTES_SECONDS", 0.05)
    await released(transport, provider, rest=b"3\r\nabc\r\n")
    await asyncio.wait_for(provider.gone.wait(), 1)
    assert await body_of(transport, provider, PLAIN) == BODY
    assert provider.connections == 2


async def test_connections_left_over_from_a_rush_are_closed(
    transport: Transport, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies = await asyncio.gather(*(body_of(transport, provider, PLAIN) for _ in range(20)))
    assert bodies == [BODY] * 20
    assert len(transport._open) == provider.connections > 1
    monkeypatch.setattr("providers.transport._IDLE_SECONDS", 0.001)
    await settle()
    assert await body_of(transport, provider, PLAIN) == BODY
    await settle()
    assert len(transport._open) <= 1


# --- slow readers ------------------------------------------------------------------------------


async def test_a_slow_reader_holds_the_sender_back_and_loses_nothing(
    transport: Transport, provider: Provider
) -> None:
    size, sent = 24 * MiB, 0

    async def flood(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        while sent < size:
            writer.write(bytes(64 * 1024))
            await writer.drain()
            sent += 64 * 1024

    provider.replies.append(flood)
    answer = await transport.ask(provider.request())
    await asyncio.sleep(0.2)
    assert answer._size < MiB
    assert sent < size
    assert len(await answer.body(size)) == size
    answer.close()
    assert await body_of(transport, provider, PLAIN) == BODY
    assert provider.connections == 1
