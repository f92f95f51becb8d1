"""Answers and errors of chat completions -> the Messages API."""

from typing import Any

from providers.translation import messages_shapes
from providers.translation.reading import (
    Json,
    Malformed,
    an_object,
    objects,
    optional_text,
    parse_object,
    part,
    text,
)
from providers.translation.told_calls import calls_of

# What Anthropic's own documentation says to hand on where a model wrote no sound JSON.
_NO_JSON = "INVALID_JSON"
_TOO_LONG = "prompt is too long"  # Claude Code shortens its conversation when it reads this


def whole(answer: Json) -> Json:
    """A `message`."""
    choices = list(objects(answer.get("choices"), "choices"))
    if not choices:
        raise Malformed("'choices' holds no answer.", "choices")
    choice, where = choices[0]
    message = an_object(choice.get("message"), f"{where}.message")
    where = f"{where}.message"
    refusal = optional_text(message.get("refusal"), f"{where}.refusal")
    name = optional_text(answer.get("id"), "id")
    given = calls_of(message, where)
    calls = [_tool_use(call, place, made_id(name, index)) for index, (call, place) in enumerate(given)]
    words = [content(message.get("content"), f"{where}.content"), refusal]
    blocks = _thoughts(message, where) + [{"type": "text", "text": each} for each in words if each] + calls
    usage = messages_shapes.usage(answer.get("usage")) | messages_shapes.tier(answer.get("service_tier"))
    return {
        "id": name,
        "type": "message",
        "role": "assistant",
        "model": optional_text(answer.get("model"), "model"),
        "content": blocks,
        **messages_shapes.stop(choice, called=bool(calls), refused=bool(refusal)),
        "usage": usage,
    }


def content(value: object, where: str) -> str:
    """What was said: text, or parts of text as Mistral has it for models that think."""
    if not isinstance(value, list):
        return optional_text(value, where)
    parts = list(objects(value, where))
    return "".join(text(each.get("text"), f"{at}.text") for each, at in parts if each.get("type") == "text")


def reasoning(message: Json) -> str:
    """What the model thought, under either of the names that servers have for it."""
    told = [message.get(name) for name in ("reasoning_content", "reasoning")]
    return next((each for each in told if isinstance(each, str) and each), "")


def made_id(answer: str, index: int) -> str:
    """An id for a call whose server gave none; no two of a conversation are alike."""
    return f"call_{answer}_{index}" if answer else f"call_{index}"


def _thoughts(message: Json, where: str) -> list[Json]:
    signed: list[Json] = []
    for block, place in objects(message.get("thinking_blocks"), f"{where}.thinking_blocks"):
        match block.get("type"):
            case "thinking":
                words = optional_text(block.get("thinking"), f"{place}.thinking")
                signature = optional_text(block.get("signature"), f"{place}.signature")
                signed.append(thinking_block(words, signature))
            case "redacted_thinking":
                data = text(block.get("data"), f"{place}.data")
                signed.append({"type": "redacted_thinking", "data": data})
    thought = reasoning(message)
    return signed or ([thinking_block(thought)] if thought else [])


def thinking_block(words: str, signature: str = "") -> Json:
    return {"type": "thinking", "thinking": words, "signature": signature}


def _tool_use(call: Json, where: str, spare_id: str) -> Json:
    function = an_object(call.get("function"), f"{where}.function")
    return {
        "type": "tool_use",
        "id": optional_text(call.get("id"), f"{where}.id") or spare_id,
        "name": text(function.get("name"), f"{where}.function.name"),
        "input": arguments(optional_text(function.get("arguments"), f"{where}.function.arguments")),
    }


def arguments(given: str) -> dict[str, Any]:
    """A call's arguments as an object, even if the model wrote none."""
    if not given.strip():
        return {}
    try:
        return parse_object(given)
    except Malformed:
        return {_NO_JSON: given}


def error(status: int, body: bytes) -> Json:
    """An error of any form as the Messages API tells it."""
    try:
        told = parse_object(body)
    except Malformed:
        told = {}
    return error_of(told.get("error", told), status)


def error_of(told: object, status: int) -> Json:
    """The wire's `error` object. In a stream `status` is 500, and the error's own code counts."""
    inner = {"message": told} if isinstance(told, str) else part(told)
    message, code = inner.get("message") or inner.get("detail"), inner.get("code")
    if not isinstance(message, str):
        message = f"The provider answered {status}."
    if code == "context_length_exceeded" and _TOO_LONG not in message.lower():
        return messages_shapes.error(f"{_TOO_LONG}: {message}", "invalid_request_error")
    if isinstance(code, int) and status == 500 and 400 <= code < 600:
        status = code
    return messages_shapes.error(message, messages_shapes.error_type(status))
