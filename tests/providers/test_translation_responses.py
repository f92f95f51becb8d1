"""Responses for providers that know only chat: each mapping, streams that SDKs accept, and garbage."""

import itertools
import json
import re
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai import omit
from openai._models import construct_type
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response, ResponseFailedEvent, ResponseStreamEvent
from pydantic import TypeAdapter

from providers.sse import EventReader
from providers.translation import BadAnswer, Untranslatable
from providers.translation.responses_to_chat import ResponsesToChat
from tests.providers.test_translation_properties import anything, damaged
from tests.providers.translating import Json, answer, check_chat_request, request, streamed

EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
WEATHER = {
    "type": "function",
    "name": "weather",
    "parameters": {"type": "object", "properties": {}},
    "strict": True,
}
PATCH = {
    "type": "custom",
    "name": "apply_patch",
    "description": "Edits files.",
    "format": {"type": "grammar", "syntax": "lark", "definition": "start: X"},
}


def translation() -> ResponsesToChat:
    return ResponsesToChat("n", 1_700_000_000, keep_thoughts=True)


def sent(**fields: Any) -> Json:
    made = request(translation(), {"model": "m", "input": "Hi", **fields})
    del made["model"]
    return made


def refused(**fields: Any) -> str | None:
    with pytest.raises(Untranslatable) as found:
        sent(**fields)
    assert "model" not in request(translation(), {"model": "m", "input": "Hi", **fields}, drop=True).get(
        "tools", []
    )
    return found.value.param


def messages(*items: Json, **fields: Any) -> list[Json]:
    made: list[Json] = sent(input=list(items), **fields)["messages"]
    return made


# --- requests ----------------------------------------------------------------------------------


def test_text_is_a_message_of_the_user_behind_the_instructions() -> None:
    assert sent(instructions="Be kind.")["messages"] == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hi"},
    ]


def test_what_developers_say_first_is_one_system_message() -> None:
    told = messages(
        {"role": "developer", "content": [{"type": "input_text", "text": "b"}]},
        {"role": "user", "content": "c"},
        instructions="a",
    )
    assert told == [{"role": "system", "content": "a\n\nb"}, {"role": "user", "content": "c"}]


def test_a_turn_with_words_thoughts_and_parallel_calls_is_one_message() -> None:
    told = messages(
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "x"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look."}]},
        {"type": "function_call", "call_id": "1", "name": "weather", "arguments": "{}"},
        {"type": "custom_tool_call", "call_id": "2", "name": "apply_patch", "input": "*** a"},
        {"type": "function_call_output", "call_id": "1", "output": "sun"},
        {
            "type": "custom_tool_call_output",
            "call_id": "2",
            "output": [{"type": "input_text", "text": "done"}],
        },
    )
    assert told == [
        {
            "role": "assistant",
            "content": "I look.",
            "reasoning_content": "hm",
            "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": "weather", "arguments": "{}"}},
                {
                    "id": "2",
                    "type": "function",
                    "function": {"name": "apply_patch", "arguments": '{"input":"*** a"}'},
                },
            ],
        },
        {"role": "tool", "tool_call_id": "1", "content": "sun"},
        {"role": "tool", "tool_call_id": "2", "content": "done"},
    ]


def test_parts_of_what_the_assistant_said_are_one_text() -> None:
    def part(words: str) -> Json:
        return {"type": "output_text", "text": words}

    [first, _, second] = messages(
        {"type": "message", "role": "assistant", "content": [part("Hel"), part("lo")]},
        {"role": "user", "content": "Hm?"},
        {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "N"}, part("a")]},
        {"type": "message", "role": "assistant", "content": "b"},
    )
    assert first == {"role": "assistant", "content": "Hello"}
    assert second == {"role": "assistant", "content": "a\nb", "refusal": "N"}


def test_pictures_and_files_are_parts() -> None:
    image = {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "low"}
    file = {"type": "input_file", "file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"}
    [told] = messages({"role": "user", "content": [{"type": "input_text", "text": "x"}, image, file]})
    assert told["content"] == [
        {"type": "text", "text": "x"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"}},
    ]


def test_a_picture_that_a_tool_gave_follows_the_results() -> None:
    image = {"type": "input_image", "image_url": "https://x/y.png"}
    told = messages(
        {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "1", "output": [image]},
        {"role": "user", "content": "And?"},
    )
    assert [each["role"] for each in told] == ["assistant", "tool", "user", "user"]
    assert told[2]["content"][1] == {"type": "image_url", "image_url": {"url": "https://x/y.png"}}
    assert (
        messages(
            {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "1", "output": [image]},
        )
        == told[:3]
    )


def test_thoughts_alone_are_no_turn() -> None:
    thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}
    assert messages(thought, {"role": "user", "content": "Hi"}) == [{"role": "user", "content": "Hi"}]


def test_tools_are_nested_and_free_ones_take_one_text() -> None:
    weather, patch = sent(tools=[WEATHER, PATCH], tool_choice="required", parallel_tool_calls=False)["tools"]
    assert weather["function"] == {"name": "weather", "parameters": WEATHER["parameters"], "strict": True}
    assert patch["function"]["parameters"]["required"] == ["input"]
    assert "start: X" in patch["function"]["description"]


