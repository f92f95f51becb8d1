"""Answers and errors of the Messages API -> chat completions."""

from dataclasses import dataclass, field

from providers.translation.chat_shapes import Head, envelope, error_type
from providers.translation.reading import (
    Json,
    Malformed,
    count,
    objects,
    optional_text,
    parse_object,
    part,
    text,
    write,
)

_FINISHES = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_TIERS = {"standard": "default", "priority": "priority"}
# Type of the wire's error -> type and code that OpenAI's SDKs know.
_ERRORS: dict[str, tuple[str, str | None]] = {
    "invalid_request_error": ("invalid_request_error", None),
    "authentication_error": ("authentication_error", None),
    "permission_error": ("permission_error", None),
    "not_found_error": ("not_found_error", None),
    "rate_limit_error": ("rate_limit_error", "rate_limit_exceeded"),
    "billing_error": ("insufficient_quota", "insufficient_quota"),
    "request_too_large": ("invalid_request_error", "request_too_large"),
    "overloaded_error": ("server_error", "overloaded"),
    "timeout_error": ("server_error", "timeout"),
    "api_error": ("server_error", None),
}
_TOO_LONG = ("prompt is too long", "exceed context limit", "context window")
_FILTERED = "content filtering policy"


@dataclass(slots=True)
class Spent:
    """What the wire told of usage so far; later events hold the newer totals."""

    told: Json = field(default_factory=dict)

    def take(self, usage: object) -> None:
        self.told |= {name: value for name, value in part(usage).items() if value is not None}

    def usage(self) -> Json:
        """As chat tells it: the prompt includes what the cache held and what went into it."""
        read, made = count(self.told.get("cache_read_input_tokens")), count(self._written())
        prompt = count(self.told.get("input_tokens")) + read + made
        completion = count(self.told.get("output_tokens"))
        usage: Json = {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": read, "cache_write_tokens": made},
        }
        details = part(self.told.get("output_tokens_details"))
        if "thinking_tokens" in details:
            usage["completion_tokens_details"] = {"reasoning_tokens": count(details["thinking_tokens"])}
        return usage

    def extra(self) -> Json:
        """Fields beside `usage`."""
        tier = self.told.get("service_tier")
        known = _TIERS.get(tier) if isinstance(tier, str) else None
        return {"service_tier": known} if known else {}

    def _written(self) -> object:
        return self.told.get("cache_creation_input_tokens")


def whole(message: Json, created: int) -> Json:
    """A `chat.completion` of one choice."""
    if message.get("type") == "error":
        raise Malformed("It is an error and no message.")
    spent = Spent()
    spent.take(message.get("usage"))
    head = Head(created, optional_text(message.get("id"), "id"), optional_text(message.get("model"), "model"))
    choice = {
        "index": 0,
        "message": _message(message),
        "logprobs": None,
        "finish_reason": finish(message.get("stop_reason")),
    }
    return head.whole(choice, spent.usage(), spent.extra())


def _message(message: Json) -> Json:
    said: list[str] = []
    thoughts: list[Json] = []
    calls: list[Json] = []
    if "content" not in message:
        raise Malformed("'content' is missing.", "content")
    for block, where in objects(message["content"], "content"):
        match block.get("type"):
            case "text":
                said.append(text(block.get("text"), f"{where}.text"))
            case "thinking" | "redacted_thinking":
                thoughts.append(thought(block))
            case "tool_use":
                calls.append(_call(block, where))
            case _:
                pass  # of tools that the provider runs itself
    made: Json = {"role": "assistant", "content": "".join(said) if said or not calls else None}
    made["refusal"] = why_refused(message)
    if reasoning := "".join(each.get("thinking", "") for each in thoughts):
        made["reasoning_content"] = reasoning
    if thoughts:
        made["thinking_blocks"] = thoughts
    return made | ({"tool_calls": calls} if calls else {})


def _call(block: Json, where: str) -> Json:
    given = write(block.get("input") or {}).decode()
    function = {"name": text(block.get("name"), f"{where}.name"), "arguments": given}
    return {"id": text(block.get("id"), f"{where}.id"), "type": "function", "function": function}


def thought(block: Json) -> Json:
    """A block as clients keep it and send it back: with its signature, or sealed as a whole."""
    if block.get("type") == "redacted_thinking":
        return {"type": "redacted_thinking", "data": text(block.get("data"), "data")}
    return {
        "type": "thinking",
        "thinking": optional_text(block.get("thinking"), "thinking"),
        "signature": optional_text(block.get("signature"), "signature"),
    }


def finish(reason: object) -> str:
    return _FINISHES.get(reason, "stop") if isinstance(reason, str) else "stop"


def why_refused(message: Json) -> str | None:
    """What the provider says of a refusal, if it says anything."""
    why = part(message.get("stop_details")).get("explanation")
    return why if isinstance(why, str) and message.get("stop_reason") == "refusal" else None


def error(status: int, body: bytes) -> Json:
    """The envelope for an error of any form."""
    try:
        told = parse_object(body)
    except Malformed:
        told = {}
    return error_of(told.get("error"), status)


def error_of(told: object, status: int) -> Json:
    """The envelope for an `error` object of the wire; `status` 500 for one in a stream."""
    inner = {"message": told} if isinstance(told, str) else part(told)
    message, kind = inner.get("message"), inner.get("type")
    known, code = _ERRORS.get(kind, (None, None)) if isinstance(kind, str) else (None, None)
    if not isinstance(message, str) or not message:
        message = f"The provider answered {status}."
    too_long = status in (400, 413) or kind == "invalid_request_error"
    if too_long and any(each in message.lower() for each in _TOO_LONG):
        code = "context_length_exceeded"
    elif status == 400 and _FILTERED in message.lower():
        code = "content_filter"
    elif kind == "not_found_error" and message.startswith("model"):
        code = "model_not_found"
    return envelope(message, known or error_type(status), code)
