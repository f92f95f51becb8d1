"""Addresses, content types and body framings: whatever clients make of them is served."""

import json
from collections.abc import Iterator

import pytest

from tests.gateway_process import Gateway
from tests.path.client import Client, Line, chat_body
from tests.upstream import Upstream

MEGABYTE = 2**20


@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat/completions",
        "/chat/completions",
        "/v1/chat/completions/",
        "/chat/completions/",
        "//v1/chat/completions",
        "/v1//chat/completions",
        "//chat/completions",
    ],
)
def test_every_spelling_of_the_address_is_served_without_a_redirect(alice: Client, path: str) -> None:
    assert alice.send("POST", path, chat_body("ok")).status == 200


@pytest.mark.parametrize(
    "path", ["/v1/models", "/models", "/v1/models/", "//v1/models", "/models/ok", "/v1/models/ok/"]
)
def test_the_models_too(alice: Client, path: str) -> None:
    assert alice.get(path).status == 200


@pytest.mark.parametrize("path", ["/", "/admin/login/", "/health/live", "/v1/models"])
def test_a_head_has_no_body_and_leaves_nothing_in_the_log(alice: Client, path: str) -> None:
    before = len(alice.gateway.log.read_text())
    with Line(alice.gateway) as line:
        line.send(f"HEAD {path} HTTP/1.1\r\nhost: localhost\r\n".encode())
        line.send(f"authorization: Bearer {alice.key}\r\n\r\n".encode())
        line.send(b"GET /health/live HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        head, rest = line.read_to_end().split(b"\r\n\r\n", 1)
    assert head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 302"))
    assert rest.startswith(b"HTTP/1.1 200")
    assert "WARNING" not in alice.gateway.log.read_text()[before:]


@pytest.mark.parametrize(
    "path", ["/v1/models/vendor/family:7b", "/v1/models/vendor%2Ffamily%3A7b", "/models/vendor%2ffamily:7b"]
)
def test_a_model_id_may_hold_slashes_and_colons(alice: Client, path: str) -> None:
    assert alice.get(path).json["id"] == "vendor/family:7b"


@pytest.mark.parametrize(
    "path",
    [
        "/health",
        "/health/",
        "/health/live",
        "/health/liveness",
        "/health/liveliness",
        "/health/ready",
        "/health/readiness",
        "/v1/health",
    ],
)
def test_health_answers_without_a_key_and_without_asking_a_provider(
    gateway: Gateway, upstream: Upstream, path: str
) -> None:
    before = len(upstream.log("")) + len(upstream.log("ok"))
    answer = Client(gateway, "nobody").send("GET", path, headers={"authorization": ""})
    assert (answer.status, answer.json["status"]) == (200, "ok")
    assert len(upstream.log("")) + len(upstream.log("ok")) == before


def test_whoever_opens_the_bare_address_in_a_browser_comes_to_the_admin(alice: Client) -> None:
    answer = alice.get("/")
    assert (answer.status, answer.header("location")) == (302, "/admin/")


@pytest.mark.parametrize("accept", ["text/event-stream", "application/xml", "*/*", "", "nonsense;;q=x"])
def test_any_accept_header_is_fine(alice: Client, accept: str) -> None:
    answer = alice.send("POST", "/v1/chat/completions", chat_body("ok"), {"accept": accept})
    assert answer.status == 200
    assert alice.send("GET", "/v1/models", headers={"accept": accept}).status == 200


@pytest.mark.parametrize(
    "kind",
    ["application/x-www-form-urlencoded", "text/plain", "application/json; charset=utf-8", "multipart/x", ""],
)
def test_a_json_body_under_any_content_type_is_served(alice: Client, kind: str) -> None:
    assert alice.send("POST", "/v1/chat/completions", chat_body("ok"), {"content-type": kind}).status == 200


def test_a_json_body_without_a_content_type_is_served(gateway: Gateway, alice: Client) -> None:
    body = chat_body("ok")
    with Line(gateway) as line:
        line.send(
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nauthorization: bearer {alice.key}\r\n"
            f"connection: close\r\ncontent-length: {len(body)}\r\n\r\n".encode()
            + body
        )
        assert line.read_to_end().startswith(b"HTTP/1.1 200")


def pieces(body: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(body), size):
        part = body[start : start + size]
        yield b"%x\r\n%b\r\n" % (len(part), part)
    yield b"0\r\n\r\n"


def begin(alice: Client, *headers: str) -> Line:
    line = Line(alice.gateway)
    head = ["POST /v1/chat/completions HTTP/1.1", "host: x", f"authorization: Bearer {alice.key}", *headers]
    line.send("\r\n".join([*head, "", ""]).encode())
    return line


def test_a_chunked_body_is_read_whole(alice: Client, upstream: Upstream, model: str) -> None:
    body = chat_body(model)
    with begin(alice, "transfer-encoding: chunked", "connection: close") as line:
        for piece in pieces(body, 7):
            line.send(piece)
        assert line.read_to_end().startswith(b"HTTP/1.1 200")
    assert upstream.log(model)[0].json == json.loads(body)


def test_a_client_that_waits_for_leave_to_send_gets_it(alice: Client) -> None:
    body = chat_body("ok")
    with begin(alice, "expect: 100-continue", f"content-length: {len(body)}", "connection: close") as line:
        line.read_until(b"HTTP/1.1 100")
        line.send(body)
        assert b"HTTP/1.1 200" in line.read_to_end()


def test_twenty_megabytes_pass_unchanged(alice: Client, upstream: Upstream, model: str) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "iVBOR" * 4 * MEGABYTE}}
    body = chat_body(model, messages=[{"role": "user", "content": [image]}])
    assert alice.send("POST", "/v1/chat/completions", body).status == 200
    assert upstream.log(model)[0].json == json.loads(body)


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_body_beyond_the_limit_is_413_in_the_envelope(alice: Client, framing: str) -> None:
    size = 25 * MEGABYTE  # MAX_BODY_MB is 24 here
    header = f"content-length: {size}" if framing == "length" else "transfer-encoding: chunked"
    with begin(alice, header) as line:
        if framing == "chunked":
            try:
                for piece in pieces(b" " * size, MEGABYTE):
                    line.send(piece)
            except (BrokenPipeError, ConnectionResetError):
                pass  # it may hang up as soon as it has answered
        head, _, rest = line.read_until(b"request_too_large").partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 413")
        assert b'{"error":{"message":"' in rest


