"""Anthropic's SDK for JavaScript, whatever the provider behind speaks."""

import base64
from typing import Any

import pytest

from tests.clients.conftest import WIRES, House
from tests.clients.outside import node, value
from tests.upstream import Upstream
from tests.upstream_surfaces.images import png

PICTURE = base64.b64encode(png(3)).decode()
BETA = "context-1m-2025-08-07"


@pytest.fixture(scope="module")
def said(house: House) -> dict[str, Any]:
    return house.run(node(), "anthropic.mjs", wires=list(WIRES), picture=PICTURE)


def test_it_asks(said: dict[str, Any], house: House, wire: str) -> None:
    made = value(said, f"{wire}: message")
    assert [(block["type"], block["text"]) for block in made["content"]] == [("text", "Hello wörld")]
    assert (made["stop"], made["tokens"]) == ("end_turn", 3)
    assert [row["completion_tokens"] for row in house.gateway.usage(1, made["id"])] == [3]


def test_it_streams_thoughts_and_text(said: dict[str, Any], wire: str) -> None:
    made = value(said, f"{wire}: stream")
    assert made == {"texts": ["Four"], "kinds": ["thinking", "text"], "text": "Four"}


def test_its_tools_come_to_an_end(said: dict[str, Any], wire: str) -> None:
    made = value(said, f"{wire}: tools")
    called = {"name": "get_weather", "input": {"city": "Bern"}, "stop": "tool_use"}
    assert made == {**called, "text": "Sunny in Bern"}


def test_its_pictures_reach_the_provider(said: dict[str, Any], upstream: Upstream, wire: str) -> None:
    assert value(said, f"{wire}: picture") == "Hello wörld"
    assert any(PICTURE.encode() in seen.body for seen in upstream.log(f"{wire}-plain"))


def test_its_betas_reach_a_provider_that_knows_them(
    said: dict[str, Any], upstream: Upstream, wire: str
) -> None:
    assert value(said, f"{wire}: beta") == "Hello wörld"
    sent = [(seen.target, seen.header("anthropic-beta")) for seen in upstream.log(f"{wire}-plain")]
    assert (("/v1/messages", BETA) in sent) == (wire == "messages")


def test_it_counts_tokens(said: dict[str, Any], wire: str) -> None:
    counted = value(said, f"{wire}: count tokens")
    assert counted == 7 if wire == "messages" else counted > 0


def test_a_prompt_too_long_is_its_bad_request_error(said: dict[str, Any], wire: str) -> None:
    error = value(said, f"{wire}: too long")
    assert (error["name"], error["status"]) == ("BadRequestError", 400)
    assert "maximum context length" in error["message"]


def test_a_stream_that_broke_is_an_error(said: dict[str, Any], wire: str) -> None:
    assert value(said, f"{wire}: broken stream")["name"] in (
        "APIError",
        "APIConnectionError",
        "AnthropicError",
    )


def test_it_tries_again(said: dict[str, Any], upstream: Upstream, wire: str) -> None:
    assert value(said, f"{wire}: retries") == "again"
    assert len(upstream.log(f"{wire}-flaky-anthropic-node")) == 2


@pytest.mark.parametrize(
    ("case", "name", "status"),
    [
        ("wrong key", "AuthenticationError", 401),
        ("unknown model", "NotFoundError", 404),
        ("limited", "RateLimitError", 429),
    ],
)
def test_errors_are_of_its_own_classes(said: dict[str, Any], case: str, name: str, status: int) -> None:
    error = value(said, case)
    assert (error["name"], error["status"]) == (name, status)
