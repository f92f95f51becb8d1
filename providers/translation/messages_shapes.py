"""What the Messages API answers with: usage, reasons to stop, errors."""

from providers.translation.reading import Json, count, part

_STOPS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
_TIERS = {"default": "standard", "priority": "priority"}
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def error_type(status: int) -> str:
    return _TYPES.get(status, "invalid_request_error" if 400 <= status < 500 else "api_error")


def error(message: str, kind: str) -> Json:
    return {"type": "error", "error": {"type": kind, "message": message}}


def stop(choice: Json, *, called: bool, refused: bool) -> Json:
    """`stop_reason` and `stop_sequence` for a choice that ended; what it holds counts more than its word."""
    finish = choice.get("finish_reason")
    reason = _STOPS.get(finish, "end_turn") if isinstance(finish, str) else "end_turn"
    sequence = choice.get("stop_reason")  # vLLM names the text that ended it
    if refused:
        reason = "refusal"
    elif called and reason == "end_turn":
        reason = "tool_use"
    elif reason == "tool_use" and not called:
        reason = "end_turn"
    elif reason == "end_turn" and isinstance(sequence, str):
        return {"stop_reason": "stop_sequence", "stop_sequence": sequence}
    return {"stop_reason": reason, "stop_sequence": None}


def usage(told: object) -> Json:
    """Chat's usage as the Messages API tells it: what the cache held is not in `input_tokens`."""
    given = part(told)
    details = part(given.get("prompt_tokens_details"))
    prompt = count(given.get("prompt_tokens"))
    # DeepSeek's own name for it, where the details are not there
    read = min(count(details.get("cached_tokens", given.get("prompt_cache_hit_tokens"))), prompt)
    written = min(count(details.get("cache_write_tokens")), prompt - read)
    made: Json = {
        "input_tokens": prompt - read - written,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "output_tokens": count(given.get("completion_tokens")),
    }
    thought = part(given.get("completion_tokens_details")).get("reasoning_tokens")
    if thought is not None:
        made["output_tokens_details"] = {"thinking_tokens": count(thought)}
    return made


def tier(told: object) -> Json:
    """`service_tier` as it stands in usage, if there is a word for it."""
    known = _TIERS.get(told) if isinstance(told, str) else None
    return {"service_tier": known} if known else {}
