"""There and back loses nothing, streams say what whole answers say, and garbage breaks nothing."""

import itertools
import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from providers.sse import EventReader
from providers.translation import BadAnswer, StreamTranslation, Translation, Untranslatable
from providers.translation.composed import Composed
from providers.translation.responses_to_chat import ResponsesToChat
from tests.providers.translating import (
    NOW,
    Json,
    answer,
    check_chat_request,
    check_messages_request,
    completion,
    message,
    request,
    streamed,
    to_chat,
    to_messages,
)

characters = st.characters(blacklist_categories=["Cs"])
words = st.text(characters, min_size=1, max_size=8)
names = st.from_regex(r"[a-zA-Z0-9_-]{1,8}", fullmatch=True)
base64s = st.sampled_from(["iVBO", "R0lG", "/9j/"])
scalars = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(-1e6, 1e6) | words
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2)
)
inputs = st.dictionaries(words, values, max_size=3)
counts = st.integers(0, 10**6)
texts = st.builds(lambda said: {"type": "text", "text": said}, words)


def written(value: Any) -> str:
    return msgspec.json.encode(value).decode()


# Requests of chat completions, in what both sides have

pictures = st.builds(
    lambda kind, data: {"type": "image_url", "image_url": {"url": f"data:image/{kind};base64,{data}"}},
    st.sampled_from(["png", "jpeg"]),
    base64s,
) | st.just({"type": "image_url", "image_url": {"url": "https://example.org/a.png"}})
files = st.just(
    {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}}
)
said_by_users = (
    words | st.tuples(texts, pictures | files).map(list) | st.lists(pictures, min_size=1, max_size=2)
)


@st.composite
def conversations(draw: st.DrawFn) -> list[Json]:
    """Turns that alternate: a user, then an assistant that may call tools and get all results."""
    messages: list[Json] = []
    if system := draw(st.none() | words):
        messages.append({"role": "system", "content": system})
    numbers = itertools.count()
    for _ in range(draw(st.integers(0, 3))):
        messages.append({"role": "user", "content": draw(said_by_users)})
        called = draw(st.lists(st.tuples(names, inputs), max_size=3))
        calls = [
            {
                "id": f"call_{next(numbers)}",
                "type": "function",
                "function": {"name": name, "arguments": written(each)},
            }
            for name, each in called
        ]
        said: Json = {"role": "assistant", "content": draw(st.none() | words if calls else words)}
        messages.append(said | ({"tool_calls": calls} if calls else {}))
        messages += [{"role": "tool", "tool_call_id": each["id"], "content": draw(words)} for each in calls]
    return [*messages, {"role": "user", "content": draw(said_by_users)}]


@st.composite
def functions(draw: st.DrawFn) -> Json:
    function: Json = {"name": draw(names)}
    if described := draw(st.none() | words):
        function["description"] = described
    function["parameters"] = {
        "type": "object",
        "properties": draw(st.dictionaries(names, inputs, max_size=2)),
    }
    if (strict := draw(st.none() | st.booleans())) is not None:
        function["strict"] = strict
    return {"type": "function", "function": function}


@st.composite
def chats(draw: st.DrawFn) -> Json:
    named = {"name": "answer", "schema": {"type": "object"}, "strict": True}
    optional: dict[str, st.SearchStrategy[Any]] = {
        "temperature": st.floats(0, 1),
        "top_p": st.floats(0, 1),
        "top_k": st.integers(1, 100),
        "stop": st.lists(words, min_size=1, max_size=4),
        "user": words,
        "service_tier": st.just("default"),
        "reasoning_effort": st.sampled_from(["low", "medium", "high"]),
        "response_format": st.just({"type": "json_schema", "json_schema": named}),
    }
    if tools := draw(st.lists(functions(), max_size=2)):
        one = {"type": "function", "function": {"name": tools[0]["function"]["name"]}}
        optional["tool_choice"] = st.sampled_from(["auto", "required", one])
    fields = draw(st.fixed_dictionaries({}, optional=optional))
    if tools:
        fields["tools"] = tools
        # one call at a time is a part of a choice on the other side
        fields |= {"parallel_tool_calls": False} if "tool_choice" in fields and draw(st.booleans()) else {}
    if (stream := draw(st.none() | st.booleans())) is not None:
        fields["stream"] = stream
        fields |= {"stream_options": {"include_usage": True}} if stream else {}
    cap = draw(st.integers(40_000, 10**6))
    messages = draw(conversations())
    last = next((each for each in reversed(messages) if each["role"] == "assistant"), {})
    if "tool_calls" in last or fields.get("tool_choice", "auto") != "auto":
        fields.pop("reasoning_effort", None)  # nobody may think then on the other side
    return {"model": draw(words), "messages": messages, "max_tokens": cap, **fields}


