"""SDKs at a gateway that translates: Anthropic's at a chat server, OpenAI's at a Messages server."""

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest

from tests.gateway_process import Entry, Gateway, config_of
from tests.path.client import Client
from tests.upstream import Behaviour, Upstream, error

CLAUDE = "claude-sonnet-4-5"
TOOLS: Any = [
    {"name": "weather", "input_schema": {"type": "object"}},
    {"name": "now", "input_schema": {"type": "object"}},
]


@pytest.fixture
def claude(alice: Client) -> Iterator[anthropic.Anthropic]:
    base = f"http://127.0.0.1:{alice.gateway.port}"
    with anthropic.Anthropic(base_url=base, api_key=alice.key, max_retries=0, timeout=20) as made:
        yield made


def ask(model: str, **more: Any) -> dict[str, Any]:
    return {"model": model, "max_tokens": 50, "messages": [{"role": "user", "content": "Hello"}], **more}


def piece(index: int, arguments: str, **head: Any) -> dict[str, Any]:
    name = {"name": head.pop("name")} if "name" in head else {}
    return {"index": index, **head, "function": {**name, "arguments": arguments}}


def test_anthropics_sdk_streams_thoughts_text_and_calls_from_a_chat_server(
    claude: anthropic.Anthropic, upstream: Upstream, model: str
) -> None:
    deltas: list[dict[str, Any]] = [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "Hm"},
        {"content": "Let me "},
        {"content": "see."},
        {"tool_calls": [piece(0, "", id="call_1", type="function", name="weather")]},
        {"tool_calls": [piece(1, '{"zone"', id="call_2", type="function", name="now")]},
        {"tool_calls": [piece(0, '{"city":"Bern"}')]},
        {"tool_calls": [piece(1, ':"UTC"}')]},
    ]
    upstream.behave(Behaviour(deltas=deltas, finish="tool_calls"), model=model)
    with claude.messages.stream(**ask(model, tools=TOOLS)) as stream:
        made = stream.get_final_message()
    kinds = [block.type for block in made.content]
    assert kinds == ["thinking", "text", "tool_use", "tool_use"]
    calls = [(block.id, block.name, block.input) for block in made.content if block.type == "tool_use"]
    assert calls == [("call_1", "weather", {"city": "Bern"}), ("call_2", "now", {"zone": "UTC"})]
    assert made.stop_reason == "tool_use"
    [seen] = upstream.log(model)
    assert seen.json["stream_options"] == {"include_usage": True}
    assert made.usage.output_tokens == len(deltas)


def test_anthropics_sdk_knows_the_errors_of_a_chat_server(
    claude: anthropic.Anthropic, upstream: Upstream, model: str
) -> None:
    upstream.behave(error(400), model=model)
    with pytest.raises(anthropic.BadRequestError):
        claude.messages.create(**ask(model))
    with pytest.raises(anthropic.BadRequestError, match=r"tools\[0\]\.type"):
        claude.messages.create(**ask(model, tools=[{"type": "web_search_20250305", "name": "web_search"}]))


# A server of the Messages API: the fake provider says these events as they are


EVENTS: list[dict[str, Any]] = [
    {
        "type": "message_start",
        "message": {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": CLAUDE,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 20, "cache_read_input_tokens": 5, "output_tokens": 1},
        },
    },
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "ping"},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Let me see."}},
    {"type": "content_block_stop", "index": 0},
    {
        "type": "content_block_start",
        "index": 1,
        "content_block": {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}},
    },
    {
        "type": "content_block_delta",
        "index": 1,
        "delta": {"type": "input_json_delta", "partial_json": '{"city":'},
    },
    {
        "type": "content_block_delta",
        "index": 1,
        "delta": {"type": "input_json_delta", "partial_json": '"Bern"}'},
    },
    {"type": "content_block_stop", "index": 1},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "tool_use", "stop_sequence": None},
        "usage": {"output_tokens": 30},
    },
    {"type": "message_stop"},
]
FUNCTIONS: Any = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]


@pytest.fixture(scope="module")
def bert(upstream: Upstream) -> Iterator[Client]:
    """Someone at a gateway whose model `claude` is at a server of the Messages API."""
    entry = Entry("claude", upstream.url, params={"model": f"anthropic/{CLAUDE}"})
    with Gateway(config_of([entry])) as gateway:
        yield Client(gateway, gateway.create_key("bert"))


@pytest.fixture
def chat(bert: Client) -> Iterator[openai.OpenAI]:
    base = f"http://127.0.0.1:{bert.gateway.port}/v1"
    with openai.OpenAI(base_url=base, api_key=bert.key, max_retries=0, timeout=20) as made:
        yield made


def test_openais_sdk_streams_from_a_messages_server(
    chat: openai.OpenAI, bert: Client, upstream: Upstream
) -> None:
    said = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in EVENTS)
    upstream.behave(Behaviour(body=said, content_type="text/event-stream"), model=CLAUDE)
    with chat.chat.completions.stream(
        model="claude",
        messages=[{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Rain?"}],
        tools=FUNCTIONS,
        stream_options={"include_usage": True},
    ) as stream:
        made = stream.get_final_completion()
    [choice] = made.choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content == "Let me see."
    [call] = choice.message.tool_calls or []
    assert (call.id, call.function.name, call.function.arguments) == ("toolu_1", "weather", '{"city":"Bern"}')
    assert made.usage is not None
    assert (made.usage.prompt_tokens, made.usage.completion_tokens) == (25, 30)
    seen = upstream.log(CLAUDE)[-1]
    assert seen.target == "/v1/messages"
    assert seen.header("x-api-key") == "sk-of-provider"
    assert seen.header("anthropic-version") == "2023-06-01"
    assert seen.header("authorization") is None
    assert seen.json["system"] == "Be kind."
    assert seen.json["max_tokens"] > 0


def test_openais_sdk_knows_the_errors_of_a_messages_server(chat: openai.OpenAI, upstream: Upstream) -> None:
    told = {
        "type": "error",
        "error": {"type": "invalid_request_error", "message": "prompt is too long: 9 > 8"},
    }
    upstream.behave(
        Behaviour(status=400, body=json.dumps(told), content_type="application/json"), model=CLAUDE
    )
    with pytest.raises(openai.BadRequestError) as caught:
        chat.chat.completions.create(model="claude", messages=[{"role": "user", "content": "Hi"}])
    assert caught.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError) as caught:
        chat.chat.completions.create(model="claude", messages=[{"role": "user", "content": "Hi"}], seed=4)
    assert caught.value.param == "seed"
