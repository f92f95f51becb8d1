"""The ids of responses: clients know them by names that say where they are, providers by their own."""

from dataclasses import dataclass, field
from typing import Any, Self

import msgspec

from gateway.handles import Handle, seal
from gateway.request import Request
from providers.dialects import RESPONSES
from providers.snapshot import Target

ITEM = "responses/{id}"


class _Named(msgspec.Struct):
    id: Any = None
    previous_response_id: Any = None


class _Event(msgspec.Struct):
    response: _Named | None = None


_named = msgspec.json.Decoder(_Named)
_event = msgspec.json.Decoder(_Event)


@dataclass(slots=True)
class Renaming:
    """Puts clients' names for the provider's ids in the answer of one attempt."""

    target: Target
    owner: str
    names: dict[bytes, bytes] = field(default_factory=dict)

    @classmethod
    def of(cls, request: Request, target: Target) -> Self | None:
        """None: the surface has no such ids."""
        if request.surface.name not in (RESPONSES, ITEM):
            return None
        known = {_quoted(theirs): _quoted(ours) for theirs, ours in request.names.items()}
        return cls(target, request.owner, known)

    def whole(self, body: bytes) -> bytes:
        """A response object."""
        try:
            self._learn(_named.decode(body))
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return body
        return self._renamed(body)

    def event(self, data: bytes) -> bytes:
        """The data of one event of a stream; most name no response."""
        if b'"response"' not in data:
            return data
        try:
            response = _event.decode(data).response
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return data
        if response is not None:
            self._learn(response)
        return self._renamed(data)

    def _learn(self, response: _Named) -> None:
        """Its own id and that of the one before it, which is where it is and of the same owner."""
        for id in (response.id, response.previous_response_id):
            if isinstance(id, str) and id.startswith("resp") and _quoted(id) not in self.names:
                name = seal(Handle("resp", str(self.target.id), id), self.owner)
                self.names[_quoted(id)] = _quoted(name)

    def _renamed(self, data: bytes) -> bytes:
        for theirs, ours in self.names.items():
            data = data.replace(theirs, ours)
        return data


def _quoted(text: str) -> bytes:
    return msgspec.json.encode(text)
