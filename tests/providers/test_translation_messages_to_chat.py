"""A client of the Messages API (Claude Code) at a provider of chat completions."""

import base64
import hashlib
import json
from typing import Any

import pytest

from providers.translation import BadAnswer, Untranslatable
from providers.translation.messages_to_chat import MessagesToChat
from tests.providers.translating import (
    Json,
    answer,
    message,
    request,
    sound_message,
    streamed,
    to_chat,
)

HELLO = {"role": "user", "content": "Hello"}
WEATHER = {
    "name": "weather",
    "description": "Tells the weather.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}
MARK = {"type": "ephemeral"}
PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}}
PICTURE_PART = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}}


def body(*messages: Json, **fields: Any) -> Json:
    return {"model": "llama", "max_tokens": 100, "messages": list(messages or [HELLO]), **fields}


def told(*messages: Json, **fields: Any) -> Any:
    return request(to_chat(), body(*messages, **fields))["messages"]


def text(words: str, **more: Any) -> Json:
    return {"type": "text", "text": words, **more}


def used(id: str, name: str, **given: Any) -> Json:
    return {"type": "tool_use", "id": id, "name": name, "input": given}


def result(id: str, content: Any, **more: Any) -> Json:
    return {"type": "tool_result", "tool_use_id": id, "content": content, **more}


def refused(given: Json, *, drop: bool = False) -> Untranslatable:
    with pytest.raises(Untranslatable) as told:
        request(to_chat(), given, drop=drop)
    return told.value


# Requests


def test_a_plain_request() -> None:
    assert request(to_chat(), body()) == {"model": "llama", "messages": [HELLO], "max_tokens": 100}
    capped = MessagesToChat(cap_param="max_completion_tokens")
    assert request(capped, body())["max_completion_tokens"] == 100


def test_the_system_prompt_is_one_message_of_one_text() -> None:
    blocks = [text("You are Claude Code.", cache_control=MARK), text("Be brief.")]
    assert told(system="Be brief.") == [{"role": "system", "content": "Be brief."}, HELLO]
    assert told(system=blocks)[0] == {"role": "system", "content": "You are Claude Code.\n\nBe brief."}
    assert told(HELLO, {"role": "system", "content": "Now in German."})[1]["content"] == "Now in German."


def test_what_a_user_says_and_shows() -> None:
    address = {"type": "image", "source": {"type": "url", "url": "https://example.org/cat.jpg"}}
    assert told({"role": "user", "content": [text("See", cache_control=MARK), PICTURE, address]}) == [
        {
            "role": "user",
            "content": [
                text("See"),
                PICTURE_PART,
                {"type": "image_url", "image_url": {"url": "https://example.org/cat.jpg"}},
            ],
        }
    ]
    assert told({"role": "user", "content": [text("Hello")]}) == [HELLO]


def test_documents_are_files_or_text() -> None:
    pdf = {"type": "base64", "media_type": "application/pdf", "data": "JVBE"}
    plain = {"type": "text", "media_type": "text/plain", "data": "Zürich"}
    pieces = {"type": "content", "content": [text("one"), PICTURE]}
    sources = [
        {"type": "document", "source": pdf, "title": "a.pdf"},
        {"type": "document", "source": plain, "title": "Cities"},
        {"type": "document", "source": pieces},
        {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
    ]
    [user] = told({"role": "user", "content": sources})
    assert user["content"] == [
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}},
        text("Cities\n\nZürich"),
        text("one"),
        PICTURE_PART,
        {"type": "file", "file": {"file_id": "file_1"}},
    ]


def test_a_document_without_a_title_gets_a_name() -> None:
    pdf = {"type": "base64", "media_type": "application/pdf", "data": "JVBE"}
    [user] = told({"role": "user", "content": [{"type": "document", "source": pdf}]})
    assert user["content"][0]["file"]["filename"] == "document.pdf"


def test_a_search_result_is_text() -> None:
    found = {
        "type": "search_result",
        "title": "Bern",
        "source": "https://b.example",
        "content": [text("A city.")],
    }
    assert told({"role": "user", "content": [found]})[0]["content"] == "Bern\nhttps://b.example\nA city."


