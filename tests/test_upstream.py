"""The fake provider does what the tests rely on, seen from a raw socket."""

import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.upstream import ROOT, Behaviour, Upstream, error, refused_port

CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def process() -> Iterator[Upstream]:
    with Upstream("a") as upstream:
        yield upstream


@pytest.fixture
def upstream(process: Upstream) -> Upstream:
    process.reset()
    return process


def connect(upstream: Upstream) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", upstream.port), timeout=5)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def chat(model: str = "ok", **fields: object) -> bytes:
    body = json.dumps({"model": model, "messages": [], **fields}).encode()
    return b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % (CHAT.encode(), len(body)) + body


def said(upstream: Upstream, request: bytes) -> http.client.HTTPResponse:
    connection = connect(upstream)
    connection.sendall(request)
    response = http.client.HTTPResponse(connection, method="POST")
    connection.close()  # the response holds its own file of it
    response.begin()
    return response


def read_to_end(connection: socket.socket) -> bytes:
    data = b""
    while piece := connection.recv(65536):
        data += piece
    return data


def test_a_whole_answer_reports_exactly_the_tokens_it_sent(upstream: Upstream) -> None:
    upstream.behave(Behaviour(tokens=5))
    answer = json.loads(said(upstream, chat()).read())
    assert answer["usage"] == {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
    [seen] = upstream.log()
    assert (seen.tokens_sent, seen.usage, seen.ended) == (5, answer["usage"], "complete")


def test_a_stream_reports_usage_only_when_asked(upstream: Upstream) -> None:
    plain = said(upstream, chat(stream=True)).read()
    asked = said(upstream, chat(stream=True, stream_options={"include_usage": True})).read()
    assert b'"completion_tokens"' not in plain
    assert b'"choices": [], ' not in plain
    assert b'"usage": null' in asked
    assert asked.endswith(b"}}\n\ndata: [DONE]\n\n")


def test_the_log_keeps_the_exact_body_and_headers(upstream: Upstream) -> None:
    request = chat().replace(b"host: x", b"host: x\r\nX-Twice: 1\r\nx-twice: 2")
    said(upstream, request).read()
    [seen] = upstream.log()
    assert seen.body == request.partition(b"\r\n\r\n")[2]
    assert seen.headers[1:3] == [("X-Twice", "1"), ("x-twice", "2")]


def test_a_connection_is_kept_for_the_next_request(upstream: Upstream) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", upstream.port, timeout=5)
    for _ in range(3):
        connection.request("POST", CHAT, chat().partition(b"\r\n\r\n")[2])
        connection.getresponse().read()
    connection.close()
    assert len({seen.connection for seen in upstream.log()}) == 1


def test_a_chunked_request_body_is_put_together(upstream: Upstream) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", upstream.port, timeout=5)
    connection.request("POST", CHAT, iter([b'{"model":', b'"ok"}']), encode_chunked=True)
    connection.getresponse().read()
    connection.close()
    assert upstream.log()[0].body == b'{"model":"ok"}'


def test_the_end_of_a_clients_connection_is_seen_within_moments(upstream: Upstream) -> None:
    connection = connect(upstream)
    connection.sendall(chat("hangs"))
    upstream.wait(lambda log: len(log) == 1)
    left = time.time()
    connection.close()
    [seen] = upstream.wait(lambda log: log[0].closed is not None)
    assert seen.closed is not None
    assert 0 <= seen.closed - left < 0.5
    assert (seen.ended, seen.closed_by, seen.tokens_sent) == ("client left", "client", 0)


def test_a_reset_before_the_headers_is_a_real_reset(upstream: Upstream) -> None:
    connection = connect(upstream)
    connection.sendall(chat("resets"))
    with pytest.raises(ConnectionResetError):
        read_to_end(connection)
    connection.close()
    assert upstream.log()[0].ended == "reset"


def test_a_cut_stream_ends_without_its_last_chunk(upstream: Upstream) -> None:
    connection = connect(upstream)
    connection.sendall(chat("cut-midway", stream=True))
    data = read_to_end(connection)
    connection.close()
    assert b"w1" in data
    assert b'finish_reason": "stop' not in data
    assert not data.endswith(b"0\r\n\r\n")


def test_bytes_come_one_at_a_time(upstream: Upstream) -> None:
    data = said(upstream, chat("byte-by-byte", stream=True)).read()
    assert "世界".encode() in data
    connection = connect(upstream)
    connection.sendall(chat("byte-by-byte", stream=True))
    raw = read_until(connection, b"0\r\n\r\n")
    connection.close()
    assert raw.count(b"\r\n1\r\n") > 500


def read_until(connection: socket.socket, end: bytes) -> bytes:
    data = b""
    while not data.endswith(end):
        data += connection.recv(65536)
    return data


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        ("crlf", b"\r\n\r\ndata: {"),
        ("cr", b"\r\rdata: {"),
        ("no-space", b"\n\ndata:{"),
        ("comments", b"\n\n: a comment\nevent: message\ndata: {"),
        ("multi-line", b'data: {\ndata: "id"'),
    ],
)
def test_events_come_in_every_handwriting(upstream: Upstream, model: str, shape: bytes) -> None:
    assert shape in said(upstream, chat(model, stream=True)).read()


def test_behaviours_are_used_up_one_by_one_and_the_last_stays(upstream: Upstream) -> None:
    upstream.behave(error(503), Behaviour(tokens=1), model="m")
    statuses = [said(upstream, chat("m")).status for _ in range(3)]
    assert statuses == [503, 200, 200]


def test_a_stray_answer_follows_the_real_one(upstream: Upstream) -> None:
    upstream.behave(Behaviour(stray="HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi", idle_close=0.1))
    connection = connect(upstream)
    connection.sendall(chat())
    data = read_to_end(connection)
    connection.close()
    assert data.count(b"HTTP/1.1 200") == 2
    assert data.endswith(b"\r\n\r\nhi")


def test_a_kept_connection_dies_on_reuse(upstream: Upstream) -> None:
    upstream.behave(Behaviour(dies_on_reuse=True), Behaviour())
    connection = connect(upstream)
    connection.sendall(chat())
    while b"total_tokens" not in connection.recv(65536):
        pass
    connection.sendall(chat())
    assert connection.recv(65536) == b""
    connection.close()
    assert [seen.ended for seen in upstream.log()] == ["complete", "dead connection"]


def test_a_slow_reader_slows_the_stream_down(upstream: Upstream) -> None:
    upstream.behave(Behaviour(texts=["x" * 100_000] * 500))
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    connection.connect(("127.0.0.1", upstream.port))
    connection.sendall(chat(stream=True))
    time.sleep(0.5)
    sent = upstream.log()[0].bytes_sent
    connection.close()
    assert 0 < sent < 20_000_000


def test_an_unknown_behaviour_is_refused(upstream: Upstream) -> None:
    with pytest.raises(AssertionError, match="unknown field"):
        upstream._control("POST", "/_control", {"behaviour": {"tokkens": 3}})


def test_a_refused_port_refuses() -> None:
    with refused_port() as port, pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_it_ends_when_its_parent_dies() -> None:
    code = (
        "import sys, os; from tests.upstream import Upstream; u = Upstream(); u.start();"
        "print(u.port, flush=True); sys.stdin.read(); os.kill(os.getpid(), 9)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout
    port = int(parent.stdout.readline())
    socket.create_connection(("127.0.0.1", port), timeout=5).close()
    parent.communicate()
    deadline = time.monotonic() + 5
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except ConnectionError:
            break
        assert time.monotonic() < deadline
        time.sleep(0.02)
