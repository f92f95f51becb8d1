"""Each cell of the table in docs/surfaces.md: where a request goes, and that its answer comes back."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.surfaces import FORMS, SURFACES
from tests.gateway_process import Gateway
from tests.path.client import Client
from tests.upstream import Behaviour, Upstream

PAGE = Path(__file__).parents[2] / "docs" / "surfaces.md"
COLUMNS = ("chat alone", "with responses", "with messages", "Anthropic")


def table() -> Iterator[tuple[str, str, str]]:
    """(client's endpoint, column, cell)."""
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        if len(cells) == 5 and line.startswith("| `"):
            for column, cell in zip(COLUMNS, cells[1:], strict=True):
                yield cells[0], column, cell


CELLS = list(table())
TEXT = "hello"
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [{"type": "text", "text": TEXT}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 7, "output_tokens": 2, "cache_read_input_tokens": 3},
}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "status": "completed",
    "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": TEXT}]}],
    "usage": {"input_tokens": 10, "output_tokens": 2, "total_tokens": 12},
}
USED = {"prompt_tokens": 10, "total_tokens": 10}
ANSWERS: dict[str, Any] = {
    "messages": MESSAGE,
    "messages/count_tokens": {"input_tokens": 10},
    "responses": RESPONSE,
    "embeddings": {"object": "list", "data": [{"embedding": [0.5]}], "usage": USED},
    "moderations": {"id": "m", "results": [{"flagged": False}]},
    "rerank": {"results": [{"index": 0, "relevance_score": 0.5}], "usage": {"total_tokens": 10}},
    "images/generations": {"created": 1, "data": [{"b64_json": "AAAA"}]},
    "images/edits": {"created": 1, "data": [{"b64_json": "AAAA"}]},
    "images/variations": {"created": 1, "data": [{"b64_json": "AAAA"}]},
    "audio/transcriptions": {"text": TEXT},
    "audio/translations": {"text": TEXT},
}
HI = [{"role": "user", "content": "Hi"}]
ASKED: dict[str, dict[str, Any]] = {
    "chat/completions": {"messages": HI},
    "responses": {"input": "Hi"},
    "messages": {"messages": HI, "max_tokens": 9},
    "messages/count_tokens": {"messages": HI},
    "completions": {"prompt": "Hi"},
    "embeddings": {"input": "Hi"},
    "moderations": {"input": "Hi"},
    "rerank": {"query": "Hi", "documents": ["a"]},
    "images/generations": {"prompt": "Hi"},
    "audio/speech": {"input": "Hi", "voice": "x"},
}


def sse(*events: dict[str, Any]) -> str:
    return "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)