def test_calls_and_their_results() -> None:
    said = [text("Let me "), text("see."), used("toolu_1", "a", x=1.5), used("toolu_2", "b")]
    results = [result("toolu_1", "one"), result("toolu_2", [text("two"), text("three")]), text("And?")]
    assert told(HELLO, {"role": "assistant", "content": said}, {"role": "user", "content": results}) == [
        HELLO,
        {
            "role": "assistant",
            "content": "Let me see.",
            "tool_calls": [
                {"id": "toolu_1", "type": "function", "function": {"name": "a", "arguments": '{"x":1.5}'}},
                {"id": "toolu_2", "type": "function", "function": {"name": "b", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "toolu_1", "content": "one"},
        {"role": "tool", "tool_call_id": "toolu_2", "content": "two\nthree"},
        {"role": "user", "content": "And?"},
    ]


def test_only_results_make_no_message_of_the_user() -> None:
    called = {"role": "assistant", "content": [used("toolu_1", "a")]}
    assert [
        each["role"] for each in told(HELLO, called, {"role": "user", "content": [result("toolu_1", "")]})
    ] == [
        "user",
        "assistant",
        "tool",
    ]
    assert told({"role": "user", "content": []}) == [{"role": "user", "content": ""}]


def test_only_calls_are_said_with_no_content() -> None:
    assert told(HELLO, {"role": "assistant", "content": [used("toolu_1", "a")]})[1]["content"] is None


def test_pictures_in_results_come_after_all_results() -> None:
    results = [result("toolu_1", [PICTURE]), result("toolu_2", [text("two"), PICTURE]), text("And?")]
    assert told({"role": "user", "content": results}) == [
        {"role": "tool", "tool_call_id": "toolu_1", "content": "The result is in the next message."},
        {"role": "tool", "tool_call_id": "toolu_2", "content": "two"},
        {
            "role": "user",
            "content": [
                text("From the result of the tool call toolu_1:"),
                PICTURE_PART,
                text("From the result of the tool call toolu_2:"),
                PICTURE_PART,
                text("And?"),
            ],
        },
    ]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("no such file", "Error: no such file"),
        ("Error: no such file", "Error: no such file"),
        ("<tool_use_error>no</tool_use_error>", "<tool_use_error>no</tool_use_error>"),
        (None, "Error: "),
    ],
)
def test_a_tool_that_failed_says_so_in_words(said: str | None, expected: str) -> None:
    assert (
        told({"role": "user", "content": [result("toolu_1", said, is_error=True)]})[0]["content"] == expected
    )


def test_thoughts_go_back_only_where_the_server_wants_them() -> None:
    thought = {"type": "thinking", "thinking": "Hm", "signature": ""}
    signed = {"type": "thinking", "thinking": "Hm", "signature": "EqQB"}
    for keep, blocks, fields in (
        (False, [signed], {}),
        (True, [thought], {"reasoning_content": "Hm"}),
        (True, [signed], {"reasoning_content": "Hm", "thinking_blocks": [signed]}),
    ):
        given = body(HELLO, {"role": "assistant", "content": [*blocks, text("Yes")]})
        made = request(to_chat(keep_thoughts=keep), given)["messages"][1]
        assert made == {"role": "assistant", "content": "Yes", **fields}


def test_tools_are_functions() -> None:
    strict = {"type": "custom", "name": "now", "input_schema": {"type": "object"}, "strict": True}
    made = request(to_chat(), body(tools=[{**WEATHER, "cache_control": MARK, "defer_loading": True}, strict]))
    assert made["tools"] == [
        {
            "type": "function",
            "function": {
                "name": "weather",
                "description": "Tells the weather.",
                "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
            },
        },
        {"type": "function", "function": {"name": "now", "parameters": {"type": "object"}, "strict": True}},
    ]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"type": "auto"}, {"tool_choice": "auto"}),
        ({"type": "any"}, {"tool_choice": "required"}),
        ({"type": "none"}, {"tool_choice": "none"}),
        (
            {"type": "tool", "name": "weather"},
            {"tool_choice": {"type": "function", "function": {"name": "weather"}}},
        ),
        (
            {"type": "auto", "disable_parallel_tool_use": True},
            {"tool_choice": "auto", "parallel_tool_calls": False},
        ),
    ],
)
def test_choices_of_tools(choice: Json, expected: Json) -> None:
    made = request(to_chat(), body(tools=[WEATHER], tool_choice=choice))
    assert {name: made[name] for name in ("tool_choice", "parallel_tool_calls") if name in made} == expected


