"""Which pages a browser is told about, decided on data alone."""

import pytest
from django.conf import LazySettings
from django.core.checks import run_checks

from gateway.checks import TAG
from gateway.cors import Cors, is_origin
from gateway.messages import Inbound, Reply

PAGE = "https://chat.example.com"


def asked(origin: str = PAGE, method: str = "POST", **headers: str) -> Inbound:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return Inbound(method, "models", "", {"origin": origin} | given if origin else given, b"")


def cors(*origins: str) -> Cors:
    made = Cors.of(origins)
    assert made is not None
    return made


def allowed(of: Cors, origin: str) -> str | None:
    return of.marked(Reply(200, {}, b""), asked(origin)).headers.get("access-control-allow-origin")


def test_without_origins_there_is_nothing_to_ask() -> None:
    assert Cors.of([]) is None


def test_only_the_named_pages_are_let_in() -> None:
    named = cors(PAGE, "HTTP://localhost:3000", "https://a.example:443")
    for origin in (PAGE, "http://localhost:3000", "https://a.example"):
        assert allowed(named, origin) == origin
    for origin in ("https://chat.example.com.evil.example", "http://chat.example.com", "null", "*", ""):
        assert allowed(named, origin) is None


def test_an_answer_that_depends_on_the_page_says_so_also_to_others() -> None:
    for origin in (PAGE, "https://evil.example", ""):
        assert cors(PAGE).marked(Reply(200, {}, b""), asked(origin)).headers["vary"] == "origin"
    assert "vary" not in cors("*").marked(Reply(200, {}, b""), asked()).headers


def test_credentials_are_never_allowed() -> None:
    for of in (cors("*"), cors(PAGE)):
        marked = of.marked(Reply(200, {"x-request-id": "1"}, b""), asked())
        assert "access-control-allow-credentials" not in marked.headers
    assert allowed(cors("*"), "null") == "*"


def test_the_page_may_read_what_clients_go_by() -> None:
    told = {
        "content-type": "application/json",
        "x-request-id": "r",
        "retry-after": "1",
        "retry-after-ms": "1000",
        "x-ratelimit-remaining-requests": "0",
    }
    marked = cors(PAGE).marked(Reply(429, told, b""), asked())
    shown = marked.headers["access-control-expose-headers"].split(", ")
    assert set(shown) == told.keys() - {"content-type"}
    assert told.items() <= marked.headers.items()


def test_a_preflight_says_what_may_be_sent() -> None:
    names = "authorization,content-type,x-stainless-os"
    question = asked(
        method="OPTIONS", access_control_request_method="POST", access_control_request_headers=names
    )
    reply = cors(PAGE).preflight(question)
    assert reply is not None
    assert reply.status == 204
    assert reply.headers["access-control-allow-headers"] == names
    assert "DELETE" in reply.headers["access-control-allow-methods"]


@pytest.mark.parametrize("names", ["a\r\nx: y", "a;b", "", "a" * 5000, "ä"])
def test_names_that_are_none_are_not_sent_back(names: str) -> None:
    question = asked(
        method="OPTIONS", access_control_request_method="POST", access_control_request_headers=names
    )
    reply = cors("*").preflight(question)
    assert reply is not None
    assert reply.headers["access-control-allow-headers"] == "authorization, content-type"


def test_another_page_is_told_nothing_in_a_preflight() -> None:
    question = asked("https://evil.example", "OPTIONS", access_control_request_method="POST")
    reply = cors(PAGE).preflight(question)
    assert reply is not None
    assert not [name for name in reply.headers if name.startswith("access-control")]


def test_what_asks_nothing_of_the_kind_is_no_preflight() -> None:
    assert cors("*").preflight(asked(method="OPTIONS")) is None
    assert cors("*").preflight(asked(access_control_request_method="POST")) is None


@pytest.mark.parametrize(
    "text",
    [
        "https://a.example",
        "http://localhost:3000",
        "http://[::1]:8080",
        "chrome-extension://abcdefgh",
        "app://obsidian.md",
        "HTTPS://A.example",
    ],
)
def test_origins(text: str) -> None:
    assert is_origin(text)


@pytest.mark.parametrize(
    "text",
    [
        "a.example",
        "https://",
        "https://a.example/",
        "https://a/b",
        "https://*.a.example",
        "null",
        "https://a b",
    ],
)
def test_no_origins(text: str) -> None:
    assert not is_origin(text)


@pytest.mark.parametrize(
    ("origins", "problems"),
    [
        ([], 0),
        (["*"], 0),
        ([PAGE, "http://localhost:3000"], 0),
        (["*", PAGE], 1),
        (["chat.example.com", f"{PAGE}/"], 2),
    ],
)
def test_nonsense_is_found_at_the_start(settings: LazySettings, origins: list[str], problems: int) -> None:
    settings.CORS_ORIGINS = origins
    found = [message for message in run_checks(tags=[TAG]) if message.id == "switchyard.E011"]
    assert len(found) == problems
    assert all(message.hint for message in found)
