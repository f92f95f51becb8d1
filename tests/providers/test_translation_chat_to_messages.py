"""A client of chat completions at a provider that speaks the Messages API."""

import base64
import json
from typing import Any

import pytest

from providers.translation import BadAnswer, Untranslatable
from tests.providers.translating import (
    NOW,
    Json,
    answer,
    completion,
    request,
    sound_completion,
    streamed,
    to_messages,
)

HELLO = {"role": "user", "content": "Hello"}
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tells the weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
MARK = {"type": "ephemeral"}


def body(*messages: Json, **fields: Any) -> Json:
    return {"model": "claude", "messages": list(messages or [HELLO]), **fields}


def turns(*messages: Json) -> Any:
    return request(to_messages(), body(*messages))["messages"]


def call(name: str, arguments: str, id: str = "call_1") -> Json:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def refused(given: Json) -> Untranslatable:
    with pytest.raises(Untranslatable) as told:
        request(to_messages(), given)
    return told.value


# Requests


def test_a_plain_request_gets_the_cap_that_the_wire_wants() -> None:
    assert request(to_messages(), body()) == {"model": "claude", "messages": [HELLO], "max_tokens": 4096}


@pytest.mark.parametrize(
    ("given", "cap"),
    [
        ({"max_tokens": 7}, 7),
        ({"max_completion_tokens": 8}, 8),
        ({"max_tokens": 7, "max_completion_tokens": 8}, 8),
        ({"max_tokens": None}, 4096),
        ({"max_tokens": 2_000_000_000}, 4096),
    ],
)
def test_either_cap_is_the_wires_cap(given: Json, cap: int) -> None:
    assert request(to_messages(), body(**given))["max_tokens"] == cap


def test_system_and_developer_messages_are_the_system_prompt() -> None:
    made = request(to_messages(), body({"role": "system", "content": "Be brief."}, HELLO))
    assert made["system"] == "Be brief."
    both = [{"role": "system", "content": "Be brief."}, {"role": "developer", "content": "In German."}]
    made = request(to_messages(), body(*both, HELLO))
    assert made["system"] == [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "In German."}]
    assert made["messages"] == [HELLO]


def test_marks_for_the_cache_stay_where_they_are() -> None:
    marked = [{"type": "text", "text": "Long", "cache_control": MARK}]
    made = request(
        to_messages(),
        body(
            {"role": "system", "content": marked},
            {"role": "user", "content": marked},
            tools=[{**WEATHER, "cache_control": MARK}],
        ),
    )
    assert made["system"] == marked
    assert made["messages"] == [{"role": "user", "content": marked}]
    assert made["tools"][0]["cache_control"] == MARK
    made = request(
        to_messages(),
        body(
            {"role": "system", "content": "Long", "cache_control": MARK},
            {"role": "user", "content": "Long", "cache_control": MARK},
        ),
    )
    assert made["system"] == marked
    assert made["messages"] == [{"role": "user", "content": marked}]


def test_pictures_go_as_data_or_by_address() -> None:
    data = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO", "detail": "low"}}
    address = {"type": "image_url", "image_url": {"url": "https://example.org/cat.jpg"}}
    assert turns({"role": "user", "content": [{"type": "text", "text": "See"}, data, address]}) == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "See"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}},
                {"type": "image", "source": {"type": "url", "url": "https://example.org/cat.jpg"}},
            ],
        }
    ]