@pytest.mark.parametrize(
    ("choice", "tools"),
    [
        ({"type": "any"}, []),
        ({"type": "tool", "name": "other"}, []),
        ({"type": "tool", "name": "other"}, [WEATHER]),
    ],
)
def test_a_choice_of_a_tool_that_is_not_there_is_refused_or_left_out(choice: Json, tools: list[Json]) -> None:
    given = body(tools=tools, tool_choice=choice)
    assert refused(given).param == "tool_choice"
    made = request(to_chat(), given, drop=True)
    assert "tool_choice" not in made
    assert len(made.get("tools", [])) == len(tools)


def test_servers_own_tools_are_refused_or_left_out_with_their_choice() -> None:
    search = {"type": "web_search_20250305", "name": "web_search"}
    given = body(tools=[WEATHER, search], tool_choice={"type": "tool", "name": "web_search"})
    assert refused(given).param == "tools[1].type"
    made = request(to_chat(), given, drop=True)
    assert [tool["function"]["name"] for tool in made["tools"]] == ["weather"]
    assert "tool_choice" not in made
    only = request(to_chat(), body(tools=[{"type": "bash_20250124", "name": "bash"}]), drop=True)
    assert "tools" not in only


def test_sampling_and_stops() -> None:
    made = request(
        to_chat(),
        body(temperature=0.5, top_p=0.9, top_k=40, stop_sequences=["a"], service_tier="standard_only"),
    )
    assert (made["temperature"], made["top_p"], made["top_k"], made["stop"]) == (0.5, 0.9, 40, ["a"])
    assert made["service_tier"] == "default"


def test_a_stream_is_asked_for_its_usage() -> None:
    made = request(to_chat(), body(stream=True))
    assert made["stream"] is True
    assert made["stream_options"] == {"include_usage": True}
    assert "stream_options" not in request(to_chat(), body(stream=False))


def test_a_name_of_a_user_that_is_too_long_is_shortened_to_the_same_one_each_time() -> None:
    long = "user_" + "f" * 64 + "_account__session_1"
    assert request(to_chat(), body(metadata={"user_id": "anna"}))["user"] == "anna"
    made = request(to_chat(), body(metadata={"user_id": long}))["user"]
    assert made == hashlib.sha256(long.encode()).hexdigest()


@pytest.mark.parametrize(
    ("fields", "effort"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "low"),
        ({"thinking": {"type": "enabled", "budget_tokens": 4095}}, "low"),
        ({"thinking": {"type": "enabled", "budget_tokens": 4096}}, "medium"),
        ({"thinking": {"type": "enabled", "budget_tokens": 10_000}}, "medium"),
        ({"thinking": {"type": "enabled", "budget_tokens": 31_999}}, "high"),
        ({"thinking": {"type": "adaptive"}}, None),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "xhigh"}}, "xhigh"),
        ({"thinking": {"type": "disabled"}, "output_config": {"effort": "high"}}, None),
    ],
)
def test_thinking_is_an_effort(fields: Json, effort: str | None) -> None:
    assert request(to_chat(), body(**fields)).get("reasoning_effort") == effort


def test_a_model_that_cannot_think_is_not_asked_to() -> None:
    untaken = MessagesToChat(untaken={"reasoning_effort"})
    for fields in (
        {"thinking": {"type": "enabled", "budget_tokens": 5000}},
        {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}},
    ):
        assert "reasoning_effort" not in request(untaken, body(**fields))
        assert "reasoning_effort" in request(MessagesToChat(untaken={"top_k"}), body(**fields))


def test_a_parameter_that_the_model_has_not_is_refused_or_left_out() -> None:
    with pytest.raises(Untranslatable) as found:
        request(MessagesToChat(untaken={"top_k"}), body(top_k=5))
    assert found.value.param == "top_k"
    assert "top_k" not in request(MessagesToChat(untaken={"top_k"}), body(top_k=5), drop=True)
    assert request(MessagesToChat(untaken={"logprobs"}), body(top_k=5))["top_k"] == 5


@pytest.mark.parametrize("where", ["output_config", "output_format"])
def test_structured_output(where: str) -> None:
    form = {"type": "json_schema", "schema": {"type": "object"}}
    made = request(to_chat(), body(**{where: {"format": form} if where == "output_config" else form}))
    assert made["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True},
    }


