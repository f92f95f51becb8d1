"""A web page that asks the API from a browser, at both doors."""

from collections.abc import Iterator

import pytest

from tests.gateway_process import Entry, Gateway, config_of
from tests.path.client import CHAT, Client, Line, Reply
from tests.upstream import Upstream

PAGE = "https://chat.example.com"


@pytest.fixture(scope="module", params=["true", "false"], ids=["direct", "django"])
def page(request: pytest.FixtureRequest, upstream: Upstream) -> Iterator[Client]:
    """Alice's key in a page that may ask."""
    env = {"DIRECT_DOOR": request.param, "CORS_ORIGINS": f"{PAGE}, http://localhost:3000"}
    with Gateway(config_of([Entry("page", upstream.url)]), env) as gateway:
        key = gateway.create_key("alice", "--limit", "requests=1000/minute")
        yield Client(gateway, key, {"Origin": PAGE})


def may_read(reply: Reply, *names: str) -> bool:
    """Whether a browser hands the answer, and these of its headers, to the page."""
    shown = (reply.header("access-control-expose-headers") or "").split(", ")
    assert reply.header("access-control-allow-credentials") is None
    assert reply.header("vary") == "origin"
    return reply.header("access-control-allow-origin") == PAGE and set(names) <= set(shown)


def test_answers_streams_and_errors_may_be_read(page: Client) -> None:
    for reply in (page.chat("page"), page.stream("page")):
        assert reply.status == 200
        assert may_read(reply, "x-request-id", "x-ratelimit-remaining-requests")
    for reply, status in (
        (page.get("/v1/models"), 200),
        (page.get("/health"), 200),
        (page.chat("nobody-has-it"), 404),
        (page.get("/v1/nothing"), 404),
        (page.send("PUT", "/v1/models"), 405),
        (page.send("POST", CHAT, b"{"), 400),
        (Client(page.gateway, "wrong", page.headers).chat("page"), 401),
    ):
        assert reply.status == status
        assert may_read(reply, "x-request-id")


def test_bytes_that_are_no_http_are_refused_readably_where_the_gateway_itself_reads_them(
    page: Client,
) -> None:
    with Line(page.gateway) as line:
        line.send(
            f"POST {CHAT} HTTP/1.1\r\nhost: gateway\r\norigin: {PAGE}\r\ncontent-length: 2\r\n"
            "x bad: 1\r\n\r\n{}".encode()
        )
        told = line.read_to_end()
    assert told.startswith(b"HTTP/1.1 400 ")
    if page.gateway.env["DIRECT_DOOR"] == "true":  # else the server answers by itself
        assert f"access-control-allow-origin: {PAGE}\r\n".encode() in told


@pytest.mark.parametrize(
    "path", [CHAT, "/chat/completions/", "/v1/models/a%2Fb", "/v1/responses", "/nothing"]
)
def test_a_preflight_needs_no_key_at_any_address(page: Client, path: str) -> None:
    asked = {
        "authorization": "",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-stainless-lang",
    }
    reply = page.send("OPTIONS", path, headers=asked)
    assert (reply.status, reply.body) == (204, b"")
    assert reply.header("access-control-allow-origin") == PAGE
    assert reply.header("access-control-allow-headers") == asked["Access-Control-Request-Headers"]
    assert "POST" in (reply.header("access-control-allow-methods") or "")


def test_another_page_is_told_nothing(page: Client) -> None:
    other = {"Origin": "https://evil.example"}
    preflight = {**other, "Access-Control-Request-Method": "POST"}
    for reply in (
        page.send("GET", "/v1/models", headers=other),
        page.send("OPTIONS", CHAT, headers=preflight),
    ):
        assert not [name for name, _ in reply.headers if name.lower().startswith("access-control")]


def test_the_console_is_no_page_of_the_api(page: Client) -> None:
    reply = page.get("/admin/login/")
    assert reply.status == 200
    assert not [name for name, _ in reply.headers if name.lower().startswith("access-control")]


def test_by_default_no_answer_names_any_page(alice: Client) -> None:
    for reply in (
        alice.send("GET", "/v1/models", headers={"Origin": PAGE}),
        alice.send("OPTIONS", CHAT, headers={"Origin": PAGE, "Access-Control-Request-Method": "POST"}),
    ):
        assert not [name for name, _ in reply.headers if name.lower().startswith("access-control")]