def test_files_are_documents() -> None:
    plain = base64.b64encode("Zürich".encode()).decode()
    files = [
        {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"},
        {"filename": "a.txt", "file_data": f"data:text/plain;charset=utf-8;base64,{plain}"},
        {"file_id": "file_1"},
    ]
    [turn] = turns({"role": "user", "content": [{"type": "file", "file": file} for file in files]})
    assert [block["source"] for block in turn["content"]] == [
        {"type": "base64", "media_type": "application/pdf", "data": "JVBE"},
        {"type": "text", "media_type": "text/plain", "data": "Zürich"},
        {"type": "file", "file_id": "file_1"},
    ]
    assert [block.get("title") for block in turn["content"]] == ["a.pdf", "a.txt", None]


def test_parallel_calls_and_their_results_are_two_turns() -> None:
    assert turns(
        HELLO,
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [call("a", '{"x": 1.50}'), call("b", "", "call_2")],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "one"},
        {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "two"}]},
        {"role": "user", "content": "And?"},
    ) == [
        HELLO,
        {
            "role": "assistant",
            "content": [
                {"type": "tool_use", "id": "call_1", "name": "a", "input": {"x": 1.5}},
                {"type": "tool_use", "id": "call_2", "name": "b", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "call_1", "content": "one"},
                {
                    "type": "tool_result",
                    "tool_use_id": "call_2",
                    "content": [{"type": "text", "text": "two"}],
                },
                {"type": "text", "text": "And?"},
            ],
        },
    ]


def test_every_digit_of_arguments_is_kept() -> None:
    exact = '{"n": 123456789012345678901234567890, "x": 1.10}'
    given = body(HELLO, {"role": "assistant", "tool_calls": [call("a", exact)]})
    assert exact.encode() in to_messages().request(json.dumps(given).encode(), drop=False)


def test_ids_of_calls_are_put_into_letters_that_the_wire_takes() -> None:
    made = turns(
        {
            "role": "assistant",
            "tool_calls": [call("a", "{}", "functions.a:0"), call("a", "{}", "functions.a:1")],
        },
        {"role": "tool", "tool_call_id": "functions.a:0", "content": ""},
        {"role": "tool", "tool_call_id": "functions.a:1", "content": ""},
    )
    called = [block["id"] for block in made[0]["content"]]
    assert [block["tool_use_id"] for block in made[1]["content"]] == called
    assert len(set(called)) == 2
    assert all(each.replace("_", "").isalnum() for each in called)
    alike = [call("a", "{}", id) for id in ("a.b", "a:b", "a_b")]
    [made] = turns({"role": "assistant", "tool_calls": alike})
    assert len({block["id"] for block in made["content"]}) == 3
    assert made["content"][2]["id"] == "a_b"


def test_turns_of_one_role_become_one() -> None:
    assert turns(HELLO, {"role": "user", "content": "Anna here"}) == [
        {
            "role": "user",
            "content": [{"type": "text", "text": "Hello"}, {"type": "text", "text": "Anna here"}],
        }
    ]


def test_empty_text_is_left_out_as_the_wire_refuses_it() -> None:
    assert turns(HELLO, {"role": "assistant", "content": ""}, {"role": "user", "content": ""}) == [HELLO]


def test_names_of_messages_and_what_they_hold_beside_are_left_out() -> None:
    said: Json = {
        "role": "assistant",
        "content": "Yes",
        "refusal": None,
        "annotations": [],
        "audio": None,
        "tool_calls": None,
    }
    assert turns({**HELLO, "name": "Anna"}, said) == [HELLO, {"role": "assistant", "content": "Yes"}]


def test_an_earlier_refusal_is_what_the_assistant_said() -> None:
    parts = [{"type": "refusal", "refusal": "I will not."}]
    both: list[Json] = [{"content": None, "refusal": "I will not."}, {"content": parts}]
    for said in both:
        assert turns(HELLO, {"role": "assistant", **said})[1]["content"] == "I will not."


def test_signed_thoughts_go_back_and_unsigned_ones_do_not() -> None:
    signed = {"type": "thinking", "thinking": "Hm", "signature": "EqQB"}
    sealed = {"type": "redacted_thinking", "data": "Emwk"}
    said = {"role": "assistant", "content": "Yes", "reasoning_content": "Hm"}
    text = {"type": "text", "text": "Yes"}
    assert turns(HELLO, {**said, "thinking_blocks": [signed, sealed]})[1]["content"] == [signed, sealed, text]
    assert turns(HELLO, said)[1] == {"role": "assistant", "content": "Yes"}
    assert turns(HELLO, {**said, "thinking_blocks": [{**signed, "signature": ""}]})[1]["content"] == "Yes"