def test_what_claude_code_sends_beside_is_left_out() -> None:
    made = request(
        to_chat(),
        body(
            context_management={"edits": []},
            betas=["x"],
            anthropic_version="2023-06-01",
            speed="fast",
            cache_control=MARK,
            mcp_servers=[],
            container=None,
            service_tier="auto",
            something_new={"a": 1},
        ),
    )
    assert made.keys() == {"model", "messages", "max_tokens"}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"mcp_servers": [{"type": "url"}]}, "mcp_servers"),
        ({"container": "container_1"}, "container"),
        ({"output_format": {"type": "xml"}}, "output_format.type"),
        ({"output_config": {"effort": "enormous"}}, "output_config.effort"),
        ({"tool_choice": {"type": "some"}}, "tool_choice"),
    ],
)
def test_what_the_wire_cannot_say_is_named_or_left_out(fields: Json, param: str) -> None:
    assert refused(body(**fields)).param == param
    assert request(to_chat(), body(**fields), drop=True).keys() == {"model", "messages", "max_tokens"}


@pytest.mark.parametrize(
    ("given", "param"),
    [
        (
            {"role": "user", "content": [{"type": "container_upload", "file_id": "x"}]},
            "messages[0].content[0].type",
        ),
        (
            {"role": "user", "content": [{"type": "image", "source": {"type": "file", "file_id": "x"}}]},
            "messages[0].content[0].source",
        ),
        (
            {
                "role": "user",
                "content": [{"type": "document", "source": {"type": "url", "url": "https://x"}}],
            },
            "messages[0].content[0].source",
        ),
        ({"role": "user", "content": [{"type": "text", "text": 5}]}, "messages[0].content[0].text"),
        ({"role": "assistant", "content": [{"type": "tool_use", "id": "x"}]}, "messages[0].content[0].input"),
        ({"role": "robot", "content": "x"}, "messages[0].role"),
        ({"role": "user", "content": 5}, "messages[0].content"),
    ],
)
def test_content_that_cannot_be_said_is_refused_even_with_drop(given: Json, param: str) -> None:
    assert refused(body(given)).param == param
    assert refused(body(given), drop=True).param == param


def test_what_another_providers_tool_found_is_refused_or_left_out() -> None:
    searched = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
    given = body(HELLO, {"role": "assistant", "content": [searched, text("Found.")]})
    assert refused(given).param == "messages[1].content[0].type"
    assert request(to_chat(), given, drop=True)["messages"][1] == {"role": "assistant", "content": "Found."}


# Answers

ANSWER: Json = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "llama",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
    "usage": {
        "prompt_tokens": 60,
        "completion_tokens": 6,
        "total_tokens": 66,
        "prompt_tokens_details": {"cached_tokens": 30},
    },
}


def said(finish: str | None = "stop", **message: Any) -> Json:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return {**ANSWER, "choices": [choice]}


def call(name: str, arguments: str, id: str | None = "call_1") -> Json:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def test_an_answer_of_text() -> None:
    assert sound_message(answer(to_chat(), ANSWER)) == {
        "id": "chatcmpl-1",
        "type": "message",
        "role": "assistant",
        "model": "llama",
        "content": [text("Hi")],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 30,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 30,
            "output_tokens": 6,
        },
    }


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_an_answer_with_thoughts_and_calls(name: str) -> None:
    calls = [call("a", '{"x": 1}'), call("b", "", None)]
    made = answer(to_chat(), said("tool_calls", content=None, tool_calls=calls, **{name: "Hm"}))
    assert sound_message(made)["content"] == [
        {"type": "thinking", "thinking": "Hm", "signature": ""},
        used("call_1", "a", x=1),
        used("call_chatcmpl-1_1", "b"),
    ]
    assert made["stop_reason"] == "tool_use"


def test_thoughts_that_another_gateway_signed_or_sealed_keep_their_signatures() -> None:
    signed = {"type": "thinking", "thinking": "Hm", "signature": "EqQB"}
    sealed = {"type": "redacted_thinking", "data": "Emwk"}
    made = answer(to_chat(), said(content="Yes", reasoning_content="Hm", thinking_blocks=[signed, sealed]))
    assert sound_message(made)["content"] == [signed, sealed, text("Yes")]