@pytest.mark.parametrize(
    ("choice", "told", "names"),
    [
        ("none", "none", ["weather", "apply_patch"]),
        (
            {"type": "custom", "name": "apply_patch"},
            {"type": "function", "function": {"name": "apply_patch"}},
            ["weather", "apply_patch"],
        ),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "weather"}]},
            "required",
            ["weather"],
        ),
    ],
)
def test_what_to_choose(choice: object, told: object, names: list[str]) -> None:
    made = sent(tools=[WEATHER, PATCH], tool_choice=choice)
    assert made["tool_choice"] == told
    assert [tool["function"]["name"] for tool in made["tools"]] == names


def test_parameters_have_their_other_names() -> None:
    schema = {"type": "json_schema", "name": "s", "schema": {"type": "object"}, "strict": True}
    made = sent(
        max_output_tokens=9,
        temperature=0.5,
        top_p=0.9,
        reasoning={"effort": "low", "summary": "auto"},
        text={"format": schema, "verbosity": "low"},
        safety_identifier="u",
        stream=True,
        store=True,
        include=["reasoning.encrypted_content"],
        prompt_cache_key="k",
        metadata={"a": "b"},
        truncation="disabled",
        top_k=5,
    )
    del made["messages"]
    assert made == {
        "max_tokens": 9,
        "temperature": 0.5,
        "top_p": 0.9,
        "reasoning_effort": "low",
        "verbosity": "low",
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "s", "schema": {"type": "object"}, "strict": True},
        },
        "user": "u",
        "stream": True,
        "stream_options": {"include_usage": True},
        "top_k": 5,
    }


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"background": True}, "background"),
        ({"truncation": "auto"}, "truncation"),
        ({"include": ["file_search_call.results"]}, "include"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tool_choice": {"type": "file_search"}}, "tool_choice"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "name": "other"}, "tools": [WEATHER]}, "tool_choice"),
        ({"tool_choice": {"type": "custom", "name": "other"}}, "tool_choice"),
        (
            {
                "tool_choice": {
                    "type": "allowed_tools",
                    "mode": "auto",
                    "tools": [{"type": "function", "name": "other"}],
                },
                "tools": [WEATHER],
            },
            "tool_choice",
        ),
        ({"max_tool_calls": 3}, "max_tool_calls"),
        ({"tools": [{"type": "web_search"}, {"type": "image_generation"}]}, "tools[0].type"),
        ({"tools": [{"type": "file_search"}, WEATHER]}, "tools[0].type"),
        ({"tools": [{"type": "web_search"}, WEATHER], "tool_choice": {"type": "web_search"}}, "tool_choice"),
        ({"input": [{"type": "file_search_call", "id": "x"}]}, "input[0].type"),
        ({"input": [{"type": "mcp_list_tools", "id": "x"}]}, "input[0].type"),
        (
            {"tool_choice": {"type": "allowed_tools", "tools": [{"type": "mcp", "server_label": "x"}]}},
            "tool_choice.tools[0].type",
        ),
    ],
)
def test_what_cannot_be_said_is_named_and_may_be_dropped(fields: Json, param: str) -> None:
    assert refused(**fields) == param


def test_an_effort_is_refused_or_left_out_where_the_model_knows_none() -> None:
    def translation() -> ResponsesToChat:
        return ResponsesToChat("n", 1_700_000_000, untaken={"reasoning_effort"})

    body = {"model": "m", "input": "Hi", "reasoning": {"effort": "low", "summary": "auto"}}
    with pytest.raises(Untranslatable) as found:
        request(translation(), body)
    assert found.value.param == "reasoning.effort"
    left = translation()
    assert "reasoning_effort" not in request(left, body, drop=True)
    choice = {"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}
    told = answer(left, {"model": "m", "choices": [choice]})["reasoning"]
    assert told == {"effort": None, "summary": None}
    for asks_for_nothing in ({"effort": "none"}, {"effort": None}, {"summary": "auto"}):
        assert "reasoning_effort" not in request(translation(), {**body, "reasoning": asks_for_nothing})


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "input_image", "file_id": "file-1"}],
        [{"type": "input_file", "file_id": "file-1"}],
        [{"type": "input_file", "file_url": "https://x"}],
        [{"type": "computer_screenshot"}],
    ],
)
def test_content_is_never_dropped(content: list[Json]) -> None:
    body = json.dumps({"model": "m", "input": [{"role": "user", "content": content}]}).encode()
    for drop in (False, True):
        with pytest.raises(Untranslatable, match=r"input\[0\]\.content\[0\]"):
            translation().request(body, drop=drop)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "c"}, "conversation"),
        ({"prompt": {"id": "p"}}, "prompt"),
        *(
            ({"input": [{"type": kind, "id": "x", "call_id": "1"}]}, "input[0].type")
            for kind in (
                "item_reference",
                "local_shell_call",
                "shell_call",
                "shell_call_output",
                "apply_patch_call",
                "mcp_call",
                "mcp_approval_response",
                "image_generation_call",
                "compaction",
            )
        ),
        (
            {"input": [{"type": "function_call_output", "call_id": "1", "output": "x"}]},
            "input[0].call_id",
        ),
    ],
)
@pytest.mark.parametrize("drop", [False, True])
def test_what_was_said_or_got_is_never_dropped(fields: Json, param: str, drop: bool) -> None:
    with pytest.raises(Untranslatable) as found:
        request(translation(), {"model": "m", "input": "Hi", **fields}, drop=drop)
    assert found.value.param == param