def test_tools_and_their_choice() -> None:
    bare = {"type": "function", "function": {"name": "now", "strict": True}}
    made = request(
        to_messages(), body(tools=[WEATHER, bare], tool_choice="required", parallel_tool_calls=False)
    )
    assert made["tools"] == [
        {
            "name": "weather",
            "description": "Tells the weather.",
            "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
        {"name": "now", "input_schema": {"type": "object", "properties": {}}, "strict": True},
    ]
    assert made["tool_choice"] == {"type": "any", "disable_parallel_tool_use": True}


@pytest.mark.parametrize(
    ("fields", "choice"),
    [
        ({"tool_choice": "none"}, {"type": "none"}),
        ({"tool_choice": "none", "parallel_tool_calls": False}, {"type": "none"}),
        ({"tool_choice": "auto"}, {"type": "auto"}),
        ({"tool_choice": None}, None),
        ({"parallel_tool_calls": True}, None),
        ({"parallel_tool_calls": False}, {"type": "auto", "disable_parallel_tool_use": True}),
        (
            {"tool_choice": {"type": "function", "function": {"name": "weather"}}},
            {"type": "tool", "name": "weather"},
        ),
    ],
)
def test_choices_of_tools(fields: Json, choice: Json | None) -> None:
    assert request(to_messages(), body(tools=[WEATHER], **fields)).get("tool_choice") == choice


def test_without_tools_there_is_nothing_to_choose() -> None:
    made = request(to_messages(), body(tools=[], tool_choice="auto", parallel_tool_calls=False))
    assert made.keys() == {"model", "messages", "max_tokens"}


@pytest.mark.parametrize(
    ("choice", "tools"),
    [
        ("required", []),
        ({"type": "function", "function": {"name": "weather"}}, []),
        ({"type": "function", "function": {"name": "other"}}, [WEATHER]),
    ],
)
def test_a_choice_of_a_tool_that_is_not_there_is_refused_or_left_out(choice: Any, tools: list[Json]) -> None:
    given = body(tools=tools, tool_choice=choice)
    assert refused(given).param == "tool_choice"
    made = request(to_messages(), given, drop=True)
    assert "tool_choice" not in made
    assert len(made.get("tools", [])) == len(tools)


def test_the_providers_own_tools_pass() -> None:
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}
    assert request(to_messages(), body(tools=[search]))["tools"] == [search]


def test_sampling_and_stops() -> None:
    made = request(
        to_messages(), body(temperature=0.5, top_p=0.9, top_k=40, stop=["a", "b"], stream=True, user="anna")
    )
    assert made["temperature"] == 0.5
    assert made["top_p"] == 0.9
    assert made["top_k"] == 40
    assert made["stop_sequences"] == ["a", "b"]
    assert made["stream"] is True
    assert made["metadata"] == {"user_id": "anna"}
    assert request(to_messages(), body(stop="a"))["stop_sequences"] == ["a"]


def test_a_temperature_above_one_is_refused_or_cut() -> None:
    assert refused(body(temperature=1.3)).param == "temperature"
    assert request(to_messages(), body(temperature=1.3), drop=True)["temperature"] == 1


@pytest.mark.parametrize(
    ("fields", "user"),
    [
        ({"safety_identifier": "bert"}, "bert"),
        ({"user": "anna", "safety_identifier": "bert"}, "anna"),
        ({"metadata": {"user_id": "carla", "tags": ["blue"]}}, "carla"),
        ({"metadata": {"tags": ["blue"]}}, None),
    ],
)
def test_whom_it_is_for(fields: Json, user: str | None) -> None:
    wanted = None if user is None else {"user_id": user}
    assert request(to_messages(), body(**fields)).get("metadata") == wanted


@pytest.mark.parametrize(
    ("effort", "cap", "thinking"),
    [
        ("low", 50_000, {"type": "enabled", "budget_tokens": 2048}),
        ("high", 50_000, {"type": "enabled", "budget_tokens": 16_384}),
        ("high", 4000, {"type": "enabled", "budget_tokens": 2000}),
        ("high", 1000, None),
        ("none", 1000, {"type": "disabled"}),
        (None, 1000, None),
    ],
)
def test_efforts_are_budgets_within_the_cap(effort: str | None, cap: int, thinking: Json | None) -> None:
    made = request(to_messages(), body(reasoning_effort=effort, max_tokens=cap))
    assert made.get("thinking") == thinking


