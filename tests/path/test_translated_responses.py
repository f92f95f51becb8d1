"""Streams of responses from a provider that knows only chat: one that says nothing, one that breaks."""

import json
from typing import Any

import pytest

from tests.path.client import Client
from tests.upstream import Behaviour, Upstream, error

NO_RESPONSES = error(404, {"detail": "Not Found"})
AZURES_VERDICT = '{"id":"","model":"","choices":[],"prompt_filter_results":[]}'


@pytest.mark.parametrize("said", ["data: [DONE]\n\n", "", f"data: {AZURES_VERDICT}\n\ndata: [DONE]\n\n"])
def test_a_stream_that_says_nothing_is_a_real_status(
    alice: Client, upstream: Upstream, model: str, said: str
) -> None:
    upstream.behave(NO_RESPONSES, Behaviour(body=said, content_type="text/event-stream"), model=model)
    body = json.dumps({"model": model, "input": "Hi", "stream": True}).encode()
    answer = alice.send("POST", "/v1/responses", body)
    assert answer.status == 502, answer.body
    assert answer.error["type"] == "server_error"
    assert {row["status"] for row in alice.gateway.usage(1, answer.request_id)} == {"failed"}


def test_a_stream_without_its_end_is_no_completed_response(
    alice: Client, upstream: Upstream, model: str
) -> None:
    broken = Behaviour(texts=["hel", "lo"], finish=None, done=False, usage="none")
    upstream.behave(NO_RESPONSES, broken, model=model)
    body = json.dumps({"model": model, "input": "Hi", "stream": True}).encode()
    answer = alice.send("POST", "/v1/responses", body)
    names = [line for line in answer.body.decode().splitlines() if line.startswith("event: ")]
    assert names[0] == "event: response.created"
    assert names.count("event: response.output_text.delta") == 2
    assert names[-2:] == ["event: error", "event: response.failed"]
    assert not {"event: response.completed", "event: response.incomplete"} & set(names)


def events_of(body: bytes) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in body.decode().splitlines() if line.startswith("data: ")]


def test_what_codex_offers_by_itself_needs_no_setting_at_a_chat_provider(
    alice: Client, upstream: Upstream, model: str
) -> None:
    function = {"name": "shell", "description": "Runs.", "strict": False, "parameters": {"type": "object"}}
    tools = [
        {"type": "function", **function},
        {"type": "web_search", "external_web_access": False},
        {"type": "image_generation", "output_format": "png"},
        {"type": "namespace", "name": "mcp__db", "tools": [{"type": "function", **function, "name": "ask"}]},
    ]
    asked = {
        "tools": tools,
        "tool_choice": "auto",
        "include": ["reasoning.encrypted_content"],
        "store": False,
    }
    upstream.behave(NO_RESPONSES, Behaviour(tools={"mcp__db__ask": {"sql": "x"}}), model=model)
    body = json.dumps({"model": model, "input": "Hi", "stream": True, **asked}).encode()
    answer = alice.send("POST", "/v1/responses", body)
    assert answer.status == 200, answer.body
    last = events_of(answer.body)[-1]
    assert last["type"] == "response.completed"
    [call] = last["response"]["output"]
    assert (call["namespace"], call["name"], json.loads(call["arguments"])) == (
        "mcp__db",
        "ask",
        {"sql": "x"},
    )
    assert [tool["type"] for tool in last["response"]["tools"]] == ["function", "namespace"]
    *_, seen = upstream.log(model)
    assert [tool["function"]["name"] for tool in seen.json["tools"]] == ["shell", "mcp__db__ask"]


def test_a_prompt_that_turns_out_too_long_in_a_stream_is_told_as_codex_knows_it(
    alice: Client, upstream: Upstream, model: str
) -> None:
    chunk = {"model": "m", "choices": [{"index": 0, "delta": {"content": "hel"}}]}
    failed = {
        "error": {"message": "maximum context length is 8192 tokens", "type": "BadRequestError", "code": 400}
    }
    said = "".join(f"data: {json.dumps(each)}\n\n" for each in (chunk, failed))
    upstream.behave(NO_RESPONSES, Behaviour(body=said, content_type="text/event-stream"), model=model)
    body = json.dumps({"model": model, "input": "Hi", "stream": True}).encode()
    *before, error, last = events_of(alice.send("POST", "/v1/responses", body).body)
    assert [each["sequence_number"] for each in (error, last)] == [len(before), len(before) + 1]
    assert (error["type"], last["type"]) == ("error", "response.failed")
    assert last["response"]["error"] == {
        "code": "context_length_exceeded",
        "message": "maximum context length is 8192 tokens",
    }
    [item] = last["response"]["output"]
    assert (item["status"], item["content"][0]["text"]) == ("incomplete", "hel")
