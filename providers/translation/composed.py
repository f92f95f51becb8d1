"""Two translations, one behind the other."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from providers.translation import StreamTranslation, Translation


@dataclass(frozen=True, slots=True)
class Composed:
    """`first` is next to the client, `second` next to the provider."""

    first: Translation
    second: Translation

    @property
    def left_out(self) -> list[str]:
        """See `Translation`."""
        return [*self.first.left_out, *self.second.left_out]

    def request(self, body: bytes, *, drop: bool) -> bytes:
        """See `Translation`."""
        return self.second.request(self.first.request(body, drop=drop), drop=drop)

    def answer(self, body: bytes) -> bytes:
        """See `Translation`."""
        return self.first.answer(self.second.answer(body))

    def error(self, status: int, body: bytes) -> bytes:
        """See `Translation`."""
        return self.first.error(status, self.second.error(status, body))

    def stream(self) -> "ComposedStream":
        """See `Translation`."""
        return ComposedStream(self.first.stream(), self.second.stream())


@dataclass(frozen=True, slots=True)
class ComposedStream:
    """Each event of the second is one for the first."""

    first: StreamTranslation
    second: StreamTranslation

    def feed(self, data: bytes) -> list[bytes]:
        """See `StreamTranslation`."""
        return [told for middle in self.second.feed(data) for told in self.first.feed(middle)]

    def end(self) -> list[bytes]:
        """See `StreamTranslation`."""
        last = [told for middle in self.second.end() for told in self.first.feed(middle)]
        return [*last, *self.first.end()]

    def failed(self, error: Mapping[str, Any]) -> list[bytes]:
        """See `StreamTranslation`."""
        return self.first.failed(error)