def test_models_that_adapt_are_told_the_effort_itself() -> None:
    made = request(to_messages(adaptive=True), body(reasoning_effort="xhigh"))
    assert made["thinking"] == {"type": "adaptive", "display": "summarized"}
    assert made["output_config"] == {"effort": "xhigh"}


def test_a_model_that_must_call_a_tool_is_not_asked_to_think() -> None:
    for adaptive in (False, True):
        given = body(reasoning_effort="high", tools=[WEATHER], tool_choice="required", max_tokens=50_000)
        made = request(to_messages(adaptive=adaptive), given)
        assert "thinking" not in made
        assert made.get("output_config") == ({"effort": "high"} if adaptive else None)


def test_thinking_goes_on_after_calls_only_if_the_client_kept_the_thoughts() -> None:
    signed = {"type": "thinking", "thinking": "Hm", "signature": "EqQB"}
    said: Json = {"role": "assistant", "tool_calls": [call("weather", "{}")]}
    result = {"role": "tool", "tool_call_id": "call_1", "content": "Rain"}
    for fields, thinks in (({}, False), ({"thinking_blocks": [signed]}, True)):
        given = body(HELLO, {**said, **fields}, result, reasoning_effort="low", max_tokens=50_000)
        assert ("thinking" in request(to_messages(), given)) is thinks
        assert "thinking" in request(to_messages(adaptive=True), given)
    answered = body(HELLO, said, result, {"role": "assistant", "content": "Rain"}, HELLO)
    given = {**answered, "reasoning_effort": "low", "max_tokens": 50_000}
    assert "thinking" in request(to_messages(), given)


def test_sampling_gives_way_to_thinking_only_with_drop() -> None:
    given = body(reasoning_effort="low", temperature=0.2)
    assert request(to_messages(), given)["temperature"] == 0.2
    assert "temperature" not in request(to_messages(), given, drop=True)


def test_structured_output_is_the_wires_own() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": False}
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}
    made = request(to_messages(adaptive=True), body(response_format=form, reasoning_effort="low"))
    assert made["output_config"] == {"effort": "low", "format": {"type": "json_schema", "schema": schema}}
    assert "output_config" not in request(to_messages(), body(response_format={"type": "text"}))


def test_the_wires_own_fields_pass_as_they_are() -> None:
    own = {
        "thinking": {"type": "enabled", "budget_tokens": 2000},
        "mcp_servers": [{"type": "url", "url": "https://example.org", "name": "x"}],
        "context_management": {"edits": []},
        "output_config": {"effort": "low"},
    }
    made = request(to_messages(), body(reasoning_effort="high", **own))
    assert {name: made[name] for name in own} == own


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 1},
        {"logprobs": False, "top_logprobs": 0},
        {"logit_bias": {}},
        {"presence_penalty": 0, "frequency_penalty": 0.0},
        {"seed": None, "audio": None, "prediction": None, "min_p": None},
        {"modalities": ["text"], "store": False},
        {"stream_options": {"include_usage": True}, "prompt_cache_key": "x"},
        {"response_format": {"type": "text"}},
        {"functions": [], "function_call": "auto"},
    ],
)
def test_fields_that_ask_for_nothing_are_left_out(fields: Json) -> None:
    assert request(to_messages(), body(**fields)).keys() == {"model", "messages", "max_tokens"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n", 2),
        ("n", True),
        ("logprobs", True),
        ("top_logprobs", 3),
        ("logit_bias", {"5": 1}),
        ("seed", 42),
        ("presence_penalty", 0.5),
        ("frequency_penalty", -1),
        ("modalities", ["text", "audio"]),
        ("audio", {"voice": "alloy"}),
        ("prediction", {"type": "content", "content": "x"}),
        ("response_format", {"type": "json_object"}),
        ("service_tier", "flex"),
        ("reasoning_effort", "enormous"),
        ("tool_choice", "sometimes"),
        ("web_search_options", {}),
        ("functions", [{"name": "f"}]),
        ("chat_template_kwargs", {"enable_thinking": False}),
    ],
)
def test_what_the_wire_cannot_say_is_named_or_left_out(name: str, value: Any) -> None:
    given = body(tools=[WEATHER], **{name: value})
    assert refused(given).param == name
    assert request(to_messages(), given, drop=True).keys() == {"model", "messages", "max_tokens", "tools"}