def test_text_may_come_in_parts() -> None:
    parts = [{"type": "thinking", "thinking": []}, text("Hel"), text("lo")]
    assert answer(to_chat(), said(content=parts))["content"] == [text("Hello")]


def test_arguments_that_are_no_json_are_handed_on() -> None:
    made = answer(to_chat(), said("tool_calls", tool_calls=[call("a", '{"x": ')]))
    assert made["content"][0]["input"] == {"INVALID_JSON": '{"x": '}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (said("stop", content="x"), "end_turn"),
        (said("length", content="x"), "max_tokens"),
        (said("content_filter", content="x"), "refusal"),
        (said("stop", content=None, refusal="I will not."), "refusal"),
        (said("stop", content=None, tool_calls=[call("a", "{}")]), "tool_use"),
        (said("tool_calls", content="x", tool_calls=[]), "end_turn"),
        (said("length", content=None, tool_calls=[call("a", "{}")]), "max_tokens"),
        (said(None, content="x"), "end_turn"),
    ],
)
def test_reasons_to_stop(given: Json, reason: str) -> None:
    assert sound_message(answer(to_chat(), given))["stop_reason"] == reason


def test_the_text_that_ended_it_is_told_where_the_server_says_it() -> None:
    given = said("stop", content="x")
    given["choices"][0]["stop_reason"] = "END"
    made = answer(to_chat(), given)
    assert (made["stop_reason"], made["stop_sequence"]) == ("stop_sequence", "END")


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (None, (0, 0, 0, 0)),
        ({"prompt_tokens": 9, "completion_tokens": 2}, (9, 0, 0, 2)),
        (
            {"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3}},
            (2, 3, 4, 0),
        ),
        ({"prompt_tokens": 9, "prompt_cache_hit_tokens": 4}, (5, 0, 4, 0)),
        ({"prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}}, (0, 0, 3, 0)),
        ({"prompt_tokens": -1, "completion_tokens": "5"}, (0, 0, 0, 0)),
    ],
)
def test_usage(usage: Any, expected: tuple[int, int, int, int]) -> None:
    made = answer(to_chat(), {**ANSWER, "usage": usage})["usage"]
    names = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")
    assert tuple(made[name] for name in names) == expected


@pytest.mark.parametrize(
    ("tier", "expected"), [("default", "standard"), ("priority", "priority"), ("flex", None)]
)
def test_the_tier_stands_in_usage(tier: str, expected: str | None) -> None:
    made = sound_message(answer(to_chat(), {**ANSWER, "service_tier": tier}))
    assert made["usage"].get("service_tier") == expected


@pytest.mark.parametrize(
    "garbage", [b"", b"null", b"<html>", b"{}", b'{"choices":[]}', b'{"choices":[{"message":{"content":5}}]}']
)
def test_what_is_no_completion_is_a_bad_answer(garbage: bytes) -> None:
    with pytest.raises(BadAnswer):
        to_chat().answer(garbage)


# Errors


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (402, "billing_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (413, "request_too_large"),
        (422, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (502, "api_error"),
        (504, "timeout_error"),
        (529, "overloaded_error"),
    ],
)
def test_errors_are_told_by_their_status(status: int, kind: str) -> None:
    told = {"error": {"message": "No.", "type": "x", "param": None, "code": None}}
    made = json.loads(to_chat().error(status, json.dumps(told).encode()))
    assert made == {"type": "error", "error": {"type": kind, "message": "No."}}


def test_a_prompt_that_is_too_long_is_told_in_the_words_that_claude_code_knows() -> None:
    told = {"error": {"message": "Maximum is 8192 tokens.", "code": "context_length_exceeded"}}
    made = json.loads(to_chat().error(400, json.dumps(told).encode()))
    assert made["error"] == {
        "type": "invalid_request_error",
        "message": "prompt is too long: Maximum is 8192 tokens.",
    }


@pytest.mark.parametrize(
    "garbage", [b"", b"<html>", b"[]", b'{"error":7}', b'{"error":{"message":7,"code":[]}}']
)
def test_an_error_of_no_form_is_told_too(garbage: bytes) -> None:
    told = json.loads(to_chat().error(502, garbage))
    assert told == {"type": "error", "error": {"type": "api_error", "message": "The provider answered 502."}}


def test_errors_in_the_words_of_small_servers() -> None:
    for given in (b'{"error":"No."}', b'{"detail":"No."}', b'{"message":"No."}'):
        assert json.loads(to_chat().error(500, given))["error"]["message"] == "No."


# Streams


def chunk(finish: str | None = None, **delta: Any) -> Json:
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "llama",
        "choices": choices,
    }


