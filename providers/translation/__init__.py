"""Between what a client speaks (its surface) and what a provider is spoken to in (the wire).

A translation takes data and returns data: no Django, no HTTP, no clock. One object serves one request: what
its answer needs of the request is kept in it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class Untranslatable(Exception):
    """A request that the wire cannot say: 400. `param` names the place, such as `messages[2].content`."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class BadAnswer(ValueError):
    """An answer, or an event of a stream, that is not of the wire's form."""


class StreamTranslation(Protocol):
    """One stream. Framing (`data: `, `event: <type>`, `[DONE]`) is the gateway's."""

    def feed(self, data: bytes) -> list[bytes]:
        """The client's events (JSON objects) for the data of one of the wire's. Raises `BadAnswer`."""

    def end(self) -> list[bytes]:
        """What is left to say once the wire's stream ended properly; twice gives nothing."""

    def failed(self, error: Mapping[str, Any]) -> list[bytes]:
        """What is left to say of a stream that broke, behind the client's event of its `error` (chat's)."""


class Translation(Protocol):
    """From a client's surface to the wire, and back."""

    @property
    def left_out(self) -> Sequence[str]:
        """What of the request was left out, each with the reason, for the operator's log."""

    def request(self, body: bytes, *, drop: bool) -> bytes:
        """The JSON body for the wire. Raises `Untranslatable`; `drop` leaves out what cannot be said."""

    def answer(self, body: bytes) -> bytes:
        """A whole 200 of the wire in the client's form. Raises `BadAnswer`."""

    def error(self, status: int, body: bytes) -> bytes:
        """An error of the wire, whatever its body is, in the client's form."""

    def stream(self) -> StreamTranslation:
        """A translation of the stream that answers this request."""