@pytest.mark.parametrize(
    ("message", "param"),
    [
        (
            {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "UklG"}}]},
            "messages[1].content[0].input_audio",
        ),
        ({"role": "user", "content": [{"type": "video_url"}]}, "messages[1].content[0].type"),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///x"}}]},
            "messages[1].content[0].image_url.url",
        ),
        (
            {
                "role": "user",
                "content": [{"type": "file", "file": {"file_data": "data:audio/wav;base64,UklG"}}],
            },
            "messages[1].content[0].file.file_data",
        ),
        (
            {"role": "assistant", "tool_calls": [call("a", "{}"), call("b", "[1]")]},
            "messages[1].tool_calls[1].function.arguments",
        ),
        (
            {"role": "assistant", "tool_calls": [call("a", '{"x":')]},
            "messages[1].tool_calls[0].function.arguments",
        ),
        ({"role": "assistant", "function_call": {"name": "f"}}, "messages[1].function_call"),
        ({"role": "function", "name": "f", "content": "x"}, "messages[1].role"),
        ({"role": "tool", "content": "x"}, "messages[1].tool_call_id"),
        ({"content": "x"}, "messages[1].role"),
        ({"role": "user", "content": 5}, "messages[1].content"),
    ],
)
def test_content_that_cannot_be_said_is_refused_even_with_drop(message: Json, param: str) -> None:
    for drop in (False, True):
        with pytest.raises(Untranslatable) as told:
            request(to_messages(), body(HELLO, message), drop=drop)
        assert told.value.param == param
        assert param in str(told.value)


def test_only_a_system_prompt_is_nothing_to_answer() -> None:
    assert refused(body({"role": "system", "content": "Be brief."})).param == "messages"


@pytest.mark.parametrize(
    "garbage", [b"", b"[]", b"{", b'{"model":"\\ud800"}', b"[" * 100_000, b'{"a":' * 100_000]
)
def test_a_body_that_is_no_object_is_refused(garbage: bytes) -> None:
    with pytest.raises(Untranslatable):
        to_messages().request(garbage, drop=True)


# Answers