@pytest.mark.parametrize("kind", ["web_search", "web_search_preview_2025_03_11", "tool_search"])
def test_what_a_provider_may_do_by_itself_is_no_more_than_an_offer_beside_other_tools(kind: str) -> None:
    asked = translation()
    tools = [{"type": kind}, {"type": "image_generation", "output_format": "png"}, WEATHER]
    made = request(asked, {"model": "m", "input": "Hi", "tools": tools, "tool_choice": "auto"})
    assert [tool["function"]["name"] for tool in made["tools"]] == ["weather"]
    assert [each.split(":")[0] for each in asked.left_out] == ["tools[0].type", "tools[1].type"]
    choice = {"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}
    assert answer(asked, {"model": "m", "choices": [choice]})["tools"] == [WEATHER]


NAMESPACE: Json = {
    "type": "namespace",
    "name": "mcp__files",
    "description": "Tools in the mcp__files namespace.",
    "tools": [{**WEATHER, "name": "read"}, PATCH],
}


def test_tools_in_a_namespace_are_functions_and_their_calls_go_back_into_it() -> None:
    asked = translation()
    call = {
        "type": "function_call",
        "call_id": "1",
        "namespace": "mcp__files",
        "name": "read",
        "arguments": "{}",
    }
    result = {"type": "function_call_output", "call_id": "1", "output": "x"}
    made = request(asked, {"model": "m", "input": [call, result], "tools": [NAMESPACE, WEATHER]})
    names = [tool["function"]["name"] for tool in made["tools"]]
    assert names == ["mcp__files__read", "mcp__files__apply_patch", "weather"]
    assert made["messages"][0]["tool_calls"][0]["function"]["name"] == "mcp__files__read"
    calls = [
        {"index": i, "id": str(i), "function": {"name": name, "arguments": '{"input":"x"}'}}
        for i, name in enumerate([*names, "other"])
    ]
    chunk = {"model": "m", "choices": [{"index": 0, "delta": {"tool_calls": calls}}]}
    events = streamed(asked.stream(), [chunk])
    for event in events:
        EVENT.validate_python(event, strict=True)
    told = [(item["type"], item.get("namespace"), item["name"]) for item in events[-1]["response"]["output"]]
    assert told == [
        ("function_call", "mcp__files", "read"),
        ("custom_tool_call", "mcp__files", "apply_patch"),
        ("function_call", None, "weather"),
        ("function_call", None, "other"),
    ]


def test_a_name_in_a_namespace_has_letters_and_a_length_that_chat_takes() -> None:
    def named(space: str, name: str) -> str:
        tools = [{"type": "namespace", "name": space, "tools": [{**WEATHER, "name": name}]}]
        function: str = sent(tools=tools)["tools"][0]["function"]["name"]
        return function

    assert named("mcp__files__", "read") == "mcp__files__read"
    long = {named("a" * 60, "read"), named("a" * 60, "write"), named("a.b", "c"), named("a b", "c")}
    assert len(long) == 4
    assert all(re.fullmatch("[a-zA-Z0-9_-]{1,64}", name) for name in long)
    assert refused_always(tools=[{"type": "namespace", "name": "a", "tools": [{"type": "x"}]}]) == (
        "tools[0].tools[0].type"
    )


def test_a_call_without_its_namespace_is_of_the_one_tool_of_that_name() -> None:
    others = {"type": "namespace", "name": "b", "tools": [{**WEATHER, "name": "write"}, PATCH]}
    asked = translation()
    request(asked, {"model": "m", "input": "Hi", "tools": [NAMESPACE, others]})
    calls = [
        {"index": i, "id": str(i), "function": {"name": name, "arguments": "{}"}}
        for i, name in enumerate(["write", "apply_patch"])
    ]
    chunk = {"model": "m", "choices": [{"index": 0, "delta": {"tool_calls": calls}}]}
    output = streamed(asked.stream(), [chunk])[-1]["response"]["output"]
    told = [(item.get("namespace"), item["name"], item["type"]) for item in output]
    assert told == [("b", "write", "function_call"), (None, "apply_patch", "function_call")]


def test_tools_that_an_item_adds_are_offered_too() -> None:
    item = {"type": "additional_tools", "role": "developer", "tools": [NAMESPACE, {"type": "web_search"}]}
    hello = {"type": "message", "role": "user", "content": "Hi"}
    made = sent(input=[item, hello], tools=[WEATHER], tool_choice="required")
    names = [tool["function"]["name"] for tool in made["tools"]]
    assert names == ["weather", "mcp__files__read", "mcp__files__apply_patch"]
    assert made["messages"] == [{"role": "user", "content": "Hi"}]
    newer = {**item, "tools": [{**WEATHER, "description": "New."}]}
    [weather] = sent(input=[newer], tools=[WEATHER])["tools"]
    assert weather["function"]["description"] == "New."
    assert refused_always(input=[{**item, "tools": [{"type": "function"}]}]) == "input[0].tools[0].name"


def test_two_tools_that_chat_would_take_for_one_are_refused() -> None:
    flat = {**WEATHER, "name": "mcp__files__read"}
    assert refused_always(tools=[NAMESPACE, flat]) == "tools[1].name"
    assert refused_always(tools=[WEATHER, {"type": "custom", "name": "weather"}]) == "tools[1].name"


def refused_always(**fields: Any) -> str | None:
    params = set()
    for drop in (False, True):
        with pytest.raises(Untranslatable) as found:
            request(translation(), {"model": "m", "input": "Hi", **fields}, drop=drop)
        params.add(found.value.param)
    [param] = params
    return param


def test_what_a_provider_searched_may_be_left_out_from_between_a_call_and_its_result() -> None:
    items: list[Json] = [
        {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
        {"type": "web_search_call", "id": "ws", "status": "completed"},
        {"type": "function_call_output", "call_id": "1", "output": "x"},
    ]
    asked = translation()
    told = request(asked, {"model": "m", "input": items})["messages"]
    assert [each["role"] for each in told] == ["assistant", "tool"]
    assert [each.split(":")[0] for each in asked.left_out] == ["input[1].type"]


def test_tools_without_a_name_are_not_among_the_allowed_ones() -> None:
    allowed = [{"type": "mcp", "server_label": "x"}, {"type": "function", "name": "weather"}]
    choice = {"type": "allowed_tools", "mode": "required", "tools": allowed}
    body = {"model": "m", "input": "Hi", "tools": [WEATHER, PATCH], "tool_choice": choice}
    made = request(translation(), body, drop=True)
    assert [tool["function"]["name"] for tool in made["tools"]] == ["weather"]
    assert made["tool_choice"] == "required"


# --- requests of real clients --------------------------------------------------------------------

SHELL = {
    "type": "function",
    "name": "shell",
    "description": "Runs a shell command and returns its output.",
    "strict": False,
    "parameters": {
        "type": "object",
        "properties": {"command": {"type": "array", "items": {"type": "string"}}},
        "required": ["command"],
        "additionalProperties": False,
    },
}
CODEX: Json = {
    "model": "m",
    "instructions": "You are a coding agent running in the Codex CLI.",
    "input": [
        {
            "type": "message",
            "role": "developer",
            "content": [{"type": "input_text", "text": "<permissions instructions>read-only"}],
        },
        {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "<environment_context><cwd>/src</cwd>"}],
        },
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Fix it."}]},
        {
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": "I look first."}],
            "content": None,
            "encrypted_content": "gAAAA",
        },
        {
            "type": "function_call",
            "name": "shell",
            "arguments": '{"command":["ls"]}',
            "call_id": "call_1",
        },
        {"type": "function_call_output", "call_id": "call_1", "output": "a.py"},
        {
            "type": "custom_tool_call",
            "status": "completed",
            "call_id": "call_2",
            "name": "apply_patch",
            "input": "*** Begin Patch",
        },
        {"type": "custom_tool_call_output", "call_id": "call_2", "output": "Success."},
    ],
    "tools": [SHELL, PATCH, {"type": "web_search", "external_web_access": False}],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "reasoning": {"effort": "medium", "summary": "auto"},
    "store": False,
    "stream": True,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "0199-aa",
    "text": {"verbosity": "medium"},
    "client_metadata": {"x-codex-installation-id": "1"},
}


