"""Files go on as they come, at whatever place their form names the model."""

import hashlib
import json
import socket
import time

import pytest

from tests.path.client import Client
from tests.upstream import Behaviour, Upstream, error

TEXT = Behaviour(body=json.dumps({"text": "hello", "usage": {"type": "duration", "seconds": 3}}))
PATH = "/v1/audio/transcriptions"
KIND = {"content-type": "multipart/form-data; boundary=xYz"}


def part(name: str, value: bytes, more: str = "") -> bytes:
    head = f'Content-Disposition: form-data; name="{name}"{more}'
    return b"--xYz\r\n" + head.encode() + b"\r\n\r\n" + value + b"\r\n"


def form(model: str, data: bytes, *, model_last: bool) -> bytes:
    file = part("file", data, '; filename="a.wav"\r\nContent-Type: audio/wav')
    named = part("model", model.encode())
    return b"".join([file, named] if model_last else [named, file]) + b"--xYz--\r\n"


@pytest.mark.parametrize("model_last", [False, True])
@pytest.mark.parametrize("size", [10, 1_000_000])
def test_a_file_arrives_as_it_was_sent(
    alice: Client, upstream: Upstream, model: str, model_last: bool, size: int
) -> None:
    upstream.behave(TEXT, model=model)
    data = hashlib.sha256(b"x").digest() * (size // 32 + 1)
    answer = alice.send("POST", PATH, form(model, data, model_last=model_last), KIND)
    assert (answer.status, answer.json["text"]) == (200, "hello"), answer.body
    seen = upstream.log(model)[-1]
    assert seen.target == PATH
    assert seen.body == form(model, data, model_last=model_last)
    [row] = alice.gateway.usage(1, answer.request_id)
    assert (row["endpoint"], row["status"], row["completion_tokens"]) == ("audio/transcriptions", "ok", 0)


def test_a_second_deployment_gets_the_whole_file_too(
    alice: Client, upstream: Upstream, spare: Upstream, pair: str
) -> None:
    upstream.behave(error(503), model=pair)
    spare.behave(TEXT, model=pair)
    body = form(pair, b"sound" * 100_000, model_last=False)
    answer = alice.send("POST", PATH, body, KIND)
    assert answer.status == 200, answer.body
    seen = spare.log(pair)[-1]
    assert b"sound" * 100_000 in seen.body


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"--xYz\r\nrubbish", KIND, 400),
        (form("", b"x", model_last=False), KIND, 400),
        (part("file", b"x", '; filename="a"') + b"--xYz--\r\n", KIND, 400),
        (form("nobody-has-this", b"x", model_last=True), KIND, 404),
        (b"x", {"content-type": "multipart/form-data"}, 400),
        (b'{"model": "x"}', {"content-type": "application/json"}, 404),
    ],
)
def test_a_bad_form_is_told_so(alice: Client, body: bytes, kind: dict[str, str], status: int) -> None:
    answer = alice.send("POST", PATH, body, kind)
    assert answer.status == status, answer.body
    assert answer.error.keys() == {"message", "type", "param", "code"}


def _head(alice: Client, *more: str) -> bytes:
    lines = [f"POST {PATH} HTTP/1.1", "host: g", f"authorization: Bearer {alice.key}"]
    return "\r\n".join([*lines, "content-type: multipart/form-data; boundary=xYz", *more, "", ""]).encode()


def test_the_provider_gets_the_first_bytes_before_the_client_sent_the_last(
    alice: Client, upstream: Upstream, model: str
) -> None:
    upstream.behave(TEXT, model=model)
    before = upstream.begun()
    body = form(model, b"sound" * 200_000, model_last=False)
    with socket.create_connection(("127.0.0.1", alice.gateway.port)) as client:
        client.sendall(_head(alice, f"content-length: {len(body)}") + body[:500_000])
        deadline = time.monotonic() + 10
        while upstream.begun() == before:
            assert time.monotonic() < deadline, "nothing came"
            time.sleep(0.02)
        client.sendall(body[500_000:])
        assert client.recv(100).startswith(b"HTTP/1.1 200")


def test_a_refusal_comes_before_the_body_is_asked_for(alice: Client) -> None:
    lines = _head(alice, "content-length: 1000000", "expect: 100-continue")
    with socket.create_connection(("127.0.0.1", alice.gateway.port)) as client:
        client.sendall(lines.replace(alice.key.encode(), b"sk-wrong"))
        assert client.recv(100).startswith(b"HTTP/1.1 401")


def test_the_body_is_asked_for_where_it_is_wanted(alice: Client, upstream: Upstream, model: str) -> None:
    upstream.behave(TEXT, model=model)
    body = form(model, b"x", model_last=True)
    with socket.create_connection(("127.0.0.1", alice.gateway.port)) as client:
        client.sendall(_head(alice, f"content-length: {len(body)}", "expect: 100-continue"))
        assert client.recv(100).startswith(b"HTTP/1.1 100")
        client.sendall(body)
        assert client.recv(100).startswith(b"HTTP/1.1 200")


def test_a_client_that_leaves_in_mid_upload_leaves_one_row(
    alice: Client, upstream: Upstream, model: str
) -> None:
    before = upstream.begun()
    body = form(model, b"sound" * 200_000, model_last=False)
    name = f"leaves-{model}"
    with socket.create_connection(("127.0.0.1", alice.gateway.port)) as client:
        head = _head(alice, f"content-length: {len(body)}", f"x-request-id: {name}")
        client.sendall(head + body[:500_000])
        deadline = time.monotonic() + 10
        while upstream.begun() == before:
            assert time.monotonic() < deadline, "nothing came"
            time.sleep(0.02)
    [row] = alice.gateway.usage(1, name)
    assert (row["status"], row["error_class"]) == ("cancelled", "client_left")


def test_a_chunked_form_passes(alice: Client, upstream: Upstream, model: str) -> None:
    upstream.behave(TEXT, model=model)
    body = form(model, b"x" * 5000, model_last=True)
    pieces = [body[i : i + 700] for i in range(0, len(body), 700)]
    with socket.create_connection(("127.0.0.1", alice.gateway.port)) as client:
        client.sendall(_head(alice, "transfer-encoding: chunked"))
        for piece in pieces:
            client.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
        client.sendall(b"0\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200")
    assert upstream.log(model)[-1].body == body
