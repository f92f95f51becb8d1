"""The fake provider serves every surface as the originals do, seen by the SDKs and from raw requests."""

import hashlib
import http.client
import json
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest
from openai.types.responses import Response

from tests.upstream import Behaviour, Upstream

WEATHER: Any = {"type": "function", "name": "weather", "parameters": {"type": "object"}}


@pytest.fixture(scope="module")
def process() -> Iterator[Upstream]:
    with Upstream("a") as upstream:
        yield upstream


@pytest.fixture
def upstream(process: Upstream) -> Upstream:
    process.reset()
    return process


@pytest.fixture
def client(upstream: Upstream) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=upstream.url, api_key="sk-x", max_retries=0, timeout=5) as made:
        yield made


def ask(upstream: Upstream, path: str, body: Any, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", upstream.port, timeout=5)
    connection.request("POST", f"/v1/{path}", json.dumps(body), headers or {})
    answer = connection.getresponse()
    said = json.loads(answer.read())
    connection.close()
    return answer.status, said


def test_a_responses_stream_builds_up_what_its_last_event_holds(
    client: openai.OpenAI, upstream: Upstream
) -> None:
    upstream.behave(Behaviour(texts=["hel", "lo"], thought="Hm, well."))
    with client.responses.stream(model="m", input="Hi") as stream:
        events = list(stream)
        made = stream.get_final_response()
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert made.output_text == "hello"
    assert [item.type for item in made.output] == ["reasoning", "message"]
    assert made.usage is not None
    assert made.usage.output_tokens == upstream.log()[0].tokens_sent == 4


def test_tools_are_called_until_their_results_come(client: openai.OpenAI, upstream: Upstream) -> None:
    upstream.behave(Behaviour(tools={"": {"city": "Bern"}}))
    first = client.responses.create(model="m", input="Hi", tools=[WEATHER])
    [call] = first.output
    assert call.type == "function_call"
    assert (call.name, json.loads(call.arguments)) == ("weather", {"city": "Bern"})
    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "Sunny"}
    second = client.responses.create(
        model="m", input=[result], tools=[WEATHER], previous_response_id=first.id
    )
    assert second.output_text == "w0 w1 w2 "
    assert len(client.responses.input_items.list(second.id).data) == 3


def test_a_response_is_kept_until_it_is_deleted(client: openai.OpenAI) -> None:
    made = client.responses.create(model="m", input="Hi")
    found: Response = client.responses.retrieve(made.id)
    assert found.output_text == made.output_text
    client.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model="m", input="Hi", previous_response_id=made.id)
    assert caught.value.param == "previous_response_id"


@pytest.mark.parametrize(
    ("headers", "status", "kind"),
    [
        ({"anthropic-version": "2023-06-01"}, 401, "authentication_error"),
        ({"x-api-key": "sk-x"}, 400, "invalid_request_error"),
        ({"x-api-key": "sk-x", "anthropic-version": "2023-06-01"}, 400, "invalid_request_error"),
    ],
)
def test_messages_without_their_headers_or_a_bound_are_refused(
    upstream: Upstream, headers: dict[str, str], status: int, kind: str
) -> None:
    told = ask(upstream, "messages", {"model": "m", "messages": []}, headers)
    assert told[0] == status
    assert told[1]["type"] == "error"
    assert told[1]["error"]["type"] == kind


def test_messages_stream_thoughts_and_calls(upstream: Upstream) -> None:
    upstream.behave(Behaviour(tools={"weather": {"city": "Bern"}}, thought="Hm, well."))
    base = upstream.url.removesuffix("/v1")
    tools: Any = [{"name": "weather", "input_schema": {"type": "object"}}]
    asked: Any = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
    with (
        anthropic.Anthropic(base_url=base, api_key="sk-x", max_retries=0) as client,
        client.messages.stream(**asked, tools=tools) as stream,
    ):
        made = stream.get_final_message()
    assert [block.type for block in made.content] == ["thinking", "tool_use"]
    assert made.stop_reason == "tool_use"
    assert made.usage.output_tokens == upstream.log()[0].tokens_sent


@pytest.mark.parametrize("coded", ["float", "base64"])
def test_embeddings_come_as_numbers_or_packed_and_as_long_as_asked(client: openai.OpenAI, coded: Any) -> None:
    made = client.embeddings.create(model="m", input=["a", "b"], dimensions=4, encoding_format=coded)
    vector: Any = made.data[1].embedding
    if coded == "base64":
        assert isinstance(vector, str)
    else:
        assert vector == [0.25, -0.5, 1, 0.0]
    assert len(client.embeddings.create(model="m", input=[1, 2, 3]).data) == 1


def test_an_upload_is_in_the_log_by_its_parts(client: openai.OpenAI, upstream: Upstream) -> None:
    data = b"\r\n--x\x00\xff" * 999
    made = client.files.create(file=("grüße.bin", data, "audio/wav"), purpose="user_data")
    assert client.files.content(made.id).read() == data
    assert [file.id for file in client.files.list()] == [made.id]
    seen = upstream.log()[0]
    assert seen.route == "POST files"
    [purpose, file] = sorted(seen.parts, key=lambda part: part["filename"] is not None)
    assert (purpose["name"], purpose["value"]) == ("purpose", "user_data")
    assert (file["filename"], file["content_type"], file["size"]) == ("grüße.bin", "audio/wav", len(data))
    assert file["sha256"] == hashlib.sha256(data).hexdigest()


def test_a_form_without_its_end_is_refused(upstream: Upstream) -> None:
    body = b'--x\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\nabc\r\n'
    connection = http.client.HTTPConnection("127.0.0.1", upstream.port, timeout=5)
    kind = {"content-type": "multipart/form-data; boundary=x"}
    connection.request("POST", "/v1/audio/transcriptions", body, kind)
    assert connection.getresponse().status == 400
    connection.close()


def test_files_become_batches(client: openai.OpenAI) -> None:
    file = client.files.create(file=("in.jsonl", b"{}\n{}\n"), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    assert batch.request_counts is not None
    assert batch.request_counts.total == 2
    assert batch.output_file_id is not None
    assert client.files.content(batch.output_file_id).read() == b"{}\n{}\n"
    assert client.batches.cancel(batch.id).status == "cancelling"
    assert [each.id for each in client.batches.list()] == [batch.id]


def test_what_no_provider_serves_is_not_found(upstream: Upstream) -> None:
    assert ask(upstream, "nonsense", {})[0] == 404


@pytest.mark.parametrize("path", ["responses", "messages", "embeddings", "images/generations"])
def test_faults_hold_for_every_surface(upstream: Upstream, path: str) -> None:
    upstream.behave(Behaviour(fault="close", fault_after=0))
    headers = {"authorization": "Bearer x"}
    with pytest.raises((http.client.IncompleteRead, http.client.RemoteDisconnected)):
        ask(upstream, path, {"model": "m", "max_tokens": 1, "input": "x"}, headers)
    assert upstream.log()[0].ended == "close"