def piece(index: int, arguments: str = "", **head: Any) -> Json:
    name = {"name": head.pop("name")} if "name" in head else {}
    return {"index": index, **head, "function": {**name, "arguments": arguments}}


def usage(**told: Any) -> Json:
    return {**chunk(), "choices": [], "usage": told}


def types(events: list[Json]) -> list[str]:
    """Each event in a word: the kind of what starts, and the number of what stops."""
    names = []
    for event in events:
        match event:
            case {"type": "content_block_start", "content_block": block}:
                names.append(f"{block['type']} {event['index']}")
            case {"type": "content_block_stop"}:
                names.append(f"stop {event['index']}")
            case _:
                names.append(event["type"])
    return names


def test_a_stream_of_text() -> None:
    events = streamed(
        to_chat().stream(),
        [
            chunk(role="assistant", content=""),
            chunk(content="Hel"),
            chunk(content="lo"),
            chunk("stop"),
            usage(prompt_tokens=9, completion_tokens=2, prompt_tokens_details={"cached_tokens": 4}),
        ],
    )
    assert events == [
        {
            "type": "message_start",
            "message": {
                "id": "chatcmpl-1",
                "type": "message",
                "role": "assistant",
                "model": "llama",
                "content": [],
                "stop_reason": None,
                "stop_sequence": None,
                "usage": {
                    "input_tokens": 0,
                    "cache_creation_input_tokens": 0,
                    "cache_read_input_tokens": 0,
                    "output_tokens": 0,
                },
            },
        },
        {"type": "content_block_start", "index": 0, "content_block": text("")},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hel"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "lo"}},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {
                "input_tokens": 5,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 4,
                "output_tokens": 2,
            },
        },
        {"type": "message_stop"},
    ]


def test_a_verdict_of_the_prompt_before_the_answer_does_not_begin_it() -> None:
    verdict = {
        **chunk(),
        "id": "",
        "model": "",
        "choices": [],
        "prompt_filter_results": [{"prompt_index": 0}],
    }
    made = message(streamed(to_chat().stream(), [verdict, chunk(content="x"), chunk("stop")]))
    assert (made["id"], made["model"]) == ("chatcmpl-1", "llama")


def test_text_is_told_as_it_comes() -> None:
    stream = to_chat().stream()
    stream.feed(json.dumps(chunk(role="assistant")).encode())
    for word in ("a", "b", "c"):
        told = b"".join(stream.feed(json.dumps(chunk(content=word)).encode()))
        assert f'"text":"{word}"'.encode() in told


def test_thoughts_text_and_calls_are_blocks_one_after_another() -> None:
    events = streamed(
        to_chat().stream(),
        [
            chunk(role="assistant", reasoning_content="H"),
            chunk(reasoning_content="m"),
            chunk(content="Let me see."),
            chunk(tool_calls=[piece(0, id="call_1", name="a")]),
            chunk(tool_calls=[piece(0, '{"x":')]),
            chunk(tool_calls=[piece(0, "1}")]),
            chunk(tool_calls=[piece(1, "{}", id="call_2", name="b")]),
            chunk("tool_calls"),
        ],
    )
    starts = ["thinking 0", "text 1", "tool_use 2", "tool_use 3"]
    assert [name for name in types(events) if name in starts] == starts
    assert message(events)["content"] == [
        {"type": "thinking", "thinking": "Hm", "signature": ""},
        text("Let me see."),
        used("call_1", "a", x=1),
        used("call_2", "b"),
    ]
    assert message(events)["stop_reason"] == "tool_use"


