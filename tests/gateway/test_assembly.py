"""However a stream is cut, the same answer is put together from it."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.assembly import Assembly
from providers.sse import EventReader

ROOM = 1_000_000
words = st.text(max_size=6)


@st.composite
def deltas(draw: st.DrawFn) -> dict[str, Any]:
    delta: dict[str, Any] = {}
    for name in draw(st.sets(st.sampled_from(["content", "reasoning_content", "refusal"]))):
        delta[name] = draw(words)
    if draw(st.booleans()):
        call: dict[str, Any] = {"index": draw(st.integers(0, 2)), "function": {"arguments": draw(words)}}
        delta["tool_calls"] = [call]
    return delta


@st.composite
def streams(draw: st.DrawFn) -> list[dict[str, Any]]:
    chunks = [
        {"id": "c-1", "choices": [{"index": draw(st.integers(0, 2)), "delta": delta, "finish_reason": None}]}
        for delta in draw(st.lists(deltas(), max_size=12))
    ]
    end = [{"index": index, "delta": {}, "finish_reason": "stop"} for index in range(3)]
    usage = {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}
    return [*chunks, {"choices": end}, usage]


def wire(chunks: list[dict[str, Any]]) -> bytes:
    return (
        b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"
    )


def assembled(pieces: list[bytes], most: int = ROOM) -> Assembly:
    reader, assembly = EventReader(ROOM), Assembly(most)
    for piece in pieces:
        for data in reader.feed(piece):
            assembly.add(data)
    return assembly


def said(assembly: Assembly) -> Any:
    return json.loads(assembly.json()[0])


@settings(max_examples=60, deadline=None)
@given(chunks=streams(), data=st.data())
def test_any_cut_of_a_stream_gives_the_same_answer(chunks: list[dict[str, Any]], data: st.DataObject) -> None:
    stream = wire(chunks)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    whole, cut = assembled([stream]), assembled(pieces)
    assert whole.json() == cut.json()
    assert whole.complete
    assert cut.complete


@settings(max_examples=60, deadline=None)
@given(chunks=streams())
def test_every_text_is_the_join_of_its_deltas(chunks: list[dict[str, Any]]) -> None:
    answer = said(assembled([wire(chunks)]))
    for choice in answer["choices"]:
        own = [c["delta"] for chunk in chunks for c in chunk["choices"] if c["index"] == choice["index"]]
        for name in ("content", "reasoning_content", "refusal"):
            joined = "".join(delta.get(name, "") for delta in own)
            assert (choice["message"].get(name) or "") == joined
        calls = [call for delta in own for call in delta.get("tool_calls", [])]
        arguments = "".join(c["function"]["arguments"] for c in sorted(calls, key=lambda c: int(c["index"])))
        told = "".join(c["function"]["arguments"] for c in choice["message"].get("tool_calls", []))
        assert told == arguments


def test_a_tool_call_is_put_together() -> None:
    parts = [
        {"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"city":'}},
        {"index": 0, "function": {"arguments": '"Ulm"}'}},
    ]
    chunks = [{"choices": [{"index": 0, "delta": {"tool_calls": [part]}}]} for part in parts]
    [choice] = said(assembled([wire(chunks)]))["choices"]
    [call] = choice["message"]["tool_calls"]
    assert call == {
        "id": "call_1",
        "type": "function",
        "function": {"name": "weather", "arguments": '{"city":"Ulm"}'},
    }
    assert choice["message"]["content"] is None


def test_a_stream_that_broke_off_gives_what_came() -> None:
    stream = wire([{"choices": [{"index": 0, "delta": {"content": "Hello"}}]}])[:-10]
    assembly = assembled([stream])
    assert said(assembly)["choices"][0]["message"]["content"] == "Hello"
    assert not assembly.complete


def test_a_long_text_is_held_up_to_the_bound_and_counted() -> None:
    chunks = [{"choices": [{"index": 0, "delta": {"content": "é" * 10}}]} for _ in range(100)]
    assembly = assembled([wire(chunks)], most=101)
    body, beyond = assembly.json()
    text = json.loads(body)["choices"][0]["message"]["content"]
    assert text == "é" * 50
    assert len(text.encode()) + beyond == 2000


@settings(max_examples=200, deadline=None)
@given(
    data=st.one_of(
        st.binary(max_size=60),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats(allow_nan=False, allow_infinity=False)
            | st.text(max_size=4),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        ["choices", "delta", "index", "tool_calls", "function", "content", "usage", "id"]
                    ),
                    inner,
                    max_size=4,
                )
            ),
            max_leaves=12,
        ).map(lambda value: json.dumps(value).encode()),
    )
)
def test_whatever_a_provider_says_breaks_nothing(data: bytes) -> None:
    assembly = Assembly(ROOM)
    assembly.add(data)
    json.loads(assembly.json()[0])
