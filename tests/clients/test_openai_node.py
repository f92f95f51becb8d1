"""openai for Node, whatever the provider behind speaks."""

import base64
from typing import Any

import pytest

from tests.clients.conftest import WIRES, House
from tests.clients.outside import node, value
from tests.upstream import Upstream
from tests.upstream_surfaces.images import png
from tests.upstream_surfaces.sound import sound

PICTURE = base64.b64encode(png(7)).decode()
BERN = {"city": "Bern", "degrees": 21}


@pytest.fixture(scope="module")
def said(house: House) -> dict[str, Any]:
    picture = f"data:image/png;base64,{PICTURE}"
    return house.run(node(), "openai.mjs", wires=list(WIRES), picture=picture)


def test_it_chats(said: dict[str, Any], wire: str) -> None:
    made = value(said, f"{wire}: chat")
    assert made["text"] == "Hello wörld"
    assert (made["usage"]["prompt_tokens"], made["usage"]["completion_tokens"]) == (7, 3)


def test_it_streams(said: dict[str, Any], wire: str) -> None:
    made = value(said, f"{wire}: stream")
    assert [delta for delta in made["deltas"] if delta] == ["Hel", "lo ", "wörld"]
    assert made["text"] == "Hello wörld"
    assert (made["usage"]["prompt_tokens"], made["usage"]["completion_tokens"]) == (7, 3)


def test_it_runs_tools_in_a_stream(said: dict[str, Any], wire: str) -> None:
    assert value(said, f"{wire}: tools") == {"text": "Sunny in Bern", "asked": ["Bern"]}


def test_it_parses_by_a_schema(said: dict[str, Any], wire: str) -> None:
    assert value(said, f"{wire}: parse") == BERN
    assert value(said, f"{wire}: response parse") == BERN


def test_its_pictures_reach_the_provider(said: dict[str, Any], upstream: Upstream, wire: str) -> None:
    assert value(said, f"{wire}: vision") == "Hello wörld"
    assert any(PICTURE.encode() in seen.body for seen in upstream.log(f"{wire}-plain"))


def test_a_stream_that_broke_is_an_error(said: dict[str, Any], wire: str) -> None:
    assert value(said, f"{wire}: broken stream")["name"].startswith("API")
    assert value(said, f"{wire}: broken response stream")["name"].startswith("API")


def test_it_asks_for_responses(said: dict[str, Any], wire: str) -> None:
    made = value(said, f"{wire}: response")
    assert (made["text"], made["status"]) == ("Hello wörld", "completed")
    assert (made["usage"]["input_tokens"], made["usage"]["output_tokens"]) == (7, 3)


def test_it_streams_responses(said: dict[str, Any], wire: str) -> None:
    made = value(said, f"{wire}: response stream")
    assert made["numbers"] == list(range(len(made["numbers"])))
    assert made["ends"] == ["response.created", "response.completed"]
    assert (made["text"], made["items"]) == ("Four", ["reasoning", "message"])


def test_its_function_calls_come_to_an_end(said: dict[str, Any], wire: str) -> None:
    made = value(said, f"{wire}: response tools")
    assert made == {"name": "get_weather", "arguments": {"city": "Bern"}, "text": "Sunny in Bern"}


def test_it_tries_again(said: dict[str, Any], upstream: Upstream, wire: str) -> None:
    assert value(said, f"{wire}: retries") == "again"
    assert len(upstream.log(f"{wire}-flaky-node")) == 2


def test_a_limit_is_its_rate_limit_error(said: dict[str, Any]) -> None:
    error = value(said, "limited")
    assert (error["name"], error["status"]) == ("RateLimitError", 429)
    assert "minute" in error["message"]


def test_a_response_is_kept_where_its_provider_keeps_it(said: dict[str, Any]) -> None:
    made = value(said, "kept response")
    assert made == {"text": "Hello wörld", "items": 3, "gone": "NotFoundError"}


def test_it_completes_and_ranks(said: dict[str, Any]) -> None:
    assert value(said, "completions") == ["Hello wörld", "Hello wörld"]
    assert value(said, "rerank") == [1]


def test_it_embeds_and_moderates(said: dict[str, Any]) -> None:
    assert value(said, "embeddings") == [[0.25, -0.5, 0], [0.25, -0.5, 1], [0.25, -0.5]]
    assert value(said, "moderation") == [False, True]


def test_it_speaks_and_listens(said: dict[str, Any], upstream: Upstream) -> None:
    spoken = b"".join(sound(text) for text in ("Hel", "lo ", "wörld"))
    assert base64.b64decode(value(said, "speech")) == spoken
    assert value(said, "transcription") == {"text": "Hello wörld", "streamed": "Hello wörld", "count": 4}
    heard = [seen for seen in upstream.log("chat-plain") if seen.route == "POST audio/transcriptions"]
    files = [part for seen in heard for part in seen.parts if part["name"] == "file"]
    assert ("grüße.wav", 180_000) in [(file["filename"], file["size"]) for file in files]


def test_it_draws_and_edits(said: dict[str, Any]) -> None:
    kinds = ["image_generation.partial_image", "image_generation.completed"]
    assert value(said, "images") == {"count": 2, "types": kinds, "edited": 1}


def test_its_files_and_batches_live_at_the_provider(said: dict[str, Any]) -> None:
    made = value(said, "files")
    gone = {"deleted": True, "gone": "NotFoundError"}
    assert made == {"content": "{}\n", "output": "{}\n", "listed": True, **gone}


@pytest.mark.parametrize(
    ("case", "name", "code", "param"),
    [
        ("wrong key", "AuthenticationError", "invalid_api_key", None),
        ("unknown model", "NotFoundError", "model_not_found", "model"),
        ("too long", "BadRequestError", "context_length_exceeded", "messages"),
    ],
)
def test_errors_are_of_its_own_classes(
    said: dict[str, Any], case: str, name: str, code: str, param: str | None
) -> None:
    error = value(said, case)
    assert (error["name"], error["code"], error["param"]) == (name, code, param)