@settings(max_examples=150, deadline=None)
@given(chats())
def test_requests_of_chat_come_back_as_they_were(body: Json) -> None:
    assert request(to_chat(), request(to_messages(), body)) == body


@settings(max_examples=100, deadline=None)
@given(chats(), st.booleans())
def test_requests_are_what_the_sdks_of_both_sides_would_send(body: Json, adaptive: bool) -> None:
    made = request(to_messages(adaptive=adaptive), body)
    check_messages_request(made)
    check_chat_request(request(to_chat(), made))


def test_the_richest_requests_are_what_the_sdks_of_both_sides_would_send() -> None:
    check_messages_request(request(to_messages(), RICH_CHAT))
    check_chat_request(request(to_chat(keep_thoughts=True), RICH_MESSAGES))


def test_a_check_finds_a_wrong_request() -> None:
    wrong = {"role": "user", "content": [{"type": "text"}]}
    with pytest.raises(ValidationError):
        check_messages_request({"model": "m", "max_tokens": 1, "messages": [wrong]})
    with pytest.raises(ValidationError):
        check_chat_request({"model": "m", "messages": [wrong]})


# Messages, as providers answer


@st.composite
def contents(draw: st.DrawFn) -> list[Json]:
    thoughts = st.builds(
        lambda said, sign: {"type": "thinking", "thinking": said, "signature": sign}, words, words
    )
    uses = st.builds(lambda name, given: {"type": "tool_use", "name": name, "input": given}, names, inputs)
    called = draw(st.lists(uses, max_size=3))
    calls = [{"type": "tool_use", "id": f"toolu_{index}", **each} for index, each in enumerate(called)]
    return [*draw(st.lists(thoughts, max_size=1)), *draw(st.lists(texts, max_size=1)), *calls]


@st.composite
def answers(draw: st.DrawFn) -> Json:
    content = draw(contents())
    called = any(block["type"] == "tool_use" for block in content)
    reasons = ["tool_use", "max_tokens", "refusal"] if called else ["end_turn", "max_tokens", "refusal"]
    usage_names = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")
    return {
        "id": draw(names),
        "type": "message",
        "role": "assistant",
        "model": draw(words),
        "content": content,
        "stop_reason": draw(st.sampled_from(reasons)),
        "stop_sequence": None,
        "usage": {name: draw(counts) for name in usage_names},
    }


def pieces(draw: st.DrawFn, whole: str) -> list[str]:
    places = sorted(draw(st.sets(st.integers(0, len(whole)), max_size=4)) | {0, len(whole)})
    return [whole[a:b] for a, b in itertools.pairwise(places)]


@st.composite
def messages_streams(draw: st.DrawFn) -> tuple[Json, list[Json]]:
    """A whole answer of the Messages API, and a stream that says the same in pieces of any size."""
    whole = draw(answers())
    known = {**whole["usage"], "output_tokens": 1}
    events: list[Json] = [
        {"type": "message_start", "message": {**whole, "content": [], "stop_reason": None, "usage": known}}
    ]
    for index, block in enumerate(whole["content"]):
        match block:
            case {"type": "text", "text": said}:
                start: Json = {"type": "text", "text": ""}
                deltas = [{"type": "text_delta", "text": piece} for piece in pieces(draw, said)]
            case {"type": "thinking", "thinking": said, "signature": signature}:
                start = {"type": "thinking", "thinking": "", "signature": ""}
                deltas = [{"type": "thinking_delta", "thinking": piece} for piece in pieces(draw, said)]
                deltas.append({"type": "signature_delta", "signature": signature})
            case _:
                start = {**block, "input": {}}
                given_input = "" if not block["input"] and draw(st.booleans()) else written(block["input"])
                found = pieces(draw, given_input)
                deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in found]
        events.append({"type": "content_block_start", "index": index, "content_block": start})
        for delta in deltas:
            events += [{"type": "ping"}] * draw(st.integers(0, 1))
            events.append({"type": "content_block_delta", "index": index, "delta": delta})
        events.append({"type": "content_block_stop", "index": index})
    stop = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    usage = {"output_tokens": whole["usage"]["output_tokens"]}
    events.append({"type": "message_delta", "delta": stop, "usage": usage})
    return whole, [*events, {"type": "message_stop"}]


