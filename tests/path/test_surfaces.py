"""Every surface through both doors: what goes up, what comes back, and the row."""

import json
from typing import Any

import pytest

from tests.path.client import Client
from tests.upstream import Behaviour, Upstream, error


def test_messages_are_translated_for_an_upstream_that_knows_only_chat(
    alice: Client, upstream: Upstream, model: str
) -> None:
    upstream.behave(Behaviour(texts=["hel", "lo"]), model=model)
    body = {
        "model": model,
        "max_tokens": 50,
        "system": "Be kind.",
        "messages": [{"role": "user", "content": "Hi"}],
    }
    answer = alice.send("POST", "/v1/messages?beta=true", json.dumps(body).encode())
    assert answer.status == 200, answer.body
    told: dict[str, Any] = answer.json
    assert told["content"] == [{"type": "text", "text": "hello"}]
    assert told["stop_reason"] == "end_turn"
    [seen] = upstream.log(model)
    assert seen.target == "/v1/chat/completions"
    assert [m["role"] for m in seen.json["messages"]] == ["system", "user"]
    [row] = alice.gateway.usage(1, answer.request_id)
    assert row["endpoint"] == "messages"
    assert (row["prompt_tokens"], row["completion_tokens"]) == (7, 2)


def test_errors_of_messages_have_anthropics_form(alice: Client, upstream: Upstream, model: str) -> None:
    upstream.behave(error(400), model=model)
    body = {"model": model, "max_tokens": 50, "messages": [{"role": "user", "content": "Hi"}]}
    for sent in (json.dumps(body).encode(), b"{}", b"nonsense"):
        answer = alice.send("POST", "/v1/messages", sent)
        assert answer.status == 400
        assert answer.json["type"] == "error"
        assert answer.json["error"].keys() == {"type", "message"}


@pytest.mark.parametrize("stream", [False, True])
def test_older_completions_pass(alice: Client, upstream: Upstream, model: str, stream: bool) -> None:
    body = {"model": model, "prompt": "Once", "max_tokens": 9, "stream": stream}
    answer = alice.send("POST", "/v1/completions", json.dumps(body).encode())
    assert answer.status == 200
    [seen] = upstream.log(model)
    assert seen.target == "/v1/completions"
    assert seen.json["prompt"] == "Once"