def test_several_requests_share_one_connection(alice: Client, model: str) -> None:
    body = chat_body(model)
    request = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {alice.key}\r\n"
        f"content-length: {len(body)}\r\n\r\n".encode()
        + body
    )
    with Line(alice.gateway) as line:
        for count in range(1, 4):
            line.send(request)
            while line.received.count(b"total_tokens") < count:
                line.received += line.socket.recv(65536)
    assert line.received.count(b"HTTP/1.1 200") == 3


def test_preflight_needs_no_key(gateway: Gateway) -> None:
    answer = Client(gateway, "nobody").send("OPTIONS", "/v1/chat/completions", headers={"authorization": ""})
    assert answer.status in (200, 204)
    assert answer.request_id


def test_every_answer_carries_a_request_id_and_keeps_a_valid_one(alice: Client) -> None:
    for method, path in [
        ("GET", "/health"),
        ("GET", "/v1/models"),
        ("GET", "/v1/nothing"),
        ("PUT", "/v1/models"),
    ]:
        assert alice.send(method, path).request_id, path
        assert alice.send(method, path, headers={"x-request-id": "run-7.a"}).request_id == "run-7.a"
    first, second = alice.chat("ok"), alice.stream("ok")
    assert first.request_id != second.request_id


@pytest.mark.parametrize("given", ["", " ", "a b", "x" * 129, "ü", "a\tb"])
def test_an_unsound_request_id_is_replaced(alice: Client, given: str) -> None:
    answer = alice.send(
        "POST", "/v1/chat/completions", chat_body("ok"), {"x-request-id": given.encode().decode("latin-1")}
    )
    assert answer.request_id
    assert answer.request_id != given
    assert len(answer.request_id) <= 128


def test_the_body_of_a_relayed_error_is_json_whatever_was_accepted(alice: Client) -> None:
    answer = alice.send("POST", "/v1/chat/completions", b"{", {"accept": "text/html"})
    assert answer.header("content-type") == "application/json"
    assert json.loads(answer.body)["error"]["type"] == "invalid_request_error"