@settings(max_examples=150, deadline=None)
@given(answers())
def test_answers_of_messages_come_back_as_they_were(whole: Json) -> None:
    assert answer(to_chat(), answer(to_messages(), whole)) == whole


def canonical(made: Json) -> Json:
    """A completion of which only what it says is compared: calls by their arguments, and no empty text."""
    [choice] = made["choices"]
    said = choice["message"]
    calls = [
        (each["id"], each["function"]["name"], json.loads(each["function"]["arguments"]))
        for each in said.get("tool_calls") or []
    ]
    heard = {name: said.get(name) for name in ("reasoning_content", "thinking_blocks")}
    head = {name: made.get(name) for name in ("id", "model", "created", "usage", "service_tier")}
    return {
        **head,
        **heard,
        "calls": calls,
        "content": said.get("content") or "",
        "finish": choice["finish_reason"],
    }


@settings(max_examples=200, deadline=None)
@given(messages_streams())
def test_a_stream_of_messages_says_what_the_whole_answer_says(pair: tuple[Json, list[Json]]) -> None:
    whole, events = pair
    assert canonical(completion(streamed(to_messages().stream(), events))) == canonical(
        answer(to_messages(), whole)
    )


def without_signatures(whole: Json) -> Json:
    content = [
        {**block, "signature": ""} if block["type"] == "thinking" else block for block in whole["content"]
    ]
    return {**whole, "content": content}


@settings(max_examples=200, deadline=None)
@given(messages_streams())
def test_a_stream_of_messages_comes_back_as_it_was(pair: tuple[Json, list[Json]]) -> None:
    whole, events = pair
    chunks = streamed(to_messages().stream(), events)
    # signatures come at the end of chat's stream, when the blocks that they belong to are closed
    assert message(streamed(to_chat().stream(), chunks)) == without_signatures(
        {name: value for name, value in whole.items() if value is not None}
    )


def to_responses() -> Translation:
    """Of a client that speaks responses, to a provider of messages."""
    near = ResponsesToChat("n", NOW)
    request(near, {"model": "m", "input": "Hi"})
    return Composed(near, to_messages())


@settings(max_examples=150, deadline=None)
@given(messages_streams())
def test_a_stream_of_messages_ends_with_the_response_of_the_whole_answer(
    pair: tuple[Json, list[Json]],
) -> None:
    whole, events = pair
    response = answer(to_responses(), whole)
    assert streamed(to_responses().stream(), events)[-1]["response"] == response
    assert events[-1]["type"] == "message_stop"
    assert streamed(to_responses().stream(), events[:-1])[-1]["response"] == response


def test_what_either_of_two_translations_leaves_out_is_told() -> None:
    made = to_responses()
    request(made, {"model": "m", "input": "Hi", "truncation": "auto", "frequency_penalty": 1}, drop=True)
    assert [each.split(":")[0] for each in made.left_out] == ["truncation", "frequency_penalty"]


# Streams of chat, whose calls may interleave