def test_a_request_of_codex() -> None:
    asked = translation()
    made = request(asked, CODEX)
    assert asked.left_out == ["tools[2].type: The provider has no tool 'web_search'."]
    check_chat_request(made)
    told, tools = made.pop("messages"), made.pop("tools")
    assert [each["role"] for each in told] == [
        "system",
        "user",
        "user",
        "assistant",
        "tool",
        "assistant",
        "tool",
    ]
    assert told[0]["content"].endswith("Codex CLI.\n\n<permissions instructions>read-only")
    assert told[3]["reasoning_content"] == "I look first."
    assert told[3]["tool_calls"][0]["function"]["arguments"] == '{"command":["ls"]}'
    assert told[5]["tool_calls"][0]["function"]["arguments"] == '{"input":"*** Begin Patch"}'
    assert [tool["function"]["name"] for tool in tools] == ["shell", "apply_patch"]
    assert tools[0]["function"]["parameters"] == SHELL["parameters"]
    assert made == {
        "model": "m",
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "reasoning_effort": "medium",
        "verbosity": "medium",
        "stream": True,
        "stream_options": {"include_usage": True},
    }


AGENTS: Json = {
    "model": "m",
    "instructions": "You tell the weather.",
    "include": [],
    "input": [
        {"content": "How is Oslo?", "role": "user"},
        {
            "arguments": '{"city":"Oslo"}',
            "call_id": "call_1",
            "name": "weather",
            "type": "function_call",
            "id": "fc_n_0",
            "status": "completed",
        },
        {"call_id": "call_1", "output": "sun", "type": "function_call_output"},
        {
            "id": "msg_n_0",
            "content": [{"annotations": [], "text": "Sunny.", "type": "output_text", "logprobs": []}],
            "role": "assistant",
            "status": "completed",
            "type": "message",
        },
        {"content": "And Bergen?", "role": "user"},
    ],
    "tools": [WEATHER | {"description": "Weather of a city."}],
    "tool_choice": "required",
    "parallel_tool_calls": False,
    "previous_response_id": None,
    "conversation": None,
    "prompt": None,
    "temperature": 0.1,
    "max_output_tokens": 200,
    "metadata": {"run": "1"},
    "store": True,
    "text": {
        "format": {
            "type": "json_schema",
            "name": "final_output",
            "schema": {"type": "object", "properties": {}},
            "strict": True,
        }
    },
}