def test_calls_that_interleave_are_told_one_after_another() -> None:
    events = streamed(
        to_chat().stream(),
        [
            chunk(tool_calls=[piece(0, id="call_1", name="a"), piece(1, id="call_2", name="b")]),
            chunk(tool_calls=[piece(0, '{"x":'), piece(1, '{"y":')]),
            chunk(tool_calls=[piece(1, '{"z":2}')]),
            chunk(tool_calls=[piece(0, "1}")]),
            chunk(tool_calls=[piece(1, "}")]),
            chunk("tool_calls"),
        ],
    )
    assert types(events) == [
        "message_start",
        "tool_use 0",
        "content_block_delta",
        "content_block_delta",
        "stop 0",
        "tool_use 1",
        "content_block_delta",
        "content_block_delta",
        "stop 1",
        "message_delta",
        "message_stop",
    ]
    assert message(events)["content"] == [used("call_1", "a", x=1), used("call_2", "b", y={"z": 2})]


def test_a_second_call_is_told_at_once_when_the_first_is_whole() -> None:
    stream = to_chat().stream()
    stream.feed(json.dumps(chunk(tool_calls=[piece(0, '{"x":1}', id="call_1", name="a")])).encode())
    told = stream.feed(json.dumps(chunk(tool_calls=[piece(1, '{"y"', id="call_2", name="b")])).encode())
    assert types([json.loads(data) for data in told]) == ["stop 0", "tool_use 1", "content_block_delta"]


def test_text_between_the_pieces_of_a_call_waits() -> None:
    pieces = [piece(0, '{"x":', id="call_1", name="a")], [piece(0, "1}")]
    events = streamed(
        to_chat().stream(),
        [chunk(tool_calls=pieces[0]), chunk(content="Hm."), chunk(tool_calls=pieces[1]), chunk("tool_calls")],
    )
    assert message(events)["content"] == [used("call_1", "a", x=1), text("Hm.")]


def test_servers_that_number_badly_or_not_at_all() -> None:
    same = [chunk(tool_calls=[piece(0, "{}", id=f"call_{n}", name="a")]) for n in (1, 2)]
    bare = [
        chunk(tool_calls=[{"id": f"call_{n}", "function": {"name": "a", "arguments": "{}"}}]) for n in (1, 2)
    ]
    null = [
        chunk(tool_calls=[{**chunked["choices"][0]["delta"]["tool_calls"][0], "index": None}])
        for chunked in same
    ]
    for chunks in (same, bare, null):
        content = message(streamed(to_chat().stream(), [*chunks, chunk("tool_calls")]))["content"]
        assert content == [used("call_1", "a"), used("call_2", "a")]


@pytest.mark.parametrize("number", [None, 0])
def test_calls_without_ids_are_told_apart_by_their_names_and_ends(number: int | None) -> None:
    def told(**function: str) -> Json:
        return chunk(tool_calls=[{"function": function} | ({} if number is None else {"index": number})])

    chunks = [
        told(name="a", arguments='{"x":'),
        told(name="a", arguments=""),  # some say the name with each piece
        told(arguments="1}"),
        told(name="a", arguments=""),
        told(name="a", arguments="{}"),
        told(name="b", arguments="{}"),
    ]
    content = message(streamed(to_chat().stream(), [*chunks, chunk("tool_calls")]))["content"]
    ids = [f"call_chatcmpl-1_{n}" for n in range(3)]
    assert content == [used(ids[0], "a", x=1), used(ids[1], "a"), used(ids[2], "b")]


def test_pieces_with_ids_and_no_number_find_their_calls() -> None:
    def told(id: str, **function: str) -> Json:
        return chunk(tool_calls=[{"id": id, "function": function}])

    chunks = [
        told("1", name="a", arguments='{"x":'),
        told("2", name="b", arguments="{"),
        told("1", arguments="1}"),
    ]
    content = message(streamed(to_chat().stream(), [*chunks, told("2", arguments="}")]))["content"]
    assert content == [used("1", "a", x=1), used("2", "b")]


def test_a_new_id_with_each_piece_of_a_numbered_call_is_no_new_call() -> None:
    chunks = [
        chunk(tool_calls=[piece(0, '{"x"', id="1", name="a")]),
        chunk(tool_calls=[piece(0, ":1}", id="2")]),
    ]
    assert message(streamed(to_chat().stream(), chunks))["content"] == [used("1", "a", x=1)]


