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


def test_responses_are_translated_once_a_provider_says_that_it_has_none(
    alice: Client, upstream: Upstream, model: str
) -> None:
    nothing_there = error(404, {"detail": "Not Found"})
    upstream.behave(nothing_there, Behaviour(texts=["hel", "lo"]), model=model)
    body = json.dumps({"model": model, "input": "Hi"}).encode()
    for _ in range(2):
        answer = alice.send("POST", "/v1/responses", body)
        assert answer.status == 200, answer.body
        assert answer.json["output"][0]["content"][0]["text"] == "hello"
    assert [seen.target for seen in upstream.log(model)] == [
        "/v1/responses",
        "/v1/chat/completions",
        "/v1/chat/completions",
    ]
    rows = alice.gateway.usage(1, answer.request_id)
    assert [(row["status"], row["endpoint"]) for row in rows] == [("ok", "responses")]
    # and the deployment is none the worse for it
    assert alice.chat(model).status == 200


def test_a_streamed_response_names_its_events(alice: Client, upstream: Upstream, model: str) -> None:
    upstream.behave(error(404, {"detail": "Not Found"}), Behaviour(texts=["hel", "lo"]), model=model)
    body = json.dumps({"model": model, "input": "Hi", "stream": True}).encode()
    answer = alice.send("POST", "/v1/responses", body)
    blocks = [block.split("\n") for block in answer.body.decode().split("\n\n") if block]
    for name, data in blocks:
        assert name.removeprefix("event: ") == json.loads(data.removeprefix("data: "))["type"]
    assert blocks[-1][0] == "event: response.completed"
    [row] = [row for row in alice.gateway.usage(2, answer.request_id) if row["status"] == "ok"]
    assert (row["prompt_tokens"], row["completion_tokens"], row["stream"]) == (7, 2, True)


RESPONSE = {
    "id": "resp_abc",
    "object": "response",
    "status": "completed",
    "output": [{"type": "message", "content": [{"type": "output_text", "text": "x"}]}],
    "usage": {"input_tokens": 5, "output_tokens": 6, "total_tokens": 11},
    "previous_response_id": None,
}


def test_a_response_is_found_again_by_its_owner_alone(alice: Client, upstream: Upstream, model: str) -> None:
    bob = Client(alice.gateway, alice.gateway.create_key(f"bob of {model}"))
    upstream.behave(Behaviour(body=json.dumps(RESPONSE)), model=model)
    first = alice.send("POST", "/v1/responses", json.dumps({"model": model, "input": "Hi"}).encode())
    name = first.json["id"]
    assert name.startswith("resp_sy")
    body = json.dumps({"model": model, "input": "More", "previous_response_id": name}).encode()
    assert alice.send("POST", "/v1/responses", body).status == 200
    assert upstream.log(model)[-1].json["previous_response_id"] == "resp_abc"
    stranger = bob.send("POST", "/v1/responses", body)
    assert (stranger.status, stranger.error["code"]) == (400, "previous_response_not_found")
    assert bob.send("GET", f"/v1/responses/{name}").status == 404
    [row] = alice.gateway.usage(1, first.request_id)
    assert (row["prompt_tokens"], row["completion_tokens"], row["estimated"]) == (5, 6, False)


def test_a_response_that_is_read_names_the_one_before_it_as_its_client_does(
    alice: Client, upstream: Upstream, model: str
) -> None:
    upstream.behave(Behaviour(body=json.dumps(RESPONSE)), model=model)
    body = {"model": model, "input": "Hi"}
    first = alice.send("POST", "/v1/responses", json.dumps(body).encode()).json["id"]
    second = RESPONSE | {"id": "resp_def", "previous_response_id": "resp_abc"}
    upstream.behave(Behaviour(body=json.dumps(second)), model=model)
    more = json.dumps(body | {"previous_response_id": first}).encode()
    made = alice.send("POST", "/v1/responses", more).json
    upstream.behave(Behaviour(body=json.dumps(second)), model="")  # what is asked by an id names no model
    read = alice.get(f"/v1/responses/{made['id']}")
    upstream.behave(model="")
    assert (read.json["id"], read.json["previous_response_id"]) == (made["id"], first)
    assert b"resp_abc" not in read.body
