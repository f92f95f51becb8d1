"""The hot POSTs are served below ASGI: on the wire nothing of that shows; other requests are handed over."""

import http.client
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gateway.hot import takes
from tests.path.client import Client, chat_body
from tests.path.conftest import Doors
from tests.upstream import Behaviour, Upstream

MOST = 2**20


@pytest.fixture
def alice(doors: Doors) -> Client:
    return doors.alice("direct")


def request(
    alice: Client, model: str, *lines: str, path: str = "/v1/chat/completions", **fields: object
) -> bytes:
    body = chat_body(model, **fields)
    head = [
        f"POST {path} HTTP/1.1",
        "Host: gateway",
        f"Authorization: Bearer {alice.key}",
        f"Content-Length: {len(body)}",
        *lines,
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


@contextmanager
def connected(alice: Client) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", alice.gateway.port), timeout=10) as line:
        yield line


def answer(line: socket.socket) -> tuple[http.client.HTTPResponse, bytes]:
    response = http.client.HTTPResponse(line, method="POST")
    response.begin()
    return response, response.read()


# --- what is taken -----------------------------------------------------------------------------

HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n"


def test_a_plain_post_whose_head_is_whole_is_taken() -> None:
    assert takes(HEAD + b"\r\nhello", MOST)
    assert takes(HEAD + b"\r\n", MOST)
    assert takes(HEAD.replace(b"/v1/chat", b"//chat") + b"\r\n", MOST)


@pytest.mark.parametrize(
    "data",
    [
        HEAD,
        HEAD[:40],
        b"",
        HEAD.replace(b"HTTP/1.1", b"HTTP/1.0") + b"\r\n",
        HEAD.replace(b"POST", b"GET") + b"\r\n",
        HEAD.replace(b"chat/completions", b"chat/completions/x") + b"\r\n",
        HEAD.replace(b"content-length: 5", b"content-length: 9999999") + b"\r\n",
        HEAD.replace(b"content-length: 5", b"content-length: -5") + b"\r\n",
        HEAD.replace(b"content-length: 5", b"x: 5") + b"\r\n",
        HEAD + b"Expect: 100-continue\r\n\r\n",
        HEAD + b"Upgrade: h2c\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_everything_else_is_left_to_the_server(data: bytes) -> None:
    assert not takes(data, MOST)


# --- one connection ----------------------------------------------------------------------------


def test_a_connection_is_kept_from_hot_to_cold_and_serves_both(alice: Client, model: str) -> None:
    with connected(alice) as line:
        for _ in range(3):
            line.sendall(request(alice, model))
            response, body = answer(line)
            assert response.status == 200
            assert b"w0 w1 w2" in body
        line.sendall(f"GET /v1/models/{model} HTTP/1.1\r\nHost: x\r\nX-Api-Key: {alice.key}\r\n\r\n".encode())
        response, body = answer(line)
        assert (response.status, model in body.decode()) == (200, True)
        line.sendall(request(alice, model))
        assert answer(line)[0].status == 200


def test_a_body_that_comes_in_pieces_is_whole(alice: Client, upstream: Upstream, model: str) -> None:
    data = request(alice, model, user="x" * 5000)
    with connected(alice) as line:
        start = data.index(b"\r\n\r\n") + 4
        for cut in range(start, len(data), 700):
            line.sendall(data[: cut + 700] if cut == start else data[cut : cut + 700])
            time.sleep(0.005)
        assert answer(line)[0].status == 200
    (seen,) = upstream.log(model)
    assert seen.json["user"] == "x" * 5000


def test_a_head_that_comes_in_pieces_is_served_too(alice: Client, model: str) -> None:
    data = request(alice, model)
    with connected(alice) as line:
        line.sendall(data[:30])
        time.sleep(0.05)
        line.sendall(data[30:])
        assert answer(line)[0].status == 200


def test_a_request_sent_ahead_is_answered_in_turn(alice: Client, upstream: Upstream, model: str) -> None:
    upstream.behave(Behaviour(head_delay=0.2), model=model)
    with connected(alice) as line:
        line.sendall(request(alice, model, "x-request-id: first"))
        time.sleep(0.05)
        line.sendall(request(alice, model, "x-request-id: second"))
        assert [answer(line)[0].headers["x-request-id"] for _ in range(2)] == ["first", "second"]


def test_two_requests_in_one_packet_are_answered_or_told_to_come_again(alice: Client, model: str) -> None:
    with connected(alice) as line:
        line.sendall(request(alice, model) * 2)
        response, _ = answer(line)
        assert response.status == 200
        assert response.headers["connection"] == "close"


def test_who_says_close_is_closed(alice: Client, model: str) -> None:
    with connected(alice) as line:
        line.sendall(request(alice, model, "Connection: close", stream=True))
        response, body = answer(line)
        assert response.status == 200
        assert body.endswith(b"data: [DONE]\n\n")
        assert line.recv(1) == b""


def test_two_lengths_that_differ_are_refused(alice: Client, model: str) -> None:
    with connected(alice) as line:
        line.sendall(request(alice, model, "Content-Length: 3"))
        response, body = answer(line)
        assert response.status == 400
        assert b'"code":"bad_http"' in body
        assert line.recv(1) == b""


def test_an_answer_says_what_an_answer_says(alice: Client, model: str) -> None:
    with connected(alice) as line:
        line.sendall(request(alice, model, "x-request-id: mine"))
        response, body = answer(line)
    assert response.headers["x-request-id"] == "mine"
    assert response.headers["content-type"] == "application/json"
    assert int(response.headers["content-length"]) == len(body)
    assert response.headers["date"].endswith("GMT")


def test_a_slow_reader_holds_the_provider_back(alice: Client, upstream: Upstream, model: str) -> None:
    upstream.behave(Behaviour(texts=["x" * 8000] * 5000), model=model)
    with connected(alice) as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.sendall(request(alice, model, stream=True))
        time.sleep(1.0)
        (seen,) = upstream.log(model)
        assert seen.ended == "open"  # of 40 MB, what the sockets between hold
