"""What the Responses API answers with: the response object, its items and its usage."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from providers.fallbacks import On, cause_of
from providers.translation.reading import Json, count, part

# Parameters that a response repeats, and what they are when nobody said.
_ECHOED: Json = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": "default",
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
# All codes that a response's error can have.
_CODES = frozenset(
    {
        "server_error", "rate_limit_exceeded", "invalid_prompt", "data_residency_mismatch", "bio_policy",
        "misalignment_policy_violation", "vector_store_timeout", "invalid_image", "invalid_image_format",
        "invalid_base64_image", "invalid_image_url", "image_too_large", "image_too_small",
        "image_parse_error", "image_content_policy_violation", "invalid_image_mode",
        "image_file_too_large", "unsupported_image_media_type", "empty_image_file",
        "failed_to_download_image", "image_file_not_found",
    }
)  # fmt: skip
# Not in the list, but what OpenAI's own API says there too: Codex shortens its conversation by the first, and
# does not ask again after the second.
_CODES_TOO = frozenset({"context_length_exceeded", "insufficient_quota"})
_TOO_MUCH = ("rate_limit_error", "rate_limit_exceeded", "too_many_requests", "429", 429)
_WHY = {"length": "max_output_tokens", "content_filter": "content_filter"}


@dataclass(frozen=True, slots=True)
class Frame:
    """What every response object of one request has. `created` is in seconds since 1970."""

    id: str
    created: int
    asked: Json

    def response(self, status: str, model: str, output: list[Json]) -> Json:
        """Nothing of it is kept at the gateway, so `store` is false."""
        echoed = {
            name: usual if self.asked.get(name) is None else self.asked[name]
            for name, usual in _ECHOED.items()
        }
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": None,
            "model": model,
            "output": output,
            "previous_response_id": None,
            "store": False,
            "usage": None,
            **echoed,
        }


def ending(finish_reason: object) -> tuple[str, Json | None]:
    """Status and `incomplete_details`."""
    why = _WHY.get(finish_reason) if isinstance(finish_reason, str) else None
    return ("completed", None) if why is None else ("incomplete", {"reason": why})


def failure(told: Mapping[str, Any]) -> Json:
    """A response's `error`, out of chat's."""
    code, message = told.get("code"), str(told.get("message") or "The provider reported an error.")
    if not isinstance(code, str) or code not in _CODES | _CODES_TOO:
        if code in _TOO_MUCH or told.get("type") in _TOO_MUCH:
            code = "rate_limit_exceeded"
        elif cause_of(message.encode()) is On.CONTEXT_WINDOW:
            code = "context_length_exceeded"
        else:
            code = "server_error"
    return {"code": code, "message": message}


def logprobs(told: object) -> list[Json]:
    """Chat's logprobs as a response has them: where chat says null, a response needs a list.

    What is no logprob of a token is left out.
    """
    found = [part(each) for each in told] if isinstance(told, list) else []
    return [_logprob(each) | {"top_logprobs": _tops(each)} for each in found if _is_logprob(each)]


def _tops(token: Json) -> list[Json]:
    tops = token.get("top_logprobs")
    found = [part(each) for each in tops] if isinstance(tops, list) else []
    return [_logprob(each) for each in found if _is_logprob(each)]


def _is_logprob(told: Json) -> bool:
    chance = told.get("logprob")
    return isinstance(told.get("token"), str) and type(chance) in (int, float)


def _logprob(told: Json) -> Json:
    known = told.get("bytes")
    sound = isinstance(known, list) and all(type(each) is int for each in known)
    return {"token": told["token"], "bytes": known if sound else [], "logprob": told["logprob"]}


def usage(told: object) -> Json | None:
    """None where the provider counted nothing."""
    if not isinstance(told, dict):
        return None
    prompt, completion = count(told.get("prompt_tokens")), count(told.get("completion_tokens"))
    details = part(told.get("prompt_tokens_details"))
    cached, kept = count(details.get("cached_tokens")), count(details.get("cache_write_tokens"))
    thought = count(part(told.get("completion_tokens_details")).get("reasoning_tokens"))
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": kept},
        "output_tokens": completion,
        "output_tokens_details": {"reasoning_tokens": thought},
        "total_tokens": prompt + completion,
    }