@st.composite
def chat_streams(draw: st.DrawFn) -> tuple[Json, list[Json]]:
    """A whole answer of chat, and a stream that says the same, with the pieces of its calls in any order."""
    whole = answer(to_messages(), without_signatures(draw(answers())))
    said = whole["choices"][0]["message"]
    deltas: list[Json] = [{"role": "assistant", "content": ""}]
    for name in ("reasoning_content", "content"):
        deltas += [{name: piece} for piece in pieces(draw, said.get(name) or "")]
    queues = []
    for index, call in enumerate(said.get("tool_calls", [])):
        head = {"index": index, **call, "function": {"name": call["function"]["name"], "arguments": ""}}
        arguments = pieces(draw, call["function"]["arguments"])
        queues.append([head, *({"index": index, "function": {"arguments": piece}} for piece in arguments)])
    heads = [queue.pop(0) for queue in queues] if draw(st.booleans()) else []
    deltas += [{"tool_calls": [head]} for head in heads]
    while queues := [queue for queue in queues if queue]:
        turn = 0 if not heads else draw(st.integers(0, len(queues) - 1))
        deltas.append({"tool_calls": [queues[turn].pop(0)]})
    top = {"id": whole["id"], "object": "chat.completion.chunk", "created": 1, "model": whole["model"]}
    chunks = [{**top, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    finish = {"index": 0, "delta": {}, "finish_reason": whole["choices"][0]["finish_reason"]}
    return whole, [*chunks, {**top, "choices": [finish]}, {**top, "choices": [], "usage": whole["usage"]}]


@settings(max_examples=150, deadline=None)
@given(chat_streams())
def test_a_stream_of_chat_says_what_the_whole_answer_says(pair: tuple[Json, list[Json]]) -> None:
    whole, chunks = pair
    events = streamed(to_chat().stream(), chunks)
    expected = answer(to_chat(), whole)
    made = message(events)
    assert made == {name: value for name, value in expected.items() if value is not None}


@settings(max_examples=200, deadline=None)
@given(chat_streams())
def test_blocks_open_and_close_one_after_another(pair: tuple[Json, list[Json]]) -> None:
    open_block, closed = None, 0
    for event in streamed(to_chat().stream(), pair[1]):
        match event:
            case {"type": "content_block_start", "index": index}:
                assert open_block is None
                assert index == closed
                open_block = index
            case {"type": "content_block_delta", "index": index}:
                assert index == open_block
            case {"type": "content_block_stop", "index": index}:
                assert index == open_block
                open_block, closed = None, closed + 1
    assert open_block is None


# Bytes in any cut


def as_bytes(events: list[Json], *, typed: bool) -> bytes:
    named = [f"event: {event['type']}\n" if typed else "" for event in events]
    return "".join(
        f"{name}data: {json.dumps(event)}\n\n" for name, event in zip(named, events, strict=True)
    ).encode()


def heard(stream: StreamTranslation, data: list[bytes]) -> list[bytes]:
    reader = EventReader(1_000_000)
    events = [event for piece in data for event in reader.feed(piece)] + reader.end()
    return [told for event in events for told in stream.feed(event)] + stream.end()


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    borders = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[a:b] for a, b in itertools.pairwise(borders)]


@settings(max_examples=80, deadline=None)
@given(messages_streams(), chat_streams(), st.lists(st.integers(0, 10_000), max_size=20))
def test_any_cut_gives_the_same_events(
    messages_pair: tuple[Json, list[Json]], chat_pair: tuple[Json, list[Json]], places: list[int]
) -> None:
    made: Callable[[], Translation]
    ways = (to_messages, messages_pair[1], True), (to_responses, messages_pair[1], True)
    for made, events, typed in (*ways, (to_chat, chat_pair[1], False)):
        raw = as_bytes(events, typed=typed)
        expected = heard(made().stream(), [raw])
        assert heard(made().stream(), cut(raw, places)) == expected
        assert heard(made().stream(), [raw[i : i + 1] for i in range(len(raw))]) == expected


# Garbage

anything = st.recursive(
    scalars
    | st.integers(-(10**30), 10**30)
    | st.sampled_from(["text", "tool_use", "user", "assistant", "function"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
)


def places(value: Any) -> list[list[Any]]:
    """The way to each value inside, the value itself not counted."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [way for key, each in inner for way in ([key], *([key, *rest] for rest in places(each)))]


@st.composite
def damaged(draw: st.DrawFn, sound: st.SearchStrategy[Any]) -> Any:
    """A sound value with one to three wrong values, or fields gone, somewhere in it."""
    value = json.loads(json.dumps(draw(sound)))
    for _ in range(draw(st.integers(1, 3))):
        if not (ways := places(value)):
            break
        *way, last = draw(st.sampled_from(ways))
        parent = value
        for key in way:
            parent = parent[key]
        if draw(st.booleans()):
            del parent[last]
        else:
            parent[last] = draw(anything)
    return value


RICH_MESSAGES = {
    "model": "m",
    "max_tokens": 9000,
    "system": [{"type": "text", "text": "s"}],
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "x"}},
                {"type": "document", "title": "t", "source": {"type": "text", "data": "x"}},
                {
                    "type": "search_result",
                    "title": "t",
                    "source": "s",
                    "content": [{"type": "text", "text": "x"}],
                },
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "x", "signature": "y"},
                {"type": "tool_use", "id": "a", "name": "b", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "a",
                    "is_error": True,
                    "content": [{"type": "text", "text": "x"}],
                }
            ],
        },
    ],
    "tools": [{"name": "b", "input_schema": {"type": "object"}}],
    "tool_choice": {"type": "tool", "name": "b", "disable_parallel_tool_use": True},
    "thinking": {"type": "enabled", "budget_tokens": 2000},
    "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {}}},
    "metadata": {"user_id": "x" * 80},
    "stop_sequences": ["a"],
    "mcp_servers": [],
    "stream": True,
}
RICH_CHAT = {
    "model": "m",
    "messages": [
        {
            "role": "system",
            "content": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}],
        },
        {
            "role": "user",
            "content": [
                {"type": "file", "file": {"filename": "x", "file_data": "data:text/plain;base64,eA=="}}
            ],
        },
        {
            "role": "assistant",
            "content": [{"type": "refusal", "refusal": "x"}],
            "refusal": "x",
            "thinking_blocks": [
                {"type": "thinking", "thinking": "x", "signature": "y"},
                {"type": "redacted_thinking", "data": "x"},
            ],
            "tool_calls": [{"id": "a:b", "type": "function", "function": {"name": "b", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "a:b", "content": [{"type": "text", "text": "x"}]},
    ],
    "tools": [{"type": "function", "function": {"name": "b", "parameters": {}}}],
    "tool_choice": "auto",
    "parallel_tool_calls": False,
    "reasoning_effort": "low",
    "metadata": {"user_id": "x"},
    "response_format": {"type": "json_schema", "json_schema": {"schema": {}}},
    "output_config": {},
    "service_tier": "auto",
    "stop": "x",
    "n": 1,
    "logit_bias": {},
}


@settings(max_examples=400, deadline=None)
@given(
    st.one_of(damaged(chats()), damaged(st.just(RICH_CHAT)), damaged(st.just(RICH_MESSAGES)), anything),
    st.booleans(),
    st.booleans(),
)
def test_damaged_requests_are_translated_or_refused(body: Any, drop: bool, other: bool) -> None:
    raw = json.dumps(body).encode()
    for translation in (to_messages(adaptive=other), to_chat(keep_thoughts=other)):
        try:
            made = translation.request(raw, drop=drop)
        except Untranslatable:
            continue
        assert isinstance(json.loads(made), dict)


@settings(max_examples=400, deadline=None)
@given(
    st.one_of(damaged(answers()), damaged(chat_streams().map(lambda pair: pair[0])), anything),
    st.integers(400, 599),
)
def test_damaged_answers_are_told_or_named(body: Any, status: int) -> None:
    raw = json.dumps(body).encode()
    for translation in (to_messages(), to_chat()):
        assert "error" in json.loads(translation.error(status, raw))
        try:
            made = translation.answer(raw)
        except BadAnswer:
            continue
        assert isinstance(json.loads(made), dict)


@settings(max_examples=400, deadline=None)
@given(
    st.one_of(
        damaged(messages_streams().map(lambda pair: pair[1])),
        damaged(chat_streams().map(lambda pair: pair[1])),
        st.lists(anything, max_size=4),
    )
)
def test_damaged_streams_are_told_or_named(events: Any) -> None:
    for translation in (to_messages(), to_chat()):
        stream = translation.stream()
        try:
            told = [
                data for event in events for data in stream.feed(json.dumps(event).encode())
            ] + stream.end()
        except BadAnswer:
            continue
        assert all(isinstance(json.loads(data), dict) for data in told)


def _is_no_object(raw: bytes) -> bool:
    try:
        return not isinstance(json.loads(raw), dict)
    except (ValueError, RecursionError):
        return True


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60).filter(_is_no_object))
def test_bytes_that_are_no_json_are_named(raw: bytes) -> None:
    for translation in (to_messages(), to_chat()):
        with pytest.raises(Untranslatable):
            translation.request(raw, drop=True)
        with pytest.raises(BadAnswer):
            translation.answer(raw)
        with pytest.raises(BadAnswer):
            translation.stream().feed(raw)
        assert "error" in json.loads(translation.error(500, raw))
