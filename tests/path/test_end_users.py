"""Whom a request is for, as Open WebUI says it and as the usage row has it."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace

import jwt
import pytest

from tests.gateway_process import Entry, Gateway, config_of
from tests.path.client import Client
from tests.upstream import Upstream

SECRET = "what Open WebUI signs with, at least 32 bytes"
# What Open WebUI sends without a secret; with one, the token stands in their place.
PLAIN = {
    "X-OpenWebUI-User-Name": "Zo%C3%AB M%C3%BCller",
    "X-OpenWebUI-User-Id": "2d95199f-1f70-4690-9b4a-8f98280ca9da",
    "X-OpenWebUI-User-Email": "zoe@example.com",
    "X-OpenWebUI-User-Role": "user",
    "X-OpenWebUI-Chat-Id": "040539c8-8d3c-4a5f-9f5b-6a2f0a3c1f5e",
}


def token(secret: str = SECRET, lasts: int = 300) -> str:
    """Open WebUI's word for alice."""
    now = int(time.time())
    claims = {
        "sub": "671fa9fb-0b1c-4f6e-8a55-0d9d1f6a7c11",
        "email": "alice@example.com",
        "name": "Alice",
        "role": "user",
        "iss": "open-webui",
        "iat": now,
        "exp": now + lasts,
    }
    return jwt.encode(claims, secret, algorithm="HS256")


# made once for all tests, some of which run long after
SIGNED = {"X-OpenWebUI-User-Jwt": token(lasts=86_400)}


def trust(gateway: Gateway, key: str, header: str) -> None:
    """Let the holder of a key name end users in this header."""
    code = f"from keys.models import ApiKey; k = ApiKey.objects.get(name={key!r}); "
    gateway.manage("shell", "-c", f"{code}k.end_user_header = {header!r}; k.save()")


@pytest.fixture(scope="module", params=["true", "false"], ids=["direct", "django"])
def webui(request: pytest.FixtureRequest, upstream: Upstream) -> Iterator[Client]:
    """Open WebUI with a key that trusts its header of names, at each door of a gateway with its secret."""
    env = {"OPENWEBUI_JWT_SECRET": SECRET, "DIRECT_DOOR": request.param}
    with Gateway(config_of([Entry("echo", upstream.url)]), env) as gateway:
        key = gateway.create_key("webui")
        trust(gateway, "webui", "X-OpenWebUI-User-Name")
        yield Client(gateway, key)


def end_user(client: Client, headers: Mapping[str, str]) -> str:
    """Whom the usage row names for a request with these headers and a body that says bob."""
    reply = replace(client, headers=headers).chat("echo", user="bob")
    assert reply.status == 200, reply.body
    (row,) = client.gateway.usage(rows=1, request_id=reply.request_id)
    return str(row["end_user"])


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        pytest.param(PLAIN | SIGNED, "alice@example.com", id="signed"),
        pytest.param(PLAIN, "Zoë Müller", id="plain"),
        pytest.param({}, "bob", id="body alone"),
        pytest.param({"X-OpenWebUI-User-Jwt": token(secret="x" * 32)}, "bob", id="forged"),
        pytest.param({"X-OpenWebUI-User-Jwt": token(lasts=-1)}, "bob", id="expired"),
        pytest.param({"X-OpenWebUI-User-Jwt": "e30.e30.e30"} | PLAIN, "Zoë Müller", id="broken"),
    ],
)
def test_the_usage_row_names_the_end_user(webui: Client, headers: Mapping[str, str], name: str) -> None:
    assert end_user(webui, headers) == name


def test_a_key_that_trusts_no_header_believes_the_token_and_the_body(webui: Client) -> None:
    carol = Client(webui.gateway, webui.gateway.create_key("carol"))
    assert end_user(carol, PLAIN) == "bob"
    assert end_user(carol, PLAIN | SIGNED) == "alice@example.com"


def test_who_the_end_user_is_stays_here(webui: Client, upstream: Upstream) -> None:
    end_user(webui, PLAIN | SIGNED)
    told = str(upstream.log("echo")[-1].headers).lower()
    assert "openwebui" not in told
    assert "zoe" not in told