STREAMS = {
    "messages": sse(
        {"type": "message_start", "message": MESSAGE | {"content": [], "stop_reason": None}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": TEXT}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    ),
    "responses": sse(
        {"type": "response.created", "sequence_number": 0, "response": RESPONSE | {"output": []}},
        {"type": "response.output_item.added", "sequence_number": 1, "item": {"type": "message"}},
        {"type": "response.output_text.delta", "sequence_number": 2, "delta": TEXT},
        {"type": "response.vendor.event", "sequence_number": 3, "odd": True},
        {"type": "response.completed", "sequence_number": 4, "response": RESPONSE},
    ),
}


def behaviour(wire: str, *, stream: bool) -> Behaviour:
    if wire == "audio/speech":
        return Behaviour(body="sound" * 1000, content_type="audio/mpeg")
    if stream and wire in STREAMS:
        return Behaviour(body=STREAMS[wire], content_type="text/event-stream")
    if wire in ANSWERS:
        return Behaviour(body=json.dumps(ANSWERS[wire]))
    return Behaviour(texts=[TEXT, ""], prompt_tokens=10)


@pytest.fixture(scope="module")
def provider() -> Iterator[Upstream]:
    with Upstream("table") as running:
        yield running


@pytest.fixture(scope="module")
def alice(provider: Upstream) -> Iterator[Client]:
    speaks = {"chat alone": [], "with responses": ["responses"], "with messages": ["messages"]}
    entries = []
    for column in COLUMNS:
        kind = "anthropic" if column == "Anthropic" else "openai"
        params = {"model": f"{kind}/{column}", "api_base": provider.url, "api_key": f"sk-{column}"}
        info = {"switchyard_also_speaks": speaks[column]} if column in speaks else {}
        entries.append({"model_name": column, "litellm_params": params, "model_info": info})
    with Gateway(json.dumps({"model_list": entries})) as running:
        yield Client(running, running.create_key("alice"))


def ask(alice: Client, endpoint: str, model: str, **more: Any) -> Any:
    if endpoint in FORMS:
        named = f'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\n{model}\r\n'
        file = '--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nbytes\r\n--x--\r\n'
        kind = {"content-type": "multipart/form-data; boundary=x"}
        return alice.send("POST", f"/v1/{endpoint}", (named + file).encode(), kind)
    body = {"model": model, **ASKED[endpoint], **more}
    return alice.send("POST", f"/v1/{endpoint}", json.dumps(body).encode())


def test_the_table_names_every_surface() -> None:
    assert {endpoint for endpoint, _, _ in CELLS} == set(SURFACES)


@pytest.mark.parametrize(("endpoint", "column", "cell"), CELLS)
def test_a_request_goes_where_the_table_says(
    alice: Client, provider: Upstream, endpoint: str, column: str, cell: str
) -> None:
    wire = endpoint if cell in ("400", "here") else cell
    provider.behave(behaviour(wire, stream=False), model=column)
    before = len(provider.log(column))
    answer = ask(alice, endpoint, column)
    came = provider.log(column)[before:]
    if cell == "400":
        assert (answer.status, answer.error["code"], came) == (400, "unsupported_endpoint", [])
        return
    assert answer.status == 200, answer.body
    if cell == "here":
        assert answer.json["input_tokens"] > 0
        assert came == []
        return
    [seen] = came
    assert seen.target == f"/v1/{cell}"
    if column == "Anthropic":
        assert (seen.header("x-api-key"), seen.header("authorization")) == ("sk-Anthropic", None)
        assert seen.header("anthropic-version")
    [row] = alice.gateway.usage(1, answer.request_id)
    assert (row["endpoint"], row["status"]) == (endpoint, "ok")
    assert row["upstream_request_id"].endswith(f"-{seen.id}")
    assert (answer.header("request-id") == answer.request_id) == endpoint.startswith("messages")
    if endpoint in ("chat/completions", "responses", "messages"):
        assert TEXT in answer.body.decode()
        assert (row["prompt_tokens"], row["completion_tokens"], row["estimated"]) == (10, 2, False)
        assert row["cached_tokens"] == (3 if wire == "messages" else 0)
    elif endpoint in ("embeddings", "rerank"):
        assert (row["prompt_tokens"], row["completion_tokens"], row["estimated"]) == (10, 0, False)


HUB = [cell for cell in CELLS if cell[0] in ("chat/completions", "responses", "messages")]


@pytest.mark.parametrize(("endpoint", "column", "cell"), HUB)
def test_a_stream_goes_there_too(
    alice: Client, provider: Upstream, endpoint: str, column: str, cell: str
) -> None:
    provider.behave(behaviour(cell, stream=True), model=column)
    answer = ask(alice, endpoint, column, stream=True)
    assert answer.status == 200, answer.body
    text = answer.body.decode()
    assert TEXT in text
    ends = {"chat/completions": "data: [DONE]\n\n", "responses": "", "messages": ""}
    assert text.endswith(ends[endpoint])
    last = {"responses": "response.completed", "messages": "message_stop"}.get(endpoint)
    names = re.findall(r"^event: (.*)$", text, re.MULTILINE)
    assert names[-1:] == ([last] if last else [])
    if endpoint == cell == "responses":
        # each event as it came, but for the id of the response
        assert re.sub(r"resp_sy[\w-]+", "resp_1", text) == STREAMS["responses"]
    if endpoint == cell == "messages":
        assert text == STREAMS["messages"]
    [row] = alice.gateway.usage(1, answer.request_id)
    assert (row["prompt_tokens"], row["completion_tokens"], row["estimated"]) == (10, 2, False)


@pytest.mark.parametrize(("endpoint", "column", "cell"), HUB)
def test_an_error_comes_back_in_the_clients_form(
    alice: Client, provider: Upstream, endpoint: str, column: str, cell: str
) -> None:
    told: dict[str, Any] = {
        "message": "too much",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }
    if cell == "messages":
        told = {"type": "error", "error": {"type": "invalid_request_error", "message": "too much"}}
    else:
        told = {"error": told}
    provider.behave(Behaviour(status=400, body=json.dumps(told)), model=column)
    answer = ask(alice, endpoint, column)
    assert answer.status == 400
    error = answer.json["error"]
    assert (error["message"], error["type"]) == ("too much", "invalid_request_error")
    if endpoint == "messages":
        assert (answer.json["type"], error.keys()) == ("error", {"type", "message"})
    else:
        assert error.keys() == {"message", "type", "param", "code"}


@pytest.mark.parametrize(("endpoint", "column", "cell"), HUB)
def test_a_stream_that_breaks_ends_in_an_error_of_the_clients_form(
    alice: Client, provider: Upstream, endpoint: str, column: str, cell: str
) -> None:
    if cell in STREAMS:
        text = STREAMS[cell]
        cut = text[: text.index(TEXT) + len(TEXT) + 4].rsplit("\n\n", 1)[0]
        whole = text[: text.index("\n\n", len(cut) + 2) + 2]
        broken = Behaviour(body=whole, content_type="text/event-stream")
    else:
        broken = Behaviour(texts=[TEXT, ""], finish=None, done=False, usage="none")
    provider.behave(broken, model=column)
    answer = ask(alice, endpoint, column, stream=True)
    assert answer.status == 200
    *_, before, last = answer.body.decode().rstrip().split("\n\n")
    data = json.loads(last[last.index("data: ") + 6 :])
    if endpoint == "chat/completions":
        assert data.keys() == {"error"}
        assert b"[DONE]" not in answer.body
    elif endpoint == "responses" != cell:  # SDKs read the one, Codex reads only the other
        assert before.startswith("event: error\n")
        assert last.startswith("event: response.failed\n")
        told = data["response"]
        assert (told["status"], told["error"]["code"]) == ("failed", "server_error")
        assert told["error"]["message"] == json.loads(before[before.index("data: ") + 6 :])["message"]
    else:
        assert last.startswith("event: error\n")
        assert data["type"] == "error"
    [row] = alice.gateway.usage(1, answer.request_id)
    assert (row["status"], row["estimated"]) == ("failed", True)
