"""What is believed of an answer: whether it succeeded, whether it ended, and what it used."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.answers import StreamState, Usage, estimate_completion, judge, read_usage, watch

SAID = {"choices": [{"message": {"role": "assistant", "content": "Hello Alice"}}]}


def answer(**more: object) -> bytes:
    return json.dumps(SAID | more).encode()


def is_believed(reported: object) -> bool:
    told = read_usage(reported)
    assert min(told.prompt, told.completion) >= 0
    return told.total > 0


# --- usage -------------------------------------------------------------------------------------


def test_usage_is_read_with_its_details() -> None:
    told = read_usage(
        {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 4},
            "completion_tokens_details": {"reasoning_tokens": 3},
        }
    )
    assert told == Usage(10, 5, cached=4, reasoning=3)
    assert told.total == 15


@pytest.mark.parametrize("wrong", [-1, "7", "many", True, 1.5, None, [], {}, 10**13, float("inf")])
@pytest.mark.parametrize("name", ["prompt_tokens", "completion_tokens"])
def test_usage_that_is_nonsense_is_refused(name: str, wrong: object) -> None:
    assert not is_believed({"prompt_tokens": 1, "completion_tokens": 1} | {name: wrong})


@pytest.mark.parametrize("wrong", [None, [], "", 7, {}, {"total_tokens": 3}, {"completion_tokens": 3}])
def test_usage_without_a_prompt_is_refused(wrong: object) -> None:
    assert not is_believed(wrong)


@pytest.mark.parametrize("details", [None, [], "x", {"cached_tokens": -1}, {"cached_tokens": "7"}, {"a": 1}])
def test_details_that_are_nonsense_count_for_nothing(details: object) -> None:
    told = read_usage({"prompt_tokens": 1, "completion_tokens": 1, "prompt_tokens_details": details})
    assert (told.prompt, told.completion, told.cached) == (1, 1, 0)


def test_no_detail_is_larger_than_its_whole() -> None:
    told = read_usage({"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 9}})
    assert (told.prompt, told.completion, told.cached) == (5, 0, 5)


# --- whole answers -----------------------------------------------------------------------------


def test_an_answer_with_choices_is_a_success() -> None:
    assert judge(answer()).problem == ""
    assert judge(answer(usage={"prompt_tokens": 1, "completion_tokens": 2})).usage == Usage(1, 2)
    assert judge(answer(usage="much", error=None, id=7)).problem == ""


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "empty_answer"),
        (b" \r\n", "empty_answer"),
        (b"<html>", "broken_answer"),
        (answer()[:-1], "broken_answer"),
        (b"[]", "broken_answer"),
        (b"null", "broken_answer"),
        (b"{}", "no_choices"),
        (b'{"choices":null}', "no_choices"),
        (b'{"choices":[ ]}', "no_choices"),
        (b'{"choices":{"a":1}}', "no_choices"),
        (b'{"error":{"message":"no"}}', "error_in_answer"),
        (answer(error="no"), "error_in_answer"),
        (b'{"usage":' + b"9" * 5000 + b"}", "broken_answer"),
        (b'{"usage":' + b"[" * 9999 + b"]" * 9999 + b"}", "broken_answer"),
    ],
)
def test_an_answer_that_is_none_says_why(body: bytes, problem: str) -> None:
    assert judge(body).problem == problem


def test_an_uncounted_answer_is_estimated_by_its_text() -> None:
    assert estimate_completion(answer()) == 3
    tool = {"function": {"name": "find", "arguments": '{"who":"Bob"}'}, "type": "function", "id": "call_1"}
    assert (
        estimate_completion(b'{"choices":[{"message":{"tool_calls":[%s]}}]}' % json.dumps(tool).encode()) == 5
    )


@pytest.mark.parametrize(
    "inner", [b"7", b'{"message":7}', b"null", b'{"message":%s}' % (b"[" * 900 + b"]" * 900)]
)
def test_an_answer_of_another_form_is_estimated_without_a_fall(inner: bytes) -> None:
    assert estimate_completion(b'{"choices":[' + inner + b"]}") == 0


@settings(max_examples=50, deadline=None)
@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda x: (
            st.lists(x)
            | st.dictionaries(st.sampled_from(["choices", "message", "content", "usage", "error"]), x)
        ),
    )
)
def test_any_json_is_judged(value: object) -> None:
    body = json.dumps(value).encode()
    if judge(body).problem == "":
        assert estimate_completion(body) >= 0


# --- streams -----------------------------------------------------------------------------------


def event(delta: object = None, *, finish: str | None = None, **more: object) -> bytes:
    return json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}).encode()


def watched(*events: bytes) -> StreamState:
    state = StreamState()
    for data in events:
        state, _ = watch(state, data)
    return state


def usage(prompt: int, completion: int) -> dict[str, int]:
    return {"prompt_tokens": prompt, "completion_tokens": completion}


def counted(state: StreamState, prompt: int) -> tuple[int, int, bool]:
    used = state.used(prompt)
    return used.prompt, used.completion, used.estimated


def test_events_that_carry_something_are_counted() -> None:
    state = watched(
        event({"role": "assistant", "content": ""}),
        event({"content": "Hello"}),
        event({"reasoning_content": "hm"}),
        event({"reasoning": "hm"}),
        event({"refusal": "no"}),
        event({"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]}),
        event({}, finish="stop"),
    )
    assert (state.tokens, state.finished, state.done, state.usage) == (5, True, False, None)
    assert counted(state, 7) == (7, 5, True)


def test_tool_calls_of_any_form_pass() -> None:
    forms: list[Any] = [{}, "x", [{"function": None}], [7], [{"function": "f"}]]
    for calls in forms:
        assert watched(event({"tool_calls": calls}, finish="tool_calls")).finished


def test_done_and_finished_are_two_things() -> None:
    assert watched(b"[DONE]").done
    assert not watched(b"[DONE]").finished
    assert watched(event(finish="length"), b"[DONE]").finished


def test_of_two_usages_the_last_counts() -> None:
    state = watched(event(usage=usage(7, 1)), event(usage=usage(7, 2)), event(usage=None))
    assert counted(state, 99) == (7, 2, False)


def test_usage_in_the_finish_chunk_counts() -> None:
    assert watched(event(finish="stop", usage=usage(7, 2))).usage == Usage(7, 2)


@pytest.mark.parametrize("wrong", [usage(-7, 2), {"prompt_tokens": "7"}, "much", [], {}])
def test_usage_that_is_nonsense_leaves_the_estimate(wrong: object) -> None:
    assert counted(watched(event({"content": "Hello"}), event(usage=wrong)), 7) == (7, 1, True)


def test_only_the_extra_chunk_is_the_usage_chunk() -> None:
    extra = json.dumps({"choices": [], "usage": usage(1, 1)}).encode()
    assert watch(StreamState(), extra)[1]
    assert not watch(StreamState(), event(usage=usage(1, 1)))[1]
    assert not watch(StreamState(), b'{"choices":[],"prompt_filter_results":[]}')[1]
    assert not watch(StreamState(), b'{"choices":[],"usage":null}')[1]


def test_a_stream_begins_with_its_first_choice() -> None:
    assert watched(event({"role": "assistant"})).begun
    assert watched(event({"content": "Hel"}), b'{"choices":[],"usage":null}').begun
    said_nothing = (b'{"choices":[]}', b"{}", b'{"choices":[{"ind', b"[DONE]")
    assert not watched(*said_nothing).begun


def test_an_error_is_kept() -> None:
    state = watched(
        event({"content": "Hel"}), b'{"error":{"message":"overloaded"}}', event({"content": "lo"})
    )
    assert state.error == {"message": "overloaded"}
    assert state.tokens == 2


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"hello",
        b"[]",
        b"7",
        b'"x"',
        b'{"choices":7}',
        b'{"choices":[7]}',
        b"\xff",
        b"[" * 5000,
        b'{"x":1}',
        b'{"choices":null}',
        b'{"choices":[{"delta":null}]}',
        b'{"usage":' + b"9" * 5000 + b"}",
        b"[DONE] ",
    ],
)
def test_a_vendors_own_events_count_for_nothing(junk: bytes) -> None:
    before = watched(event({"content": "Hello"}))
    assert watch(before, junk) == (before, False)
