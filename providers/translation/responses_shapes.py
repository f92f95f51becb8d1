"""What the Responses API answers with: the response object, its items and its usage."""

from dataclasses import dataclass

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