def test_a_request_of_openai_agents() -> None:
    made = request(translation(), AGENTS)
    check_chat_request(made)
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "weather", "arguments": '{"city":"Oslo"}'},
    }
    assert made["messages"] == [
        {"role": "system", "content": "You tell the weather."},
        {"role": "user", "content": "How is Oslo?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "sun"},
        {"role": "assistant", "content": "Sunny."},
        {"role": "user", "content": "And Bergen?"},
    ]
    assert made["tools"][0]["function"]["description"] == "Weather of a city."
    assert (made["tool_choice"], made["parallel_tool_calls"]) == ("required", False)
    assert made["response_format"]["json_schema"]["name"] == "final_output"
    assert made["max_tokens"] == 200
    assert "metadata" not in made


# --- answers -----------------------------------------------------------------------------------

words = st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=12)
calls = st.lists(
    st.builds(
        lambda name, arguments: {"type": "function", "function": {"name": name, "arguments": arguments}},
        st.sampled_from(["weather", "apply_patch"]),
        st.sampled_from(['{"input":"x"}', "{}", '{"input":"a\\nb"}']),
    ),
    max_size=3,
)


def logprob(letter: str, known: bool) -> Json:
    """As chat tells it; it may not know the bytes."""
    told = {"token": letter, "bytes": list(letter.encode()) if known else None, "logprob": -0.5}
    return told | {"top_logprobs": [told]}


@st.composite
def wholes(draw: st.DrawFn) -> Json:
    """Answers of chat completions."""
    message: Json = {"role": "assistant", "content": draw(words | st.none())}
    if thought := draw(words | st.just("")):
        message["reasoning_content"] = thought
    if refusal := draw(st.just("") | words):
        message["refusal"] = refusal
    if made := draw(calls):
        message["tool_calls"] = [call | {"id": f"call_{i}"} for i, call in enumerate(made)]
    prompt, completion = draw(st.tuples(st.integers(0, 999), st.integers(0, 999)))
    usage = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": prompt // 2},
        "completion_tokens_details": {"reasoning_tokens": completion // 3},
    }
    finish = draw(st.sampled_from(["stop", "length", "tool_calls", "content_filter"]))
    choice: Json = {"index": 0, "message": message, "finish_reason": finish}
    if message["content"] and draw(st.booleans()):
        known = draw(st.booleans())
        choice["logprobs"] = {"content": [logprob(letter, known) for letter in message["content"]]}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "m",
        "choices": [choice],
        "usage": usage,
    }


