"""Whom a request is for: what is believed of tokens, headers and bodies, and what is passed over."""

import base64
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from gateway import end_users
from gateway.end_users import LONGEST, TOKEN_HEADER, end_user_of

NOW = 1_800_000_000.0
SECRET = "what Open WebUI signs with, at least 32 bytes"
EMAIL = "X-OpenWebUI-User-Email"


@pytest.fixture(autouse=True)
def _nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(end_users, "_tokens", end_users._Tokens())


def claims(**others: Any) -> dict[str, Any]:
    """What Open WebUI signs; a claim that is None is left out."""
    of_alice = {
        "sub": "2d95199f-1f70-4690-9b4a-8f98280ca9da",
        "email": "alice@example.com",
        "name": "Alice",
        "role": "user",
        "iss": "open-webui",
        "iat": int(NOW),
        "exp": int(NOW) + 300,
    }
    return {name: value for name, value in {**of_alice, **others}.items() if value is not None}


def token(secret: str = SECRET, **others: Any) -> str:
    return jwt.encode(claims(**others), secret, algorithm="HS256")


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def named(
    headers: Mapping[str, str], body: str = "", trusted: str = "", secret: str = SECRET, now: float = NOW
) -> str:
    return end_user_of(headers, body, trusted, secret, now)


def signed(text: str, now: float = NOW) -> str:
    """Whom a request with this token is for; its body says bob."""
    return named({TOKEN_HEADER: text}, "bob", now=now)


# --- which source wins ---


def test_a_signed_token_wins_over_the_header_and_the_header_over_the_body() -> None:
    headers = {TOKEN_HEADER: token(), "x-openwebui-user-email": "carol@example.com"}
    assert named(headers, "bob", EMAIL) == "alice@example.com"
    assert named(headers, "bob", EMAIL, secret="") == "carol@example.com"
    assert named(headers, "bob", secret="") == "bob"
    assert named({}, "bob", EMAIL) == "bob"
    assert named({}) == ""


def test_only_the_header_that_the_key_trusts_is_read() -> None:
    assert named({"x-openwebui-user-email": "alice@example.com"}, "bob", "X-User") == "bob"


def test_an_empty_header_names_nobody() -> None:
    assert named({"x-user": " \t"}, "bob", "X-User") == "bob"


# --- tokens ---


def test_a_token_without_an_address_names_the_id() -> None:
    assert signed(token(email=None)) == "2d95199f-1f70-4690-9b4a-8f98280ca9da"
    assert signed(token(email=" ")) == "2d95199f-1f70-4690-9b4a-8f98280ca9da"


def test_a_token_is_believed_until_it_expires_also_once_it_is_known() -> None:
    text = token()
    assert signed(text, NOW) == "alice@example.com"
    assert signed(text, NOW + 299.9) == "alice@example.com"
    assert signed(text, NOW + 300) == "bob"


def test_a_clock_behind_open_webuis_does_not_matter() -> None:
    assert signed(token(), NOW - 100) == "alice@example.com"


_header, _payload, _signature = token().split(".")
UNTRUSTED = {
    "wrong signature": [
        token("another secret of at least thirty-two bytes"),
        f"{_header}.{part(claims(email='eve@example.com'))}.{_signature}",
        f"{_header}.{_payload}.",
    ],
    "expired": [token(exp=int(NOW)), token(exp=0), token(exp=-(10**400)), token(exp=float("nan"))],
    "not valid yet": [token(nbf=int(NOW) + 60)],
    "no expiry": [token(exp=None)],
    "other algorithm than HS256": [
        f"{part({'alg': 'none', 'typ': 'JWT'})}.{_payload}.",
        f"{part({'alg': 'None'})}.{_payload}.{_signature}",
        f"{part({'alg': 'RS256', 'typ': 'JWT'})}.{_payload}.{_signature}",
        f"{part({'alg': 7})}.{_payload}.{_signature}",
        f"{part({'alg': ['HS256']})}.{_payload}.{_signature}",
        jwt.encode(claims(), SECRET, algorithm="HS512"),
    ],
    "another issuer": [token(iss="keycloak")],
    "names nobody": [token(email=None, sub=None), token(email=7, sub="\n")],
    "malformed": [
        "alice",
        "..",
        "a.b.c.d.e",
        "é.é.é",
        "\x00",
        f"{part([])}.{_payload}.{_signature}",
        part("[" * 2500) + "." + _payload + "." + _signature,
        jwt.PyJWS().encode(b"[" * 2500, SECRET, "HS256"),
        jwt.PyJWS().encode(b"\xff", SECRET, "HS256"),
        jwt.PyJWS().encode(b"[]", SECRET, "HS256"),
        token(exp="soon"),
        token(exp=True),
        token(exp={}),
        token(nbf="now"),
        token(sub=7),
    ],
    "too long": [token(name="a" * 4096)],
}


