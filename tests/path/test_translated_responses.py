"""Streams of responses from a provider that knows only chat: one that says nothing, one that breaks."""

import json

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
    assert names[-1] == "event: error"
    assert not {"event: response.completed", "event: response.incomplete"} & set(names)