def chunks_of(whole: Json, cut: int) -> list[Json]:
    """The same answer as a stream, its texts and arguments in pieces of so many characters."""
    [choice] = whole["choices"]
    message = choice["message"]
    deltas: list[Json] = [{"role": "assistant", "content": ""}]
    for name in ("reasoning_content", "content", "refusal"):
        said = message.get(name) or ""
        deltas += [{name: said[i : i + cut]} for i in range(0, len(said), cut)]
    for index, call in enumerate(message.get("tool_calls", [])):
        function = call["function"]
        head = {"index": index, "id": call["id"], "type": "function"}
        deltas.append({"tool_calls": [head | {"function": {"name": function["name"], "arguments": ""}}]})
        for i in range(0, len(function["arguments"]), cut):
            piece = {"index": index, "function": {"arguments": function["arguments"][i : i + cut]}}
            deltas.append({"tool_calls": [piece]})
    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "m"}
    made: list[Json] = [
        base | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas
    ]
    told = (choice.get("logprobs") or {}).get("content", [])
    said = [chunk["choices"][0] for chunk in made if chunk["choices"][0]["delta"].get("content")]
    for i, each in enumerate(said):
        each["logprobs"] = {"content": told[i * cut : (i + 1) * cut]}
    made.append(base | {"choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]})
    return [*made, base | {"choices": [], "usage": whole["usage"]}]


def asked() -> ResponsesToChat:
    made = translation()
    request(made, {"model": "m", "input": "Hi", "tools": [WEATHER, PATCH]})
    return made


def read_back(response: Json) -> Json:
    """What the answer of chat said, out of the response."""
    said: Json = {"content": "", "reasoning_content": "", "refusal": "", "tool_calls": []}
    for item in response["output"]:
        match item["type"]:
            case "message":
                for part in item["content"]:
                    name = "refusal" if part["type"] == "refusal" else "content"
                    said[name] += part.get("refusal") or part.get("text")
            case "reasoning":
                said["reasoning_content"] += "".join(part["text"] for part in item["content"])
            case "function_call":
                said["tool_calls"].append((item["call_id"], item["name"], json.loads(item["arguments"])))
            case "custom_tool_call":
                given = json.loads("{}") if not item["input"] else item["input"]
                said["tool_calls"].append((item["call_id"], item["name"], given))
    return said


def told_by(whole: Json) -> Json:
    message = whole["choices"][0]["message"]
    made = []
    for call in message.get("tool_calls", []):
        name, arguments = call["function"]["name"], json.loads(call["function"]["arguments"])
        if name == "apply_patch" and "input" in arguments:
            arguments = arguments["input"]
        made.append((call["id"], name, arguments))
    texts = {name: message.get(name) or "" for name in ("content", "reasoning_content", "refusal")}
    return texts | {"tool_calls": made}


@settings(deadline=None)
@given(wholes())
def test_a_response_says_all_that_the_answer_said(whole: Json) -> None:
    response = answer(asked(), whole)
    Response.model_validate(response, strict=True)
    back, told = read_back(response), told_by(whole)
    # a free tool that was called without its one text hands on what it was given
    assert back["tool_calls"] == [
        (id, name, "{}" if name == "apply_patch" and given == {} else given)
        for id, name, given in told["tool_calls"]
    ]
    assert {**back, "tool_calls": 0} == {**told, "tool_calls": 0}
    usage = response["usage"]
    assert usage["input_tokens"] == whole["usage"]["prompt_tokens"]
    assert usage["output_tokens"] == whole["usage"]["completion_tokens"]
    assert usage["total_tokens"] == whole["usage"]["total_tokens"]
    told_logprobs = [
        each
        for item in response["output"]
        for part in item.get("content", [])
        for each in part.get("logprobs", [])
    ]
    asked_logprobs = (whole["choices"][0].get("logprobs") or {}).get("content", [])
    assert [each["token"] for each in told_logprobs] == [each["token"] for each in asked_logprobs]
    assert usage["output_tokens_details"]["reasoning_tokens"] == whole["usage"]["completion_tokens"] // 3
    finish = whole["choices"][0]["finish_reason"]
    status = {"length": "incomplete", "content_filter": "incomplete"}.get(finish, "completed")
    assert response["status"] == status


@settings(deadline=None)
@given(wholes(), st.integers(1, 7))
def test_a_stream_ends_with_the_same_response_and_every_event_is_sound(whole: Json, cut: int) -> None:
    events = streamed(asked().stream(), chunks_of(whole, cut))
    for event in events:
        EVENT.validate_python(event, strict=True)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert events[-1]["response"] == answer(asked(), whole)
    added = [event["item"]["id"] for event in events if event["type"] == "response.output_item.added"]
    done = {event["item"]["id"] for event in events if event["type"] == "response.output_item.done"}
    assert len(added) == len(set(added)) == len(done)
    for item in events[-1]["response"]["output"]:
        kinds = (
            "response.output_text.delta",
            "response.refusal.delta",
            "response.function_call_arguments.delta",
        )
        deltas = "".join(e["delta"] for e in events if e["type"] in kinds and e["item_id"] == item["id"])
        if item["type"] == "function_call":
            assert deltas == item["arguments"]
        if item["type"] == "message":
            assert deltas == "".join(p.get("text", "") + p.get("refusal", "") for p in item["content"])


@settings(deadline=None)  # the SDK builds its types at the first event
@given(wholes(), st.integers(1, 7))
def test_openais_sdk_puts_the_same_response_together(whole: Json, cut: int) -> None:
    state: ResponseStreamState[Any] = ResponseStreamState(input_tools=omit, text_format=omit)
    *events, last = streamed(asked().stream(), chunks_of(whole, cut))
    for event in events:
        state.handle_event(EVENT.validate_python(event))
    made = state._ResponseStreamState__current_snapshot.output  # type: ignore[attr-defined]
    told = last["response"]["output"]
    assert len(made) == len(told)
    for mine, its in zip(told, made, strict=True):
        assert (mine["type"], mine["id"]) == (its.type, its.id)
        match mine["type"]:
            case "message":
                said = [part["text"] for part in mine["content"] if part["type"] == "output_text"]
                assert [part.text for part in its.content if part.type == "output_text"] == said
            case "function_call":
                assert its.arguments == mine["arguments"]
    [ended] = state.handle_event(EVENT.validate_python(last))
    assert ended.type == last["type"]


def test_the_events_of_thoughts_and_of_a_free_tool_come_in_the_order_of_the_api() -> None:
    function = {"name": "apply_patch", "arguments": '{"input":"*** a"}'}
    message = {
        "content": None,
        "reasoning_content": "hmmm",
        "tool_calls": [{"id": "a", "type": "function", "function": function}],
    }
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    events = streamed(asked().stream(), chunks_of({"choices": [choice], "usage": None}, 2))
    assert [event["type"].removeprefix("response.") for event in events] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "reasoning_text.delta",
        "reasoning_text.delta",
        "reasoning_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "custom_tool_call_input.delta",
        "custom_tool_call_input.done",
        "output_item.done",
        "completed",
    ]
    thoughts, free = events[2:9], events[9:13]
    assert [event["delta"] for event in thoughts[2:4]] == ["hm", "mm"]
    assert thoughts[4]["text"] == thoughts[5]["part"]["text"] == "hmmm"
    assert thoughts[6]["item"]["content"] == [{"type": "reasoning_text", "text": "hmmm"}]
    assert {event["output_index"] for event in thoughts} == {0}
    assert {event["item_id"] for event in thoughts[1:6]} == {thoughts[0]["item"]["id"]}
    assert free[0]["item"]["input"] == ""
    assert free[1]["delta"] == free[2]["input"] == free[3]["item"]["input"] == "*** a"
    assert {event["output_index"] for event in free} == {1}
    assert {event["item_id"] for event in free[1:3]} == {free[0]["item"]["id"]}


def test_a_stream_that_said_nothing_has_no_response() -> None:
    assert streamed(asked().stream(), []) == []


def test_calls_that_interleave_stay_apart() -> None:
    def piece(index: int, arguments: str, **head: Any) -> Json:
        function = {"arguments": arguments} | ({"name": head.pop("name")} if "name" in head else {})
        call = {"index": index, "function": function, **head}
        return {"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}

    chunks = [
        piece(0, "", id="a", name="weather"),
        piece(1, "", id="b", name="weather"),
        piece(0, '{"x"'),
        piece(1, "{}"),
        piece(0, ":1}"),
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
    ]
    output = streamed(asked().stream(), chunks)[-1]["response"]["output"]
    assert [(item["call_id"], item["arguments"]) for item in output] == [("a", '{"x":1}'), ("b", "{}")]


def test_a_verdict_of_the_prompt_before_the_answer_does_not_begin_it() -> None:
    verdict = {"id": "", "model": "", "choices": [], "prompt_filter_results": [{"prompt_index": 0}]}
    choice = {"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"}
    created = streamed(asked().stream(), [verdict, {"model": "llama", "choices": [choice]}])[0]
    assert (created["type"], created["response"]["model"]) == ("response.created", "llama")


def test_calls_without_a_number_are_told_apart_by_their_ids() -> None:
    def call(id: str) -> Json:
        told = {"index": None, "id": id, "function": {"name": "weather", "arguments": "{}"}}
        return {"choices": [{"index": 0, "delta": {"tool_calls": [told]}}]}

    output = streamed(asked().stream(), [call("a"), call("b")])[-1]["response"]["output"]
    assert [item["call_id"] for item in output] == ["a", "b"]


def test_calls_without_a_number_and_an_id_are_told_apart_by_their_names_and_ends() -> None:
    def piece(**function: str) -> Json:
        return {"choices": [{"index": 0, "delta": {"tool_calls": [{"function": function}]}}]}

    told = [
        piece(name="weather", arguments='{"city":'),
        piece(arguments='"Bonn"}'),
        piece(name="weather", arguments='{"city":"Rome"}'),
        piece(name="time", arguments=""),
        piece(arguments="{}"),
    ]
    output = streamed(asked().stream(), told)[-1]["response"]["output"]
    assert [(item["name"], item["arguments"]) for item in output] == [
        ("weather", '{"city":"Bonn"}'),
        ("weather", '{"city":"Rome"}'),
        ("time", "{}"),
    ]
    assert len({item["call_id"] for item in output}) == 3


def test_the_one_call_that_older_servers_tell_is_a_call() -> None:
    def piece(**function: str) -> Json:
        return {"choices": [{"index": 0, "delta": {"content": None, "function_call": function}}]}

    finish = {"choices": [{"index": 0, "delta": {}, "finish_reason": "function_call"}]}
    told = [piece(name="weather", arguments=""), piece(arguments='{"a"'), piece(arguments=":1}"), finish]
    [item] = streamed(asked().stream(), told)[-1]["response"]["output"]
    assert (item["type"], item["name"], item["arguments"]) == ("function_call", "weather", '{"a":1}')
    message = {"content": None, "function_call": {"name": "weather", "arguments": '{"a":1}'}}
    whole = answer(
        asked(), {"model": "m", "choices": [{"message": message, "finish_reason": "function_call"}]}
    )
    [alike] = whole["output"]
    assert {**alike, "id": item["id"], "call_id": item["call_id"]} == item


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        ('{"input":"*** Begin', "*** Begin"),
        ('{ "input": "a\\nb\\', "a\nb"),
        ('{"input":"a\\u00', "a"),
        ('{"input":"a\\u00e4', "a\u00e4"),
        ('{"input":"\\ud83d\\ude00', "\U0001f600"),
        ('{"input":"a\\ud83d', "a"),
        ('{"input":"a\\"b"', 'a"b'),
        ('{"input":"a\nb', "a\nb"),
        ('{"input":', ""),
        ('{"in', ""),
        ("*** Begin", "*** Begin"),
        ('{"patch":"a', '{"patch":"a'),
    ],
)
def test_of_a_free_text_that_was_cut_off_there_is_what_came(arguments: str, given: str) -> None:
    call = {"index": 0, "id": "a", "function": {"name": "apply_patch", "arguments": arguments}}
    chunk = {"choices": [{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": "length"}]}
    events = streamed(asked().stream(), [chunk])
    [item] = events[-1]["response"]["output"]
    assert (item["input"], item["status"]) == (given, "incomplete")
    for event in events:
        EVENT.validate_python(event, strict=True)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"code": "insufficient_quota"}, "insufficient_quota"),
        ({"code": "context_length_exceeded"}, "context_length_exceeded"),
        ({"code": 400, "message": "This model's maximum context length is 4096."}, "context_length_exceeded"),
        ({"code": 429, "message": "Too many tokens in this minute."}, "rate_limit_exceeded"),
    ],
)
def test_what_codex_looks_for_in_an_error_of_a_stream_is_said_as_openai_says_it(
    error: Json, code: str
) -> None:
    begun = {"model": "m", "choices": [{"index": 0, "delta": {"content": "Hel"}}]}
    event = streamed(asked().stream(), [begun, {"error": {"message": "no", **error}}])[-1]
    told = construct_type(type_=ResponseStreamEvent, value=event)
    assert isinstance(told, ResponseFailedEvent)
    assert told.response.error is not None
    assert (told.response.error.code, told.response.error.message) == (code, error.get("message", "no"))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"code": "overloaded"}, "server_error"),
        ({"code": 429}, "rate_limit_exceeded"),
        ({"code": None, "type": "rate_limit_error"}, "rate_limit_exceeded"),
        ({"code": "invalid_prompt"}, "invalid_prompt"),
        ({"code": ["x"], "type": {}}, "server_error"),
    ],
)
def test_a_stream_that_reports_an_error_fails_with_a_code_that_sdks_know(error: Json, code: str) -> None:
    begun = {"model": "m", "choices": [{"index": 0, "delta": {"content": "Hel"}}]}
    event = streamed(asked().stream(), [begun, {"error": {"message": "no", **error}}])[-1]
    EVENT.validate_python(event, strict=True)
    assert event["type"] == "response.failed"
    assert event["response"]["error"] == {"code": code, "message": "no"}