ANSWER: Json = {
    "id": "msg_01XFDUDYJgAACzvnptvVoYEL",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-5",
    "content": [{"type": "text", "text": "Hi"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {
        "input_tokens": 10,
        "cache_creation_input_tokens": 20,
        "cache_read_input_tokens": 30,
        "output_tokens": 6,
        "service_tier": "standard",
    },
}


def test_an_answer_of_text() -> None:
    made = sound_completion(answer(to_messages(), ANSWER))
    assert made == {
        "id": "msg_01XFDUDYJgAACzvnptvVoYEL",
        "object": "chat.completion",
        "created": NOW,
        "model": "claude-sonnet-4-5",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hi", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 60,
            "completion_tokens": 6,
            "total_tokens": 66,
            "prompt_tokens_details": {"cached_tokens": 30, "cache_write_tokens": 20},
        },
        "service_tier": "default",
    }


def test_an_answer_with_thoughts_and_calls() -> None:
    signed = {"type": "thinking", "thinking": "Hm", "signature": "EqQB"}
    sealed = {"type": "redacted_thinking", "data": "Emwk"}
    used = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Bern"}}
    made = answer(to_messages(), {**ANSWER, "content": [signed, sealed, used], "stop_reason": "tool_use"})
    [choice] = sound_completion(made)["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"] == {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "reasoning_content": "Hm",
        "thinking_blocks": [signed, sealed],
        "tool_calls": [call("weather", '{"city":"Bern"}', "toolu_1")],
    }


def test_a_call_without_input_has_the_empty_object_as_arguments() -> None:
    bare = {"type": "tool_use", "id": "toolu_1", "name": "now", "input": None}
    made = sound_completion(answer(to_messages(), {**ANSWER, "content": [bare]}))
    assert made["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] == "{}"


def test_thinking_is_told_as_reasoning_tokens() -> None:
    usage = {"input_tokens": 1, "output_tokens": 9, "output_tokens_details": {"thinking_tokens": 5}}
    made = answer(to_messages(), {**ANSWER, "usage": usage})["usage"]
    assert made["completion_tokens_details"] == {"reasoning_tokens": 5}


@pytest.mark.parametrize(
    ("stop", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("pause_turn", "stop"),
        ("a later one", "stop"),
        (None, "stop"),
    ],
)
def test_reasons_to_stop(stop: str | None, finish: str) -> None:
    made = answer(to_messages(), {**ANSWER, "stop_reason": stop})
    assert made["choices"][0]["finish_reason"] == finish


@pytest.mark.parametrize(
    ("tier", "expected"), [("standard", "default"), ("priority", "priority"), ("batch", None)]
)
def test_the_tier_is_told_beside_usage(tier: str, expected: str | None) -> None:
    made = answer(to_messages(), {**ANSWER, "usage": {**ANSWER["usage"], "service_tier": tier}})
    assert sound_completion(made).get("service_tier") == expected


def test_why_it_was_refused_is_told_where_the_provider_says_it() -> None:
    why = {"type": "refusal", "category": "cyber", "explanation": "It could do harm."}
    made = answer(to_messages(), {**ANSWER, "content": [], "stop_reason": "refusal", "stop_details": why})
    assert made["choices"][0]["message"]["refusal"] == "It could do harm."
    ended = {"stop_reason": "refusal", "stop_sequence": None, "stop_details": why}
    events = [start(), {"type": "message_delta", "delta": ended, "usage": {"output_tokens": 1}}]
    [choice] = completion(streamed(to_messages().stream(), events))["choices"]
    assert choice["message"]["refusal"] == "It could do harm."
    assert choice["finish_reason"] == "content_filter"


def test_what_the_providers_own_tools_did_is_left_out() -> None:
    content = [
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}},
        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
        {"type": "text", "text": "Found "},
        {"type": "text", "text": "it.", "citations": []},
    ]
    made = answer(to_messages(), {**ANSWER, "content": content})
    assert made["choices"][0]["message"]["content"] == "Found it."


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"null",
        b"<html>",
        b"{}",
        b'{"content":[{"type":"text"}]}',
        b'{"type":"error","error":{},"content":[]}',
    ],
)
def test_what_is_no_message_is_a_bad_answer(garbage: bytes) -> None:
    with pytest.raises(BadAnswer):
        to_messages().answer(garbage)


# Errors


def error(status: int, kind: str, message: str) -> Json:
    told = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}
    made = json.loads(to_messages().error(status, json.dumps(told).encode()))
    assert made["error"].keys() == {"message", "type", "param", "code"}
    return dict(made["error"])


@pytest.mark.parametrize(
    ("status", "kind", "message", "expected", "code"),
    [
        (400, "invalid_request_error", "max_tokens: too big", "invalid_request_error", None),
        (
            400,
            "invalid_request_error",
            "prompt is too long: 210000 tokens > 200000 maximum",
            "invalid_request_error",
            "context_length_exceeded",
        ),
        (
            400,
            "invalid_request_error",
            "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000",
            "invalid_request_error",
            "context_length_exceeded",
        ),
        (
            400,
            "invalid_request_error",
            "Output blocked by content filtering policy",
            "invalid_request_error",
            "content_filter",
        ),
        (401, "authentication_error", "invalid x-api-key", "authentication_error", None),
        (403, "permission_error", "no", "permission_error", None),
        (404, "not_found_error", "model: claude-9", "not_found_error", "model_not_found"),
        (413, "request_too_large", "too large", "invalid_request_error", "request_too_large"),
        (429, "rate_limit_error", "slow down", "rate_limit_error", "rate_limit_exceeded"),
        (429, "rate_limit_error", "context window: no", "rate_limit_error", "rate_limit_exceeded"),
        (500, "api_error", "oh", "server_error", None),
        (500, "api_error", "No memory for this context window.", "server_error", None),
        (529, "overloaded_error", "Overloaded", "server_error", "overloaded"),
        (418, "a_later_one", "tea", "invalid_request_error", None),
    ],
)
def test_errors_are_told_in_the_envelope(
    status: int, kind: str, message: str, expected: str, code: str | None
) -> None:
    assert error(status, kind, message) == {"message": message, "type": expected, "param": None, "code": code}


