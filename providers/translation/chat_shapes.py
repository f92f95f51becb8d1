"""What chat completions answer with: whole answers, chunks, errors."""

from dataclasses import dataclass
from typing import Any

from providers.translation.reading import Json

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


@dataclass(slots=True)
class Head:
    """What every chunk of an answer repeats. `created` is in seconds since 1970."""

    created: int
    id: str = ""
    model: str = ""

    def whole(self, choice: Json, usage: Json, extra: Json) -> Json:
        return {**self._top("chat.completion"), "choices": [choice], "usage": usage, **extra}

    def chunk(self, delta: Json, finish_reason: str | None = None) -> Json:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return {**self._top("chat.completion.chunk"), "choices": [choice]}

    def usage(self, usage: Json, extra: Json) -> Json:
        return {**self._top("chat.completion.chunk"), "choices": [], "usage": usage, **extra}

    def _top(self, kind: str) -> Json:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}


def error_type(status: int) -> str:
    return _TYPES.get(status, "invalid_request_error" if 400 <= status < 500 else "server_error")


def envelope(message: str, kind: str, code: str | None = None, param: Any = None) -> Json:
    """`{"error": {...}}` with all four keys."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