def test_the_name_of_a_call_may_come_after_its_id() -> None:
    def piece(**call: Any) -> Json:
        return {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, **call}]}}]}

    finish = {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}
    head, named = piece(id="a", function={}), piece(function={"name": "apply_patch", "arguments": '{"inp'})
    events = streamed(asked().stream(), [head, named, piece(function={"arguments": 'ut":"x"}'}), finish])
    [item] = events[-1]["response"]["output"]
    assert (item["type"], item["call_id"], item["input"]) == ("custom_tool_call", "a", "x")
    for event in events:
        EVENT.validate_python(event, strict=True)
    with pytest.raises(BadAnswer):
        streamed(asked().stream(), [head, finish])
    # what was cut off may lack its name, and is not lost for it
    finish["choices"][0]["finish_reason"] = "length"
    assert streamed(asked().stream(), [head, finish])[-1]["type"] == "response.incomplete"


def test_an_empty_reason_to_finish_is_none() -> None:
    chunks = [
        {"model": "m", "choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": finish}]}
        for finish in ("", "length", "")
    ]
    assert streamed(asked().stream(), chunks)[-1]["type"] == "response.incomplete"


def test_the_echo_says_only_what_was_asked_of_the_provider() -> None:
    made = translation()
    body = {
        "model": "m",
        "input": "Hi",
        "truncation": "auto",
        "max_tool_calls": 3,
        "tools": [{"type": "web_search"}, WEATHER],
        "tool_choice": {"type": "web_search"},
        "reasoning": {"effort": "low", "summary": "auto"},
        "temperature": 0.5,
    }
    request(made, body, drop=True)
    choice = {"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}
    response = answer(made, {"model": "m", "choices": [choice]})
    Response.model_validate(response, strict=True)
    assert response["truncation"] == "disabled"
    assert response["max_tool_calls"] is None
    assert response["tools"] == [WEATHER]
    assert response["tool_choice"] == "auto"
    assert response["reasoning"] == {"effort": "low", "summary": None}
    assert response["temperature"] == 0.5


@given(wholes(), st.lists(st.integers(0, 4000), max_size=12))
def test_any_cut_of_the_bytes_gives_the_same_events(whole: Json, places: list[int]) -> None:
    chunks = chunks_of(whole, 3)
    stream = b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks)
    borders = sorted({0, len(stream), *(place % len(stream) for place in places)})
    reader, told = EventReader(10**6), asked().stream()
    heard: list[bytes] = []
    for start, end in itertools.pairwise(borders):
        heard += [out for data in reader.feed(stream[start:end]) for out in told.feed(data)]
    heard += told.end()
    assert [json.loads(data) for data in heard] == streamed(asked().stream(), chunks)


