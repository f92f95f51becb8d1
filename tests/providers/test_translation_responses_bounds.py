"""Responses by way of chat: no request asks for more than was reserved, and each item is told once."""

import json
from typing import Any

import pytest
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from providers.translation import Untranslatable
from providers.translation.responses_to_chat import ResponsesToChat
from tests.providers.translating import Json, request, streamed

EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
ASKED = {"model": "m", "input": "Hi", "max_output_tokens": 7}


def translation(cap_param: str = "max_tokens") -> ResponsesToChat:
    return ResponsesToChat("n", 1_700_000_000, cap_param=cap_param)


def told(*chunks: Json) -> list[Json]:
    made = translation()
    request(made, ASKED)
    return streamed(made.stream(), list(chunks))


def chunk(finish: str | None = None, **delta: Any) -> Json:
    return {"model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


@pytest.mark.parametrize("cap_param", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "n"])
def test_more_than_was_reserved_cannot_be_asked_for_in_the_words_of_chat(name: str, cap_param: str) -> None:
    given = ASKED | {name: 5000}
    with pytest.raises(Untranslatable) as found:
        request(translation(cap_param), given)
    assert found.value.param == name
    left = request(translation(cap_param), given, drop=True)
    assert left[cap_param] == 7
    assert 5000 not in left.values()


def test_one_answer_is_what_a_response_is() -> None:
    assert "n" not in request(translation(), ASKED | {"n": 1})


@pytest.mark.parametrize("drop", [False, True])
def test_messages_never_take_the_place_of_the_input(drop: bool) -> None:
    body = json.dumps(ASKED | {"messages": [{"role": "user", "content": "other"}]}).encode()
    with pytest.raises(Untranslatable) as found:
        translation().request(body, drop=drop)
    assert found.value.param == "messages"


@pytest.mark.parametrize(
    ("fields", "name", "made"),
    [
        ({"reasoning": {"effort": "low"}, "reasoning_effort": "high"}, "reasoning_effort", "low"),
        (
            {"text": {"format": {"type": "json_object"}}, "response_format": {"type": "text"}},
            "response_format",
            {"type": "json_object"},
        ),
        ({"response_format": {"type": "text"}}, "response_format", {"type": "text"}),
    ],
)
def test_what_was_translated_goes_before_what_merely_passes(fields: Json, name: str, made: object) -> None:
    assert request(translation(), ASKED | fields)[name] == made


def test_each_citation_is_told_when_it_comes() -> None:
    cites = [{"url": f"https://x/{i}", "title": "t", "start_index": 0, "end_index": 1} for i in range(2)]
    marks = [{"type": "url_citation", "url_citation": cite} for cite in cites]
    events = told(
        chunk(content="b"), chunk(annotations=marks[:1]), chunk(annotations=marks[1:]), chunk("stop")
    )
    added = [event for event in events if event["type"] == "response.output_text.annotation.added"]
    for event in events:
        EVENT.validate_python(event, strict=True)
    assert [event["annotation_index"] for event in added] == [0, 1]
    [part] = events[-1]["response"]["output"][0]["content"]
    assert [event["annotation"] for event in added] == part["annotations"]
    assert part["annotations"] == [{"type": "url_citation", **cite} for cite in cites]


def test_an_item_ends_once_with_one_status() -> None:
    events = told(chunk(reasoning_content="a"), chunk(content="b"), chunk("length"))
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert [item["status"] for item in done] == ["completed", "incomplete"]
    assert events[-1]["response"]["output"] == done


def test_what_was_whole_before_an_error_stays_so() -> None:
    events = told(chunk(reasoning_content="a"), chunk(content="b"), {"error": {"message": "no"}})
    assert [item["status"] for item in events[-1]["response"]["output"]] == ["completed", "incomplete"]
