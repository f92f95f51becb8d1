"""openai for Python, whatever the provider behind speaks."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam
from pydantic import BaseModel

from tests.clients.conftest import House, spoken
from tests.upstream import Upstream
from tests.upstream_surfaces.images import png

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello"}]
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
ZONE = {"type": "object", "properties": {"zone": {"type": "string"}}}
NAMED: Any = [
    {"name": "get_weather", "description": "The weather", "parameters": CITY},
    {"name": "get_time", "parameters": ZONE},
]
TOOLS: Any = [{"type": "function", "function": tool} for tool in NAMED]
PICTURE = "data:image/png;base64," + base64.b64encode(png(9)).decode()


class Weather(BaseModel):
    city: str
    degrees: int


def sdk(house: House, retries: int = 0) -> openai.OpenAI:
    return openai.OpenAI(base_url=house.base, api_key=house.key, max_retries=retries, timeout=20)


@pytest.fixture
def client(house: House) -> Iterator[openai.OpenAI]:
    with sdk(house) as made:
        yield made


# --- chat --------------------------------------------------------------------------------------


def test_it_chats(client: openai.OpenAI, upstream: Upstream, wire: str) -> None:
    answer = client.chat.completions.create(model=f"{wire}-plain", messages=HELLO)
    assert upstream.log(f"{wire}-plain")[-1].route == spoken(wire, "messages")
    assert answer.choices[0].message.content == "Hello wörld"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (7, 3)


def test_it_streams_a_chat(client: openai.OpenAI, wire: str) -> None:
    with client.chat.completions.stream(
        model=f"{wire}-plain", messages=HELLO, stream_options={"include_usage": True}
    ) as stream:
        texts = [event.delta for event in stream if event.type == "content.delta"]
        made = stream.get_final_completion()
    assert [text for text in texts if text] == ["Hel", "lo ", "wörld"]
    assert made.choices[0].message.content == "Hello wörld"
    assert made.usage is not None
    assert (made.usage.prompt_tokens, made.usage.completion_tokens) == (7, 3)


@pytest.mark.parametrize("stream", [False, True])
def test_its_tool_calls_come_to_an_end(
    client: openai.OpenAI, upstream: Upstream, wire: str, stream: bool
) -> None:
    model = f"{wire}-two-tools"
    messages: list[Any] = [*HELLO]
    for _ in range(3):
        if stream:
            with client.chat.completions.stream(model=model, messages=messages, tools=TOOLS) as events:
                choice: Any = events.get_final_completion().choices[0]
        else:
            choice = client.chat.completions.create(model=model, messages=messages, tools=TOOLS).choices[0]
        if choice.finish_reason != "tool_calls":
            break
        messages.append(choice.message.model_dump(exclude_none=True, exclude={"parsed"}))
        for call in choice.message.tool_calls:
            given = json.loads(call.function.arguments)
            messages.append({"role": "tool", "tool_call_id": call.id, "content": json.dumps(given)})
    assert choice.message.content == "Done"
    results = [message["content"] for message in messages if message["role"] == "tool"]
    assert results == ['{"city": "Bern"}', '{"zone": "UTC"}']
    assert '\\"zone\\": \\"UTC\\"' in upstream.log(model)[-1].body.decode()


def test_it_parses_what_it_asked_a_form_for(client: openai.OpenAI, upstream: Upstream, wire: str) -> None:
    model = f"{wire}-parsed"
    answer = client.chat.completions.parse(model=model, messages=HELLO, response_format=Weather)
    assert answer.choices[0].message.parsed == Weather(city="Bern", degrees=21)
    assert '"degrees"' in upstream.log(model)[-1].body.decode()


def test_its_pictures_reach_the_provider(client: openai.OpenAI, upstream: Upstream, wire: str) -> None:
    model = f"{wire}-plain"
    parts: Any = [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": PICTURE}}]
    client.chat.completions.create(model=model, messages=[{"role": "user", "content": parts}])
    assert base64.b64encode(png(9)).decode() in upstream.log(model)[-1].body.decode()


def test_thoughts_come_beside_the_answer(client: openai.OpenAI, wire: str) -> None:
    answer: Any = client.chat.completions.create(model=f"{wire}-thinks", messages=HELLO)
    message = answer.choices[0].message
    assert (message.content, message.reasoning_content) == ("Four", "Two and two.")


def test_an_answer_that_was_cut_says_so(client: openai.OpenAI, wire: str) -> None:
    assert (
        client.chat.completions.create(model=f"{wire}-long", messages=HELLO).choices[0].finish_reason
        == "length"
    )
    answer = client.responses.create(model=f"{wire}-long", input="Hello")
    assert answer.status == "incomplete"
    assert answer.incomplete_details is not None
    assert answer.incomplete_details.reason == "max_output_tokens"


# --- responses ---------------------------------------------------------------------------------


def test_it_asks_for_a_response(client: openai.OpenAI, upstream: Upstream, wire: str) -> None:
    answer = client.responses.create(model=f"{wire}-plain", input="Hello", instructions="Be kind.")
    assert upstream.log(f"{wire}-plain")[-1].route == spoken(wire, "responses", "messages")
    assert answer.output_text == "Hello wörld"
    assert answer.status == "completed"
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (7, 3)


def test_it_streams_a_response(client: openai.OpenAI, wire: str) -> None:
    with client.responses.stream(model=f"{wire}-thinks", input="Hello") as stream:
        events = list(stream)
        made = stream.get_final_response()
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [events[0].type, events[-1].type] == ["response.created", "response.completed"]
    assert made.output_text == "Four"
    assert made.usage is not None
    assert made.usage.total_tokens == made.usage.input_tokens + made.usage.output_tokens
    assert [item.type for item in made.output] == ["reasoning", "message"]


@pytest.mark.parametrize("stream", [False, True])
def test_the_function_calls_of_a_response_come_to_an_end(
    client: openai.OpenAI, wire: str, stream: bool
) -> None:
    tools: Any = [{"type": "function", "strict": False, **tool} for tool in NAMED]
    items: list[Any] = [{"role": "user", "content": "Hello"}]
    for _ in range(3):
        asked: Any = {"model": f"{wire}-two-tools", "input": items, "tools": tools}
        if stream:
            with client.responses.stream(**asked) as events:
                answer: Any = events.get_final_response()
        else:
            answer = client.responses.create(**asked)
        calls = [item for item in answer.output if item.type == "function_call"]
        if not calls:
            break
        items += [call.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for call in calls]
        for call in calls:
            result = {"type": "function_call_output", "call_id": call.call_id, "output": call.arguments}
            items.append(result)
    assert answer.output_text == "Done"
    results = [json.loads(item["output"]) for item in items if item.get("type") == "function_call_output"]
    assert results == [{"city": "Bern"}, {"zone": "UTC"}]


def test_it_parses_a_response(client: openai.OpenAI, wire: str) -> None:
    answer = client.responses.parse(model=f"{wire}-parsed", input="Hello", text_format=Weather)
    assert answer.output_parsed == Weather(city="Bern", degrees=21)


def test_a_response_is_kept_where_its_provider_keeps_it(client: openai.OpenAI) -> None:
    first = client.responses.create(model="responses-plain", input="Hello")
    second = client.responses.create(model="responses-plain", input="More", previous_response_id=first.id)
    assert second.previous_response_id == first.id
    assert client.responses.retrieve(second.id).output_text == "Hello wörld"
    assert len(client.responses.input_items.list(second.id).data) == 3
    assert client.responses.cancel(second.id).status == "cancelled"
    client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(first.id)


def test_what_a_translation_cannot_say_is_named(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model="chat-plain", input="Hi", tools=[{"type": "web_search"}])
    assert str(caught.value.param).startswith("tools[0]")


# --- older completions, embeddings, moderations, rerank ----------------------------------------


def test_it_completes(client: openai.OpenAI) -> None:
    assert client.completions.create(model="chat-plain", prompt="Hi").choices[0].text == "Hello wörld"
    stream = client.completions.create(model="chat-plain", prompt="Hi", stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream) == "Hello wörld"


@pytest.mark.parametrize("given", ["a", ["a", "b"], [1, 2, 3], [[1, 2], [3]]])
def test_it_embeds(client: openai.OpenAI, given: Any) -> None:
    made = client.embeddings.create(model="chat-plain", input=given)
    count = len(given) if isinstance(given, list) and not isinstance(given[0], int) else 1
    assert [row.embedding for row in made.data] == [[0.25, -0.5, float(index)] for index in range(count)]
    plain = client.embeddings.create(model="chat-plain", input=given, encoding_format="float", dimensions=2)
    assert plain.data[0].embedding == [0.25, -0.5]
    assert plain.usage.prompt_tokens == 7


def test_it_moderates(client: openai.OpenAI) -> None:
    made = client.moderations.create(model="chat-plain", input=["I love you", "I kill you"])
    assert [result.flagged for result in made.results] == [False, True]
    assert made.results[1].categories.violence


def test_documents_are_ranked(client: openai.OpenAI) -> None:
    body = {"model": "chat-plain", "query": "red apple", "documents": ["blue sky", "a red apple"], "top_n": 1}
    made: Any = client.post("/rerank", body=body, cast_to=object)
    assert [row["index"] for row in made["results"]] == [1]


# --- sound and pictures ------------------------------------------------------------------------

SPOKEN = b"".join(b"\xff\xfb\x00\r\n\r\n" + text + b"\x00\xfe" for text in (b"Hel", b"lo ", "wörld".encode()))
SOUND = ("grüße.wav", b"RIFF\r\n--\x00\xff" * 20_000, "audio/wav")


def test_it_speaks(client: openai.OpenAI) -> None:
    asked: Any = {"model": "chat-plain", "voice": "alloy", "input": "Hello"}
    assert client.audio.speech.create(**asked).read() == SPOKEN
    with client.audio.speech.with_streaming_response.create(**asked, response_format="wav") as answer:
        assert answer.headers["content-type"] == "audio/wav"
        assert b"".join(answer.iter_bytes()) == SPOKEN


def test_it_speaks_in_events(client: openai.OpenAI, house: House) -> None:
    asked: Any = {"model": "chat-plain", "voice": "alloy", "input": "Hello", "stream_format": "sse"}
    with client.audio.speech.with_streaming_response.create(**asked) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in answer.iter_lines() if line.startswith("data: ")]
        request_id = answer.headers["x-request-id"]
    events = [json.loads(line.removeprefix("data: ")) for line in lines if line != "data: [DONE]"]
    assert b"".join(base64.b64decode(event["audio"]) for event in events[:-1]) == SPOKEN
    assert events[-1]["usage"] == {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}
    [row] = house.gateway.usage(1, request_id)
    assert (row["prompt_tokens"], row["completion_tokens"]) == (7, 3)


def test_it_transcribes(client: openai.OpenAI, upstream: Upstream) -> None:
    made = client.audio.transcriptions.create(model="chat-plain", file=SOUND)
    assert made.text == "Hello wörld"
    [file] = [part for part in upstream.log("chat-plain")[-1].parts if part["name"] == "file"]
    assert (file["filename"], file["content_type"], file["size"]) == (SOUND[0], SOUND[2], len(SOUND[1]))
    verbose = client.audio.transcriptions.create(
        model="chat-plain", file=SOUND, response_format="verbose_json"
    )
    assert (verbose.duration, verbose.segments and verbose.segments[0].end) == (2.5, 2.5)
    plain: Any = client.audio.transcriptions.create(model="chat-plain", file=SOUND, response_format="srt")
    assert plain.startswith("1\n00:00:00,000")
    stream = client.audio.transcriptions.create(model="chat-plain", file=SOUND, stream=True)
    events: list[Any] = list(stream)
    assert "".join(event.delta for event in events[:-1]) == events[-1].text == "Hello wörld"


def test_it_translates_speech(client: openai.OpenAI, upstream: Upstream) -> None:
    assert client.audio.translations.create(model="chat-plain", file=SOUND).text == "Hello wörld"
    assert upstream.log("chat-plain")[-1].route == "POST audio/translations"


def test_it_draws(client: openai.OpenAI) -> None:
    made = client.images.generate(model="chat-plain", prompt="A dot", n=2)
    assert [base64.b64decode(row.b64_json or "") for row in made.data or []] == [png(0), png(1)]
    stream = client.images.generate(model="chat-plain", prompt="A dot", stream=True, partial_images=2)
    events: list[Any] = list(stream)
    kind = "image_generation"
    assert [event.type for event in events] == [f"{kind}.partial_image"] * 2 + [f"{kind}.completed"]
    assert base64.b64decode(events[-1].b64_json) == png(255)


def test_it_edits_pictures(client: openai.OpenAI, upstream: Upstream) -> None:
    pictures: Any = [("a.png", png(1), "image/png"), ("b.png", png(2), "image/png")]
    made = client.images.edit(model="chat-plain", image=pictures, prompt="Darker")
    assert base64.b64decode((made.data or [])[0].b64_json or "") == png(0)
    assert [part["filename"] for part in upstream.log("chat-plain")[-1].parts if part["filename"]] == [
        "a.png",
        "b.png",
    ]


# --- files -------------------------------------------------------------------------------------


def test_its_files_and_batches_live_at_the_provider(client: openai.OpenAI) -> None:
    line = json.dumps({"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {}})
    data = line.encode() + b"\n"
    # its key has several providers: whose model the file is for says which is meant
    client = client.with_options(default_query={"model": "chat-plain"})
    file = client.files.create(file=("in.jsonl", data), purpose="batch")
    assert (file.bytes, file.filename) == (len(data), "in.jsonl")
    assert client.files.retrieve(file.id).id == file.id
    assert client.files.content(file.id).read() == data
    assert file.id in [each.id for each in client.files.list()]
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    assert batch.input_file_id == file.id
    done = client.batches.retrieve(batch.id)
    assert done.output_file_id is not None
    assert client.files.content(done.output_file_id).read() == data
    assert batch.id in [each.id for each in client.batches.list()]
    assert client.batches.cancel(batch.id).status == "cancelling"
    assert client.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file.id)


# --- errors and retries ------------------------------------------------------------------------


@pytest.mark.parametrize("surface", ["chat", "responses"])
def test_a_prompt_too_long_is_its_bad_request_error(client: openai.OpenAI, surface: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, surface, "chat-too-full")
    assert caught.value.code == "context_length_exceeded"
    assert caught.value.param == "messages"


@pytest.mark.parametrize("surface", ["chat", "responses"])
def test_no_such_model_and_a_wrong_key_are_errors_that_it_knows(
    house: House, client: openai.OpenAI, surface: str
) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        ask(client, surface, "nope")
    assert missing.value.code == "model_not_found"
    stranger = client.with_options(api_key="sk-wrong")
    with pytest.raises(openai.AuthenticationError) as unknown:
        ask(stranger, surface, "chat-plain")
    assert unknown.value.code == "invalid_api_key"


@pytest.mark.parametrize("surface", ["chat", "responses"])
def test_a_stream_that_broke_raises(client: openai.OpenAI, wire: str, surface: str) -> None:
    with pytest.raises(openai.APIError):
        for _ in ask(client, surface, f"{wire}-breaks", stream=True):
            pass


def test_it_tries_again_what_failed_at_the_provider(house: House, upstream: Upstream, wire: str) -> None:
    model = f"{wire}-flaky-python"
    with sdk(house, retries=2) as client:
        assert ask(client, "chat", model).choices[0].message.content == "again"
    assert len(upstream.log(model)) == 2


def ask(client: openai.OpenAI, surface: str, model: str, **more: Any) -> Any:
    if surface == "responses":
        return client.responses.create(model=model, input="Hello", **more)
    return client.chat.completions.create(model=model, messages=HELLO, **more)


def test_a_limit_is_its_rate_limit_error(house: House) -> None:
    client = sdk(house).with_options(api_key=house.limited)
    with client, pytest.raises(openai.RateLimitError, match="minute") as caught:
        ask(client, "responses", "chat-plain")
    assert caught.value.response.headers["x-should-retry"] == "false"  # nothing fits it, ever


# --- asynchronous ------------------------------------------------------------------------------


async def test_the_asynchronous_client_does_all_that_too(house: House, wire: str) -> None:
    async with openai.AsyncOpenAI(base_url=house.base, api_key=house.key, max_retries=2) as client:
        stream = await client.chat.completions.create(model=f"{wire}-plain", messages=HELLO, stream=True)
        chunks = [chunk async for chunk in stream]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Hello wörld"
        async with client.responses.stream(model=f"{wire}-weather", input="Hi", tools=FLAT) as events:
            made = await events.get_final_response()
        assert [item.type for item in made.output] == ["function_call"]
        parsed = await client.chat.completions.parse(
            model=f"{wire}-parsed", messages=HELLO, response_format=Weather
        )
        assert parsed.choices[0].message.parsed == Weather(city="Bern", degrees=21)
        again = await client.chat.completions.create(model=f"{wire}-flaky-async", messages=HELLO)
        assert again.choices[0].message.content == "again"


FLAT: Any = [{"type": "function", "strict": False, **tool} for tool in NAMED]


async def test_the_asynchronous_client_sends_and_fetches_bytes(house: House) -> None:
    async with openai.AsyncOpenAI(base_url=house.base, api_key=house.key, max_retries=0) as client:
        spoken = await client.audio.speech.create(model="chat-plain", voice="alloy", input="Hello")
        assert await spoken.aread() == SPOKEN
        heard = await client.audio.transcriptions.create(model="chat-plain", file=SOUND)
        assert heard.text == "Hello wörld"
        embedded = await client.embeddings.create(model="chat-plain", input="a")
        assert embedded.data[0].embedding == [0.25, -0.5, 0.0]
        with pytest.raises(openai.NotFoundError):
            await client.chat.completions.create(model="nope", messages=HELLO)
