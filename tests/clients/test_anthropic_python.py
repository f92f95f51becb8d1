"""anthropic for Python, whatever the provider behind speaks."""

import base64
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest

from tests.clients.conftest import House, spoken
from tests.upstream import Upstream
from tests.upstream_surfaces.images import png

HELLO: Any = {"max_tokens": 50, "messages": [{"role": "user", "content": "Hello"}]}
OBJECT = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOLS: Any = [{"name": "get_weather", "input_schema": OBJECT}, {"name": "get_time", "input_schema": OBJECT}]
PICTURE = base64.b64encode(png(5)).decode()


def sdk(house: House, retries: int = 0, key: str = "") -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=house.root, api_key=key or house.key, max_retries=retries, timeout=20)


@pytest.fixture
def client(house: House) -> Iterator[anthropic.Anthropic]:
    with sdk(house) as made:
        yield made


def test_it_asks(client: anthropic.Anthropic, upstream: Upstream, wire: str) -> None:
    made = client.messages.create(model=f"{wire}-plain", system="Be kind.", **HELLO)
    assert upstream.log(f"{wire}-plain")[-1].route == spoken(wire, "messages")
    assert [block.text for block in made.content if block.type == "text"] == ["Hello wörld"]
    assert made.stop_reason == "end_turn"
    assert (made.usage.input_tokens, made.usage.output_tokens) == (7, 3)


def test_it_streams_thoughts_and_text(client: anthropic.Anthropic, wire: str) -> None:
    with client.messages.stream(model=f"{wire}-thinks", **HELLO) as stream:
        assert "".join(stream.text_stream) == "Four"
        made = stream.get_final_message()
    assert [block.type for block in made.content] == ["thinking", "text"]
    assert [block.thinking for block in made.content if block.type == "thinking"] == ["Two and two."]
    assert made.usage.output_tokens > 0


@pytest.mark.parametrize("stream", [False, True])
def test_its_tools_come_to_an_end(client: anthropic.Anthropic, wire: str, stream: bool) -> None:
    messages: list[Any] = [*HELLO["messages"]]
    asked: list[Any] = []
    for _ in range(3):
        request: Any = {"model": f"{wire}-two-tools", "max_tokens": 50, "tools": TOOLS, "messages": messages}
        if stream:
            with client.messages.stream(**request) as events:
                made: Any = events.get_final_message()
        else:
            made = client.messages.create(**request)
        if made.stop_reason != "tool_use":
            break
        calls = [block for block in made.content if block.type == "tool_use"]
        asked += [(call.name, call.input) for call in calls]
        results = [{"type": "tool_result", "tool_use_id": call.id, "content": "Fine"} for call in calls]
        messages += [{"role": "assistant", "content": made.content}, {"role": "user", "content": results}]
    assert asked == [("get_weather", {"city": "Bern"}), ("get_time", {"zone": "UTC"})]
    assert made.content[0].text == "Done"


def test_its_pictures_reach_the_provider(client: anthropic.Anthropic, upstream: Upstream, wire: str) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": PICTURE}
    content: Any = [{"type": "image", "source": source}, {"type": "text", "text": "What?"}]
    asked: Any = [{"role": "user", "content": content}]
    client.messages.create(model=f"{wire}-plain", max_tokens=9, messages=asked)
    assert PICTURE in upstream.log(f"{wire}-plain")[-1].body.decode()


def test_its_betas_reach_a_provider_that_knows_them(
    client: anthropic.Anthropic, upstream: Upstream, wire: str
) -> None:
    asked: Any = {"model": f"{wire}-plain", "extra_query": {"beta": "true"}, **HELLO}
    client.beta.messages.create(betas=["context-1m-2025-08-07"], **asked)
    seen = upstream.log(f"{wire}-plain")[-1]
    if wire == "messages":
        assert seen.target == "/v1/messages?beta=true"
        assert seen.header("anthropic-beta") == "context-1m-2025-08-07"
    else:
        assert seen.target == "/v1/chat/completions"


def test_it_counts_tokens(client: anthropic.Anthropic, wire: str) -> None:
    counted = client.messages.count_tokens(model=f"{wire}-plain", messages=HELLO["messages"])
    assert counted.input_tokens == 7 if wire == "messages" else counted.input_tokens > 0


def test_an_answer_that_was_cut_says_so(client: anthropic.Anthropic, wire: str) -> None:
    assert client.messages.create(model=f"{wire}-long", **HELLO).stop_reason == "max_tokens"


def test_errors_are_of_its_own_classes(house: House, client: anthropic.Anthropic, wire: str) -> None:
    with pytest.raises(anthropic.BadRequestError, match="maximum context length"):
        client.messages.create(model=f"{wire}-too-full", **HELLO)
    with pytest.raises(anthropic.NotFoundError):
        client.messages.create(model="nope", **HELLO)
    with sdk(house, key="sk-wrong") as stranger, pytest.raises(anthropic.AuthenticationError):
        stranger.messages.create(model=f"{wire}-plain", **HELLO)


def test_it_names_the_request_as_its_usage_does(house: House, client: anthropic.Anthropic, wire: str) -> None:
    made = client.messages.create(model=f"{wire}-plain", **HELLO)
    assert made._request_id
    assert [row["status"] for row in house.gateway.usage(1, made._request_id)] == ["ok"]
    with client.messages.stream(model=f"{wire}-plain", **HELLO) as stream:
        assert stream.request_id
        stream.until_done()
    assert [row["stream"] for row in house.gateway.usage(1, stream.request_id)] == [True]
    with pytest.raises(anthropic.BadRequestError) as failed:
        client.messages.create(model=f"{wire}-too-full", **HELLO)
    assert failed.value.request_id
    assert [row["status"] for row in house.gateway.usage(1, failed.value.request_id)] == ["failed"]


def test_a_stream_that_broke_raises(client: anthropic.Anthropic, wire: str) -> None:
    with pytest.raises(anthropic.APIError), client.messages.stream(model=f"{wire}-breaks", **HELLO) as stream:
        stream.get_final_message()


def test_it_tries_again_what_failed_at_the_provider(house: House, upstream: Upstream, wire: str) -> None:
    model = f"{wire}-flaky-anthropic"
    with sdk(house, retries=2) as client:
        made = client.messages.create(model=model, **HELLO)
    assert [block.text for block in made.content if block.type == "text"] == ["again"]
    assert len(upstream.log(model)) == 2


async def test_the_asynchronous_client_does_all_that_too(house: House, wire: str) -> None:
    async with anthropic.AsyncAnthropic(base_url=house.root, api_key=house.key, max_retries=0) as client:
        async with client.messages.stream(model=f"{wire}-weather", tools=TOOLS, **HELLO) as stream:
            made = await stream.get_final_message()
        assert [block.type for block in made.content] == ["tool_use"]
        plain = await client.messages.create(model=f"{wire}-plain", **HELLO)
        assert plain.stop_reason == "end_turn"
