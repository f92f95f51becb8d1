"""A streamed answer on its way to the client."""

import asyncio
from collections.abc import AsyncIterator, Callable

import msgspec

from gateway.answers import DONE, StreamState, watch
from gateway.assembly import Assembly
from gateway.attempts import Outcome
from gateway.draining import Drains
from gateway.errors import envelope, from_upstream
from providers.sse import EventReader, EventTooLong
from providers.transport import Answer, BadAnswer, ConnectionLost, UpstreamError, UpstreamTimeout

PING_SECONDS = 15.0
PING = b": ping\n\n"


class ChatStream:
    """Passes events on as they come; however it ends, `close` reports the outcome once.

    A stream that broke ends with an error event and no `[DONE]`: SDKs would take that for success.
    """

    def __init__(
        self,
        answer: Answer,
        reader: EventReader,
        first: list[bytes],
        *,
        wants_usage: bool,
        prompt_tokens: int,
        idle_timeout: float,
        hide: Callable[[bytes], bytes],
        ended: Callable[[Outcome], None],
        assembly: Assembly | None = None,
        drains: Drains | None = None,
    ) -> None:
        self._answer = answer
        self._reader = reader
        self._first = first
        self._wants_usage = wants_usage
        self._prompt_tokens = prompt_tokens
        self._idle_timeout = idle_timeout
        self._hide = hide
        self._ended = ended
        self._assembly = assembly
        self._drains = drains
        self._state = StreamState()
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
        self._ended(self._outcome())

    def _outcome(self) -> Outcome:
        usage = self._state.used(self._prompt_tokens)
        if self._left:
            return Outcome("cancelled", usage, error_class="client_left")
        if self._failure is not None:
            return Outcome("failed", usage, error_class=self._failure.error_class, healthy=False)
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
            return self._broken(BadAnswer(str(error)))
        except UpstreamError as error:
            # the finish reason has come: only bookkeeping was lost
            return self._finish() if self._state.finished else self._broken(error)

    async def _next_events(self) -> bytes:
        """The next events, or a ping when none came for a while. Only data counts as progress."""
        loop = asyncio.get_running_loop()
        if self._heard_at is None:
            self._heard_at = loop.time()
        silent_at = self._heard_at + self._idle_timeout
        ping_at = loop.time() + PING_SECONDS
        while True:
            try:
                async with asyncio.timeout_at(min(silent_at, ping_at)):
                    chunk = await self._answer.chunk()
            except TimeoutError:
                if loop.time() >= silent_at:
                    raise UpstreamTimeout(f"no data for {self._idle_timeout:g} s") from None
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
            self._state, is_usage_chunk = watch(self._state, data)
            if self._assembly is not None:
                self._assembly.add(data)
            if self._state.error:
                failure = UpstreamError("the provider reported an error in its stream")
                return b"".join(pieces) + self._broken(failure, data)
            if self._state.done:
                return b"".join(pieces) + self._finish()
            if self._wants_usage or not is_usage_chunk:
                pieces.append(b"data: " + data.replace(b"\n", b" ") + b"\n\n")
        return b"".join(pieces)

    def _end_of_body(self) -> bytes:
        if self._state.finished:
            return self._finish()
        return self._broken(ConnectionLost("the provider's stream ended before its answer did"))

    def _finish(self) -> bytes:
        self._over = True
        return b"data: " + DONE + b"\n\n"

    def _broken(self, failure: UpstreamError, told: bytes = b"") -> bytes:
        self._over = True
        self._failure = failure
        if told:
            error = msgspec.json.decode(from_upstream(502, self._hide(told)))
            body = msgspec.json.encode({"error": error["error"]})  # never beside choices
        else:
            text = f"The answer broke off: {failure}."
            body = msgspec.json.encode(envelope(502, text, failure.error_class))
        return b"data: " + body + b"\n\n"