def test_a_call_has_the_name_that_was_told_first() -> None:
    chunks = [
        chunk(tool_calls=[piece(0, id="1", name="a")]),
        chunk(tool_calls=[piece(0, '{"x":', id="1", name="other")]),
        chunk(tool_calls=[piece(0, "1}", name="a")]),
    ]
    assert message(streamed(to_chat().stream(), chunks))["content"] == [used("1", "a", x=1)]


def test_the_one_call_that_older_servers_tell_is_a_call() -> None:
    chunks = [
        chunk(function_call={"name": "a", "arguments": ""}),
        chunk(function_call={"arguments": '{"x":1}'}),
    ]
    made = message(streamed(to_chat().stream(), [*chunks, chunk("function_call")]))
    assert made["content"] == [used("call_chatcmpl-1_0", "a", x=1)]
    assert made["stop_reason"] == "tool_use"
    whole = said("function_call", content=None, function_call={"name": "a", "arguments": '{"x":1}'})
    made = answer(to_chat(), whole)
    assert (made["content"], made["stop_reason"]) == ([used("call_chatcmpl-1_0", "a", x=1)], "tool_use")
    both = said("tool_calls", tool_calls=[call("a", "{}")], function_call={"name": "a", "arguments": "{}"})
    assert answer(to_chat(), both)["content"] == [used("call_1", "a")]


def test_an_id_or_a_name_may_come_late_or_never() -> None:
    late = [chunk(tool_calls=[piece(0, '{"x"')]), chunk(tool_calls=[piece(0, ":1}", id="call_1", name="a")])]
    assert message(streamed(to_chat().stream(), late))["content"] == [used("call_1", "a", x=1)]
    no_id = [chunk(tool_calls=[piece(0, "{}", name="a")])]
    assert message(streamed(to_chat().stream(), no_id))["content"] == [used("call_chatcmpl-1_0", "a")]
    with pytest.raises(BadAnswer):
        streamed(to_chat().stream(), [chunk(tool_calls=[piece(0, "{}")])])


def test_a_refusal_in_a_stream() -> None:
    made = message(
        streamed(to_chat().stream(), [chunk(refusal="I will "), chunk(refusal="not."), chunk("stop")])
    )
    assert made["content"] == [text("I will not.")]
    assert made["stop_reason"] == "refusal"


def test_an_error_in_a_stream() -> None:
    given = {"error": {"message": "Slow down.", "code": 429}}
    [_, error] = streamed(to_chat().stream(), [chunk(content=""), given])[:2]
    assert error == {"type": "error", "error": {"type": "rate_limit_error", "message": "Slow down."}}


@pytest.mark.parametrize(("finish", "reason"), [("length", "max_tokens"), ("content_filter", "refusal")])
def test_why_a_stream_ended(finish: str, reason: str) -> None:
    made = message(streamed(to_chat().stream(), [chunk(content="x"), chunk(finish), usage(prompt_tokens=1)]))
    assert made["stop_reason"] == reason


def test_an_empty_reason_is_none() -> None:
    chunks = [chunk("", content="x"), chunk("length"), chunk("")]
    assert message(streamed(to_chat().stream(), chunks))["stop_reason"] == "max_tokens"


def test_the_end_is_told_once_and_never_of_nothing() -> None:
    stream = to_chat().stream()
    assert stream.end() == []
    stream.feed(json.dumps(chunk("stop", content="x")).encode())
    assert types([json.loads(data) for data in stream.end()])[-1] == "message_stop"
    assert stream.end() == []


def test_other_choices_are_not_told() -> None:
    other = chunk(content="b")
    other["choices"][0]["index"] = 1
    made = message(streamed(to_chat().stream(), [chunk(content="a"), other, chunk("stop")]))
    assert made["content"] == [text("a")]


@pytest.mark.parametrize(
    "garbage", [b"[]", b"{", b'{"choices":{}}', b'{"choices":[{"delta":{"content":1}}]}']
)
def test_an_event_of_no_form_is_a_bad_answer(garbage: bytes) -> None:
    with pytest.raises(BadAnswer):
        to_chat().stream().feed(garbage)


def test_a_large_picture_passes_whole() -> None:
    data = base64.b64encode(bytes(2_000_000)).decode()
    source = {"type": "base64", "media_type": "image/png", "data": data}
    [user] = told({"role": "user", "content": [{"type": "image", "source": source}]})
    assert user["content"][0]["image_url"]["url"] == f"data:image/png;base64,{data}"