# --- garbage -----------------------------------------------------------------------------------

SOUND = {
    "model": "m",
    "instructions": "x",
    "input": [
        {
            "role": "user",
            "content": [{"type": "input_text", "text": "x"}, {"type": "input_image", "image_url": "u"}],
        },
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "x"}]},
        {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "1", "output": "x"},
    ],
    "tools": [WEATHER, PATCH],
    "tool_choice": {
        "type": "allowed_tools",
        "mode": "auto",
        "tools": [{"type": "function", "name": "weather"}],
    },
    "text": {"format": {"type": "json_schema", "name": "s", "schema": {}}},
    "reasoning": {"effort": "low"},
    "include": [],
    "stream": True,
    "max_output_tokens": 5,
}


@settings(max_examples=300)
@given(damaged(st.just(SOUND)), st.booleans())
def test_damaged_requests_are_translated_or_refused(body: Any, drop: bool) -> None:
    with suppress(Untranslatable):
        made = translation().request(json.dumps(body).encode(), drop=drop)
        assert isinstance(json.loads(made), dict)


@settings(max_examples=200)
@given(damaged(wholes()) | anything)
def test_damaged_answers_are_told_or_named(body: Any) -> None:
    made = asked()
    for told in (made.answer, made.stream().feed):
        with suppress(BadAnswer):
            told(json.dumps(body).encode())
    assert json.loads(made.error(500, json.dumps(body).encode()))["error"].keys() == {
        "message",
        "type",
        "param",
        "code",
    }