@pytest.mark.parametrize(
    "garbage", [b"", b"<html>", b"[]", b'{"error":7}', b'{"error":{"message":7,"type":[]}}']
)
def test_an_error_of_no_form_is_told_too(garbage: bytes) -> None:
    told = json.loads(to_messages().error(502, garbage))
    envelope = {"message": "The provider answered 502.", "type": "server_error", "param": None, "code": None}
    assert told == {"error": envelope}


# Streams, as the documentation of the Messages API shows them


def start(**usage: int) -> Json:
    given = {
        **ANSWER,
        "content": [],
        "stop_reason": None,
        "usage": {"input_tokens": 25, "output_tokens": 1, **usage},
    }
    return {"type": "message_start", "message": given}


def opened(index: int, **block: Any) -> Json:
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int, **delta: Any) -> Json:
    return {"type": "content_block_delta", "index": index, "delta": delta}


def closed(index: int) -> Json:
    return {"type": "content_block_stop", "index": index}


def stopped(reason: str, **usage: int) -> list[Json]:
    ended = {"stop_reason": reason, "stop_sequence": None}
    return [{"type": "message_delta", "delta": ended, "usage": usage}, {"type": "message_stop"}]


PING = {"type": "ping"}


def test_a_stream_of_text() -> None:
    chunks = streamed(
        to_messages().stream(),
        [
            start(),
            opened(0, type="text", text=""),
            PING,
            delta(0, type="text_delta", text="Hel"),
            delta(0, type="text_delta", text="lo"),
            closed(0),
            *stopped("end_turn", output_tokens=15),
        ],
    )
    head = {"id": ANSWER["id"], "object": "chat.completion.chunk", "created": NOW, "model": ANSWER["model"]}
    assert all({name: chunk[name] for name in head} == head for chunk in chunks)
    told = [(choice["delta"], choice["finish_reason"]) for chunk in chunks for choice in chunk["choices"]]
    assert told == [
        ({"role": "assistant", "content": ""}, None),
        ({"content": "Hel"}, None),
        ({"content": "lo"}, None),
        ({}, "stop"),
    ]
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["prompt_tokens"] == 25
    assert chunks[-1]["usage"]["completion_tokens"] == 15


