"""A request and its answer, free of any framework: what the doors make and `relay` takes and returns."""

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol
from urllib.parse import unquote

from gateway.errors import ApiError, speaks_anthropic
from gateway.uploads import Upload
from usage.ids import uuid7

_LONGEST_TASK = 64
# Of Open WebUI, Claude Code and Codex.
_CHAT_IDS = ("x-openwebui-chat-id", "x-claude-code-session-id", "session-id")
# As wide as the columns that hold it; theirs are UUIDs.
_LONGEST_CHAT_ID = 128
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")


@dataclass(frozen=True, slots=True)
class Inbound:
    """A request as it came; header names are lower-case, `endpoint` such as "chat/completions".

    `request_id`: the client's `x-request-id` when it is sound, else a new one. A form comes as an `upload`,
    and `body` is empty then.
    """

    method: str
    endpoint: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    request_id: str = ""
    upload: Upload | None = None

    def __post_init__(self) -> None:
        """One id for all that is said and written of it."""
        given = self.request_id or self.headers.get("x-request-id", "")
        sound = given if _REQUEST_ID.fullmatch(given) else str(uuid7())
        object.__setattr__(self, "request_id", sound)

    def task(self) -> str:
        """The client's `x-task`, what it asks for, when it is one short line; else ""."""
        given = self.headers.get("x-task", "")
        return given if len(given) <= _LONGEST_TASK and given.isprintable() else ""

    def chat_id(self) -> str | None:
        """The conversation that a client names in a header of its own, when it is one short line.

        Any key's holder may name one: it groups usage of the same key, and no right or limit hangs on it.
        """
        given = next((value for name in _CHAT_IDS if (value := self.headers.get(name))), None)
        if given is None:
            return None
        if "%" in given:
            given = unquote(given)
        return given if len(given) <= _LONGEST_CHAT_ID and given.isprintable() else None


class Stream(Protocol):
    """A body that comes in pieces. Whoever takes it calls `close()`, also when it never iterated."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it goes back."""

    status: int
    headers: Mapping[str, str]
    body: bytes | Stream


def with_id_for(reply: Reply, endpoint: str) -> Reply:
    """Anthropic's SDKs look for the request's id in `request-id`, all others in `x-request-id`."""
    if not speaks_anthropic(endpoint):
        return reply
    return replace(reply, headers={**reply.headers, "request-id": reply.headers["x-request-id"]})


def json_reply(status: int, body: bytes, request_id: str, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(
        status, {"content-type": "application/json", "x-request-id": request_id, **(headers or {})}, body
    )


def error_reply(error: ApiError, endpoint: str, request_id: str) -> Reply:
    """In the form that clients of this endpoint read."""
    return with_id_for(json_reply(error.status, error.body(endpoint), request_id, error.headers), endpoint)
