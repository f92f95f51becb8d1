"""Large requests pass unchanged, and do not hold up others."""

import json
import threading
from typing import Any

import pytest

from tests.path.client import CHAT, Client
from tests.upstream import Upstream

PICTURE = "data:image/png;base64," + "QUJD" * 5_000_000


def _tool(number: int) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {"a": {"type": "string", "description": "x" * 500}}}
    return {"type": "function", "function": {"name": f"f{number}", "parameters": parameters}}


LARGE: dict[str, dict[str, Any]] = {
    "a picture": {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is it?"},
                    {"type": "image_url", "image_url": {"url": PICTURE}},
                ],
            }
        ]
    },
    "200 tools": {
        "messages": [{"role": "user", "content": "x"}],
        "tools": [_tool(number) for number in range(200)],
    },
    "1,000 messages": {"messages": [{"role": "user", "content": f"{i} hello" * 50} for i in range(1000)]},
}


@pytest.mark.parametrize("large", LARGE)
def test_it_passes_unchanged(alice: Client, upstream: Upstream, model: str, large: str) -> None:
    body = {"model": model, **LARGE[large]}
    answer = alice.send("POST", CHAT, json.dumps(body).encode())
    assert answer.status == 200, answer.body
    [seen] = upstream.log(model)
    assert {name: seen.json[name] for name in body} == body


@pytest.mark.parametrize("large", LARGE)
def test_it_passes_a_translation_too(alice: Client, upstream: Upstream, model: str, large: str) -> None:
    """As messages, which the provider here does not have."""
    given = LARGE[large]
    body: dict[str, Any] = {"model": model, "max_tokens": 9, "messages": given["messages"]}
    if large == "a picture":
        source = {"type": "base64", "media_type": "image/png", "data": PICTURE.partition(",")[2]}
        body["messages"] = [{"role": "user", "content": [{"type": "image", "source": source}]}]
    if "tools" in given:
        functions = [tool["function"] for tool in given["tools"]]
        body["tools"] = [{"name": f["name"], "input_schema": f["parameters"]} for f in functions]
    answer = alice.send("POST", "/v1/messages", json.dumps(body).encode())
    assert answer.status == 200, answer.body
    [seen] = upstream.log(model)
    if large == "a picture":
        assert seen.json["messages"][0]["content"][0]["image_url"]["url"] == PICTURE
    else:
        sent = [message["content"] for message in seen.json["messages"]]
        assert sent == [message["content"] for message in given["messages"]]
        assert len(seen.json.get("tools", [])) == len(given.get("tools", []))


def test_others_are_answered_between_two_large_ones(alice: Client, upstream: Upstream, model: str) -> None:
    """The small requests that began with the first large one are done before the last one is."""
    body = json.dumps({"model": model, **LARGE["a picture"]}).encode()
    order: list[str] = []

    def large() -> None:
        for _ in range(8):
            assert alice.send("POST", CHAT, body).status == 200
        order.append("large")

    thread = threading.Thread(target=large)
    thread.start()
    for _ in range(3):
        assert alice.chat(model).status == 200
    order.append("small")
    thread.join()
    assert order == ["small", "large"]