def test_a_stream_of_calls() -> None:
    chunks = streamed(
        to_messages().stream(),
        [
            start(),
            opened(0, type="text", text=""),
            delta(0, type="text_delta", text="Let me see."),
            closed(0),
            opened(1, type="tool_use", id="toolu_1", name="weather", input={}),
            delta(1, type="input_json_delta", partial_json=""),
            delta(1, type="input_json_delta", partial_json='{"city": "San'),
            delta(1, type="input_json_delta", partial_json=' Francisco"}'),
            closed(1),
            opened(2, type="tool_use", id="toolu_2", name="now", input={}),
            closed(2),
            *stopped("tool_use", output_tokens=89),
        ],
    )
    calls = [
        each
        for chunk in chunks
        for choice in chunk["choices"]
        for each in choice["delta"].get("tool_calls", [])
    ]
    assert calls == [
        {"index": 0, "id": "toolu_1", "type": "function", "function": {"name": "weather", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"city": "San'}},
        {"index": 0, "function": {"arguments": ' Francisco"}'}},
        {"index": 1, "id": "toolu_2", "type": "function", "function": {"name": "now", "arguments": ""}},
        {"index": 1, "function": {"arguments": "{}"}},
    ]
    assert chunks[-2]["choices"][0]["finish_reason"] == "tool_calls"


def test_a_call_that_comes_whole_at_its_start_is_told_whole() -> None:
    whole = opened(0, type="tool_use", id="toolu_1", name="weather", input={"city": "Bern"})
    [choice] = completion(
        streamed(to_messages().stream(), [start(), whole, closed(0), *stopped("tool_use")])
    )["choices"]
    assert choice["message"]["tool_calls"][0]["function"]["arguments"] == '{"city":"Bern"}'


def test_a_stream_of_thoughts_ends_with_their_signatures() -> None:
    chunks = streamed(
        to_messages().stream(),
        [
            start(),
            opened(0, type="thinking", thinking="", signature=""),
            delta(0, type="thinking_delta", thinking="27 * 453"),
            delta(0, type="thinking_delta", thinking=" = 12231"),
            delta(0, type="signature_delta", signature="EqQB"),
            closed(0),
            opened(1, type="redacted_thinking", data="Emwk"),
            closed(1),
            opened(2, type="text", text=""),
            delta(2, type="text_delta", text="12231"),
            closed(2),
            *stopped("end_turn", output_tokens=15),
        ],
    )
    [choice] = completion(chunks)["choices"]
    assert choice["message"]["content"] == "12231"
    assert choice["message"]["reasoning_content"] == "27 * 453 = 12231"
    assert choice["message"]["thinking_blocks"] == [
        {"type": "thinking", "thinking": "27 * 453 = 12231", "signature": "EqQB"},
        {"type": "redacted_thinking", "data": "Emwk"},
    ]


def test_an_error_in_a_stream_comes_without_choices() -> None:
    overloaded = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    [_, told] = streamed(to_messages().stream(), [start(), overloaded])[:2]
    assert told == {
        "error": {"message": "Overloaded", "type": "server_error", "param": None, "code": "overloaded"}
    }


def test_the_finish_is_told_once_and_also_without_a_last_event() -> None:
    whole = [start(), *stopped("max_tokens", output_tokens=5)]
    for events in (whole, whole[:-1]):
        chunks = streamed(to_messages().stream(), events)
        finishes = [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"]]
        assert finishes == [None, "length"]
        assert chunks[-1]["usage"]["completion_tokens"] == 5


def test_why_it_stopped_is_kept_when_a_later_event_tells_only_usage() -> None:
    later = {"type": "message_delta", "delta": {"stop_sequence": None}, "usage": {"output_tokens": 9}}
    ended, last = stopped("max_tokens", output_tokens=5)
    chunks = streamed(to_messages().stream(), [start(), ended, later, last])
    assert chunks[-2]["choices"][0]["finish_reason"] == "length"
    assert chunks[-1]["usage"]["completion_tokens"] == 9


def test_blocks_that_nobody_closed_are_told_at_the_end() -> None:
    chunks = streamed(
        to_messages().stream(),
        [
            start(),
            opened(0, type="thinking", thinking="Hm.", signature="EqQB"),
            opened(1, type="tool_use", id="toolu_1", name="weather", input={"city": "Bern"}),
            *stopped("tool_use"),
        ],
    )
    [choice] = completion(chunks)["choices"]
    assert choice["message"]["thinking_blocks"][0]["signature"] == "EqQB"
    assert choice["message"]["tool_calls"][0]["function"]["arguments"] == '{"city":"Bern"}'
    assert choice["finish_reason"] == "tool_calls"


def test_a_stream_in_which_nothing_came_says_nothing() -> None:
    assert streamed(to_messages().stream(), [PING]) == []


@pytest.mark.parametrize(
    "garbage", [b"[]", b"{", b'{"type":"content_block_delta","delta":{"type":"text_delta","text":1}}']
)
def test_an_event_of_no_form_is_a_bad_answer(garbage: bytes) -> None:
    with pytest.raises(BadAnswer):
        to_messages().stream().feed(garbage)
