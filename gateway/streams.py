"""A streamed answer on its way to the client."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import msgspec

from gateway.answers import DONE, StreamState, Usage
from gateway.assembly import Assembly, TypedAssembly
from gateway.attempts import Outcome
from gateway.draining import Drains
from gateway.errors import envelope, from_upstream
from gateway.passages import Passage
from gateway.surfaces.base import Surface
from providers.blame import is_of_request
from providers.connection import Answer, BadAnswer, ConnectionLost, TooLarge, UpstreamError, UpstreamTimeout
from providers.sse import EventReader, EventTooLong

PING_SECONDS = 15.0
PING = b": ping\n\n"
# How a translation writes the chunk that is only for clients who asked for usage.
_ONLY_USAGE = b'"choices":[]'


class StreamBroken(Exception):
    """An answer that is no stream of events broke: all that tells its client is the end of the connection."""


@dataclass(frozen=True, slots=True)
class Handling:
    """What a stream is for: `surface` of its client, the `passage` that its events come by.

    `wants_usage`: the client asked for the usage chunk; `rename` puts the client's names for the provider's.
    """

    surface: Surface
    passage: Passage
    prompt_tokens: int
    idle_timeout: float
    hide: Callable[[bytes], bytes]
    ended: Callable[[Outcome], None]
    wants_usage: bool = False
    rename: Callable[[bytes], bytes] | None = None


class EventStream:
    """Passes events on as they come; however it ends, `close` reports the outcome once.

    A stream that broke ends with an error event and no proper end: SDKs would take that for success.
    """

    def __init__(
        self,
        answer: Answer,
        reader: EventReader,
        first: list[bytes],
        handling: Handling,
        *,
        assembly: Assembly | TypedAssembly | None = None,
        drains: Drains | None = None,
    ) -> None:
        wire = handling.passage.wire
        assert wire.watch is not None, "a stream is only read where its surface has them"
        self._answer = answer
        self._reader = reader
        self._first = first
        self._handling = handling
        self._watch = wire.watch
        self._framing = handling.surface.framing
        translation = handling.passage.translation
        self._translate = None if translation is None else translation.stream()
        self._assembly = assembly
        self._drains = drains
        self._state = StreamState()
        self._sent = 0
        self._failure: UpstreamError | None = None
        self._heard_at: float | None = None  # while nothing but pings came since
        self._over = False
        self._left = False
        self._begun = False
        self._closed = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._pieces()

    def close(self) -> None:
        """Report how it ended and let go of the upstream. Idempotent; safe before any iteration.

        A stream that its client left may be read on to its end first, with nobody listening.
        """
        if self._closed or self._left:
            return
        self._left = not self._over
        if self._left and self._drains is not None and self._drains.take(self._drain(), self._end):
            return
        self._end()

    async def read_on(self) -> None:
        """Read it to its end although its client left before it began."""
        self._left = True
        try:
            await self._drain()
        finally:
            self._end()

    async def _drain(self) -> None:
        if not self._begun:
            self._forward(self._first)
        while not self._over:
            await self._next()

    def _end(self) -> None:
        self._closed = True
        if self._over and self._failure is None:
            self._answer.release()
        else:
            self._answer.close()
        self._handling.ended(self._outcome())

    def _outcome(self) -> Outcome:
        usage = self._state.used(self._handling.prompt_tokens)
        if self._left:
            return Outcome("cancelled", usage, error_class="client_left")
        if self._failure is not None:
            clients = isinstance(self._failure, TooLarge) or is_of_request(self._state.error)
            healthy = None if clients else False
            return Outcome("failed", usage, error_class=self._failure.error_class, healthy=healthy)
        return Outcome("ok", usage, healthy=True)

    async def _pieces(self) -> AsyncIterator[bytes]:
        try:
            self._begun = True
            piece = self._forward(self._first)
            while True:
                if piece:
                    yield piece
                if self._over:
                    return
                piece = await self._next()
        finally:
            self.close()

    async def _next(self) -> bytes:
        try:
            return await self._next_events()
        except EventTooLong as error:
            return self._broken(TooLarge(str(error)))
        except UpstreamError as error:
            # the finish reason has come: only bookkeeping was lost
            return self._finish() if self._state.finished else self._broken(error)

    async def _next_events(self) -> bytes:
        """The next events, or a ping when none came for a while. Only data counts as progress."""
        loop = asyncio.get_running_loop()
        if self._heard_at is None:
            self._heard_at = loop.time()
        silent_at = self._heard_at + self._handling.idle_timeout
        ping_at = loop.time() + PING_SECONDS
        while True:
            try:
                async with asyncio.timeout_at(min(silent_at, ping_at)):
                    chunk = await self._answer.chunk()
            except TimeoutError:
                if loop.time() >= silent_at:
                    raise UpstreamTimeout(f"no data for {self._handling.idle_timeout:g} s") from None
                return PING
            events = self._reader.feed(chunk) if chunk else self._reader.end()
            if events:
                self._heard_at = None
                return self._forward(events)
            if not chunk:
                return self._end_of_body()

    def _forward(self, events: list[bytes]) -> bytes:
        pieces: list[bytes] = []
        for data in events:
            self._state, only_usage = self._watch(self._state, data)
            if self._assembly is not None:
                self._assembly.add(data)
            if self._state.error:
                failure = UpstreamError("the provider reported an error in its stream")
                return b"".join(pieces) + self._broken(failure, data)
            if data != DONE:
                try:
                    self._pass_on(data, pieces, only_usage=only_usage)
                except ValueError as error:  # what a translation says of words that it cannot read
                    return b"".join(pieces) + self._broken(BadAnswer(str(error)))
            if self._state.done:
                return b"".join(pieces) + self._finish()
        return b"".join(pieces)

    def _pass_on(self, data: bytes, pieces: list[bytes], *, only_usage: bool) -> None:
        """Add what the client gets of this event."""
        if self._translate is not None:
            self._frame(self._translate.feed(data), pieces)
        elif self._handling.wants_usage or not only_usage:
            if self._handling.rename is not None:
                data = self._handling.rename(data)
            pieces.append(self._framing.event(data))
            self._sent += 1

    def _frame(self, events: list[bytes], pieces: list[bytes]) -> None:
        for data in events:
            if self._handling.wants_usage or _ONLY_USAGE not in data or self._framing.tells_type:
                pieces.append(self._framing.event(data))
                self._sent += 1

    def _end_of_body(self) -> bytes:
        if self._state.finished:
            return self._finish()
        return self._broken(ConnectionLost("the provider's stream ended before its answer did"))

    def _finish(self) -> bytes:
        pieces: list[bytes] = []
        if self._translate is not None:
            try:
                self._frame(self._translate.end(), pieces)
            except ValueError as error:
                return b"".join(pieces) + self._broken(BadAnswer(str(error)))
        self._over = True
        return b"".join([*pieces, self._framing.end])

    def _broken(self, failure: UpstreamError, told: bytes = b"") -> bytes:
        self._over = True
        self._failure = failure
        hide = self._handling.hide
        if told and self._translate is None and self._framing.tells_type:
            return self._framing.event(hide(told))  # these surfaces have errors of their own
        if told:
            error = msgspec.json.decode(from_upstream(502, hide(told)))["error"]
        else:
            text = f"The answer broke off: {failure}."
            error = envelope(502, text, failure.error_class)["error"]
        also = [] if self._translate is None else self._translate.failed(error)
        return b"".join([self._framing.broken(error, self._sent), *map(self._framing.event, also)])


class BinaryStream:
    """Passes an answer of any other kind on as it comes; `close` reports the outcome once."""

    def __init__(self, answer: Answer, first: bytes, handling: Handling) -> None:
        self._answer = answer
        self._first = first
        self._handling = handling
        self._failure: UpstreamError | None = None
        self._over = False
        self._closed = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._pieces()

    def close(self) -> None:
        """Report how it ended and let go of the upstream. Idempotent; safe before any iteration."""
        if self._closed:
            return
        self._closed = True
        self._answer.close()
        usage = Usage(self._handling.prompt_tokens, estimated=True)
        if self._failure is not None:
            outcome = Outcome("failed", usage, error_class=self._failure.error_class, healthy=False)
        elif self._over:
            outcome = Outcome("ok", usage, healthy=True)
        else:
            outcome = Outcome("cancelled", usage, error_class="client_left")
        self._handling.ended(outcome)

    async def _pieces(self) -> AsyncIterator[bytes]:
        try:
            piece = self._first
            while piece:
                yield piece
                piece = await self._chunk()
            self._over = True
        except UpstreamError as error:
            self._failure = error
            raise StreamBroken(str(error)) from None
        finally:
            self.close()

    async def _chunk(self) -> bytes:
        try:
            async with asyncio.timeout(self._handling.idle_timeout):
                return await self._answer.chunk()
        except TimeoutError:
            raise UpstreamTimeout(f"no data for {self._handling.idle_timeout:g} s") from None