@pytest.mark.parametrize(("why", "text"), [(why, text) for why, texts in UNTRUSTED.items() for text in texts])
def test_an_untrusted_token_names_nobody_and_is_logged_with_its_reason(why: str, text: str) -> None:
    with capture_logs() as logs:
        assert signed(text) == "bob"
    assert [(line["event"], line["why"]) for line in logs] == [("end_user_token_ignored", why)]
    assert text not in str(logs)


def test_a_public_key_as_the_secret_opens_nothing() -> None:
    """Who mistakes a key of RS256 for the secret must not let its readers sign."""
    public = "-----BEGIN PUBLIC KEY-----\nMFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAK==\n-----END PUBLIC KEY-----\n"
    forged = jwt.PyJWS().encode(json.dumps(claims()).encode(), SECRET, "HS256")
    assert named({TOKEN_HEADER: forged}, "bob", secret=public) == "bob"


def test_a_secret_that_was_changed_no_longer_opens_what_it_opened() -> None:
    headers = {TOKEN_HEADER: token()}
    assert named(headers, "bob") == "alice@example.com"
    assert named(headers, "bob", secret="a new secret of at least thirty-two bytes") == "bob"


def test_each_reason_is_logged_once_a_minute_with_how_often_it_came() -> None:
    with capture_logs() as logs:
        for second in range(61):
            signed(token(exp=0), NOW + second)
        signed(token("another secret of at least thirty-two bytes"))
    told = [(line["why"], line["times"]) for line in logs]
    assert told == [("expired", 1), ("expired", 60), ("wrong signature", 1)]


def test_a_known_token_is_not_verified_again_and_the_oldest_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(end_users, "_MOST_TOKENS", 2)
    verified: list[str] = []
    verify = end_users._verify

    def noting(text: str, secret: str, now: float) -> end_users._Verified:
        verified.append(text)
        return verify(text, secret, now)

    monkeypatch.setattr(end_users, "_verify", noting)
    one, two, three = (token(email=f"{name}@example.com") for name in ("alice", "bob", "carol"))
    for text in (one, one, two, two, three, two, one):
        signed(text)
    assert verified == [one, two, three, one]


# --- headers and bodies ---


@pytest.mark.parametrize("name", ["alice@example.com", "Zoë Müller", "李雷", "100 % Ann", "a+b", "Alice 😀"])
def test_a_name_comes_percent_encoded_as_open_webui_sends_it(name: str) -> None:
    assert named({"x-openwebui-user-name": quote(name, safe=" ")}, "", "X-OpenWebUI-User-Name") == name


def test_a_name_comes_as_plain_utf_8_or_latin_1() -> None:
    assert named({"x-user": "Zoë".encode().decode("latin-1")}, trusted="X-User") == "Zoë"
    assert named({"x-user": "Zoë"}, trusted="x-user") == "Zoë"
    assert named({"x-user": "100%ff"}, trusted="x-user") == "100%ff"


def test_names_are_trimmed_and_bounded() -> None:
    assert named({}, "  bob\n") == "bob"
    assert named({}, "b" * 1000) == "b" * LONGEST
    assert named({"x-user": quote("é" * 300)}, trusted="x-user") == "é" * LONGEST


def test_what_does_not_show_cannot_hide_in_a_name() -> None:
    assert named({"x-user": "ali%00ce%0d%0a"}, trusted="x-user") == "ali\ufffdce"
    assert named({}, "bo\u200bb") == "bo\ufffdb"
    assert named({}, "bob\u202e") != "bob"


@given(
    st.text(st.characters(max_codepoint=255), max_size=300),
    st.text(max_size=300),
    st.text(st.characters(max_codepoint=255), max_size=300),
)
def test_whatever_comes_the_name_is_short_and_printable(value: str, body: str, text: str) -> None:
    name = named({"x-user": value, TOKEN_HEADER: text}, body, "X-User")
    assert len(name) <= LONGEST
    assert name.isprintable()
    assert name == name.strip()
