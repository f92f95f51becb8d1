"""One attempt's exchange with a provider: the request is sent, and what comes back is judged."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import structlog

from gateway import answers
from gateway.attempts import Attempt, Outcome, Subject
from gateway.errors import (
    ApiError,
    anthropic_from_upstream,
    from_upstream,
    no_such_model,
    not_served,
    speaks_anthropic,
)
from gateway.failures import AttemptFailed
from gateway.messages import Reply, json_reply
from gateway.passages import Passage
from gateway.renaming import Renaming
from gateway.request import Request
from gateway.streams import BinaryStream, EventStream, Handling
from gateway.upstream_calls import hide, upstream_request
from providers.blame import is_of_request, may_be_of_request
from providers.connection import (
    Answer,
    Body,
    ConnectFailed,
    ConnectionLost,
    TooLarge,
    UpstreamError,
    UpstreamTimeout,
)
from providers.dialects import TRANSLATED
from providers.fallbacks import On, cause_of
from providers.patterns import is_pattern
from providers.retries import WRONG_NAME, Kind, Stop, kind_of, rest_of
from providers.snapshot import DRAIN, ServedModel
from providers.sse import EventReader, EventTooLong

log = structlog.get_logger(__name__)
STREAM_HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",
}
# What a client must know of an answer that is no JSON.
_BINARY_HEADERS = ("content-type", "content-disposition", "cache-control")
_WAITS = ("retry-after", "retry-after-ms")
_BUSY = frozenset({429, 503, 529})
_DONE = 204  # and nothing is left to tell of it
# How servers say that they have nothing at an address.
_NO_SUCH_PLACE = frozenset({404, 405, 501})


@dataclass(slots=True)
class Exchange:
    """`end` writes the attempt's row, `streamed` is called too when a stream ended; `limits` are headers."""

    request: Request
    subject: Subject
    model: ServedModel
    attempt: Attempt
    passage: Passage
    limits: Mapping[str, str]
    end: Callable[[Attempt, Outcome], None]
    streamed: Callable[[], None]
    rename: Renaming | None = field(init=False)

    def __post_init__(self) -> None:
        """What the answer names gets the client's names."""
        native = self.passage.translation is None
        self.rename = Renaming.of(self.request, self.attempt.target) if native else None

    async def run(self, body: bytes | Body, *, fresh: bool) -> Reply:
        """The answer. Raises `AttemptFailed`, `UpstreamError`."""
        request, target, gateway = self.request, self.attempt.target, self.request.gateway
        sent = upstream_request(request.inbound, target, self.passage, body, self.attempt.id, request.path)
        answer = await gateway.transport.ask(sent, fresh=fresh)
        reply: Reply | None = None
        try:
            headers = answer.headers
            self.attempt.head_came(answer.status, headers.get("x-request-id") or headers.get("request-id"))
            reply = await self._read(answer)
            return reply
        finally:
            if reply is None or isinstance(reply.body, bytes):
                answer.close()

    async def _read(self, answer: Answer) -> Reply:
        if answer.status >= 300 or answer.status < 200:
            return await self._error_status(answer)
        wire = self.passage.wire
        kind = answer.content_type
        if wire.opaque:
            return await self._binary(answer)
        if wire.may_be_whole and kind == "application/json":
            return await self._whole(answer)
        if self.request.call.stream and wire.watch is not None and not (wire.binary and not _is_text(kind)):
            return await self._stream(answer)
        if wire.binary and kind == "text/event-stream":
            return await self._stream(answer)
        if wire.binary and kind not in ("application/json", "text/html"):
            return await self._binary(answer)
        return await self._whole(answer)

    async def _whole(self, answer: Answer) -> Reply:
        if answer.content_type in ("text/event-stream", "text/html"):
            raise self._useless(answers.Verdict("wrong_content_type"), b"")
        body = await answer.body(self.request.gateway.max_answer_bytes)
        if answer.status == _DONE and self.request.inbound.method == "DELETE":
            self.end(self.attempt, Outcome("ok", answers.Usage(), healthy=True))
            return json_reply(_DONE, b"", self.subject.request_id, self.limits)
        wire = self.passage.wire
        verdict = wire.judge(body)
        if verdict.problem:
            raise self._useless(verdict, body)
        translation = self.passage.translation
        told = body
        if translation is not None:
            try:
                told = translation.answer(body)
            except ValueError:
                raise self._useless(answers.Verdict("broken_answer"), body) from None
        elif self.rename is not None:
            told = self.rename.whole(body)
        if self.attempt.keeping is not None:
            self.attempt.keeping.whole(told)
        usage = answers.used_by_whole(verdict.usage, self.subject.prompt_tokens, body, wire.weigh)
        self.end(self.attempt, Outcome("ok", usage, healthy=True))
        return json_reply(answer.status, told, self.subject.request_id, self.limits)

    async def _binary(self, answer: Answer) -> Reply:
        first = await answer.chunk()
        if not first and not self.passage.wire.may_be_empty:
            raise self._useless(answers.Verdict("empty_answer", blameless=True), b"")
        headers = {name: value for name in _BINARY_HEADERS if (value := answer.headers.get(name))}
        named = {"x-request-id": self.subject.request_id, **self.limits}
        return Reply(200, {**headers, **named}, BinaryStream(answer, first, self._handling()))

    def _handling(self) -> Handling:
        target = self.attempt.target
        return Handling(
            self.request.surface,
            self.passage,
            self.subject.prompt_tokens,
            target.idle_timeout,
            hide=lambda told: hide(told, target),
            ended=self._stream_ended,
            wants_usage=self.request.call.wants_usage,
            rename=None if self.rename is None else self.rename.event,
        )

    async def _stream(self, answer: Answer) -> Reply:
        gateway, wire = self.request.gateway, self.passage.wire
        if answer.content_type in ("application/json", "text/html"):
            told = await answer.body(gateway.max_answer_bytes)
            verdict = wire.judge(told)
            # who answers what was asked, though in one piece, is not sick
            blameless = verdict.blameless or not verdict.problem
            wrong = answers.Verdict("wrong_content_type", error=verdict.error, blameless=blameless)
            raise self._useless(wrong, told)
        reader = EventReader(gateway.max_answer_bytes)
        first, state = await self._first_events(answer, reader)
        self.attempt.first_token()
        if state.error:
            verdict = answers.Verdict("error_in_answer", error=state.error)
            raise self._useless(verdict, first[-1])
        if not state.begun:
            said = [data for data in first if data != answers.DONE]
            problem = "no_choices" if said else "empty_answer"
            read = state.usage is not None and state.usage.prompt > 0
            raise self._useless(answers.Verdict(problem, blameless=read), b"\n".join(said))
        keeping, drains = self.attempt.keeping, self.attempt.target.on_disconnect == DRAIN
        body = EventStream(
            answer,
            reader,
            first,
            self._handling(),
            assembly=None if keeping is None else keeping.stream(wire.name),
            drains=gateway.drains if drains else None,
        )
        named = {"x-request-id": self.subject.request_id, **self.limits}
        return Reply(200, {**STREAM_HEADERS, **named}, body)

    async def _first_events(
        self, answer: Answer, reader: EventReader
    ) -> tuple[list[bytes], answers.StreamState]:
        """The events that came with the first of the answer, and the state there: error, end or `begun`.

        Up to there another deployment can still answer. After an error, the event that told it is the last.
        """
        watch, most = self.passage.wire.watch, self.request.gateway.max_answer_bytes
        assert watch is not None, "only surfaces with streams come here"
        found, state, size = list[bytes](), answers.StreamState(), 0
        while True:
            chunk = await answer.chunk()
            try:
                events = reader.feed(chunk) if chunk else reader.end()
            except EventTooLong as error:
                raise TooLarge(str(error)) from None
            for index, data in enumerate(events):
                state, _ = watch(state, data)
                if state.error:
                    return [*found, *events[: index + 1]], state
                if state.begun or state.done:
                    return [*found, *events], state
            found += events
            size += len(chunk)
            if not chunk:
                return found, state
            if size > most:
                raise TooLarge(f"more than {most} bytes without a choice")

    def _stream_ended(self, outcome: Outcome) -> None:
        self.end(self.attempt, outcome)
        self.streamed()

    async def _error_status(self, answer: Answer) -> Reply:
        target = self.attempt.target
        status = answer.status
        told = hide(await answer.body(self.request.gateway.max_answer_bytes), target)
        sent = self.request.call.body
        clients = may_be_of_request(status, told, sent, target.upstream_model)
        unknown = not clients and self.passage.guess and target.upstream_model.encode() not in told
        if unknown and status in _NO_SUCH_PLACE and self.request.surface.name in TRANSLATED:
            raise self._unspoken(status)
        body = self._error_body(status, told)
        if self.attempt.keeping is not None:
            self.attempt.keeping.whole(body)
        kind = None if clients and status in WRONG_NAME else kind_of(status)
        mine = self.request.pin is not None and status in WRONG_NAME  # what is gone is gone at its provider
        # the client chose the endpoint: that a provider has none says nothing of how it serves the others
        chosen = self.passage.guess and status in (*WRONG_NAME, *_NO_SUCH_PLACE)
        blames_name = mine or chosen or (is_pattern(self.model.name) and status in WRONG_NAME)
        healthy = None if kind is None or blames_name or self._rests(answer) or clients else False
        outcome = Outcome("failed", error_class=f"http_{status}", healthy=healthy)
        kept = {name: value for name in _WAITS if (value := answer.headers.get(name))}
        reply = json_reply(status, body, self.subject.request_id, kept)
        if chosen and not mine and not clients:
            kind = Kind.AUTHENTICATION  # the next deployment may have it
        if mine or kind is not Kind.AUTHENTICATION:
            on = cause_of(from_upstream(status, told)) if kind is None else On.ANY
            if mine or (kind is None and on is On.ANY):
                self.end(self.attempt, replace(outcome, then=Stop.FINAL.value))
                return reply
            raise AttemptFailed(self.attempt, outcome, reply, kind, on=on)
        if blames_name and is_pattern(self.model.name) and status == 404:
            raise AttemptFailed(self.attempt, outcome, no_such_model(self.request.call.model), kind)
        if chosen:
            raise AttemptFailed(self.attempt, outcome, self._not_served(), kind)
        log.error("deployment_misconfigured", deployment=target.name, status=status)
        self.request.gateway.router.health.set_up_wrongly(target.id, status)
        message = (
            f"The model '{self.model.name}' is set up wrongly at its provider; its operator has to mend it."
        )
        wrong = ApiError(502, message, code="deployment_misconfigured")
        raise AttemptFailed(self.attempt, outcome, wrong, kind)

    def _unspoken(self, status: int) -> AttemptFailed:
        """It does not serve this surface: it is asked again, in words that it knows."""
        target, name = self.attempt.target, self.request.surface.name
        log.info("surface_not_served", deployment=target.name, surface=name, status=status)
        self.request.gateway.unspoken.add((target.id, name))
        outcome = Outcome("failed", error_class=f"http_{status}")
        return AttemptFailed(self.attempt, outcome, self._not_served(), Kind.SERVER_ERROR, retry_fresh=True)

    def _not_served(self) -> ApiError:
        return not_served(self.model.name, self.request.surface.name)

    def _error_body(self, status: int, told: bytes) -> bytes:
        """A provider's words in the form that the client reads."""
        translation = self.passage.translation
        if translation is not None:
            return translation.error(status, told)
        if speaks_anthropic(self.request.surface.name):
            return anthropic_from_upstream(status, told)
        return from_upstream(status, told)

    def _rests(self, answer: Answer) -> bool:
        """Whether the provider said when to come back: it is busy then, and not sick."""
        if answer.status not in _BUSY:
            return False
        seconds = rest_of(answer.headers, time.time())
        if seconds is not None:
            until = time.monotonic() + seconds
            self.request.gateway.router.health.rest(self.attempt.target.id, until)
        return seconds is not None

    def _useless(self, verdict: answers.Verdict, body: bytes) -> AttemptFailed:
        """A 200 that is no answer: a failure like any other, never recorded as a success."""
        hidden = hide(body, self.attempt.target)
        if self.attempt.keeping is not None:
            self.attempt.keeping.whole(hidden)
        blameless = verdict.blameless or is_of_request(verdict.error)
        outcome = Outcome("failed", error_class=verdict.problem, healthy=None if blameless else False)
        if verdict.error:
            told = json_reply(502, self._error_body(502, hidden), self.subject.request_id)
            return AttemptFailed(self.attempt, outcome, told, Kind.SERVER_ERROR)
        useless = ApiError(502, "The provider's answer cannot be used.", code=verdict.problem)
        return AttemptFailed(self.attempt, outcome, useless, Kind.SERVER_ERROR)


def unanswered(model: str, attempt: Attempt, error: UpstreamError, *, fair: bool = True) -> AttemptFailed:
    """What no answer at all means."""
    retry_fresh = isinstance(error, ConnectionLost) and error.reused
    # how much is answered, its client says
    healthy = None if retry_fresh or not fair or isinstance(error, TooLarge) else False
    outcome = Outcome("failed", error_class=error.error_class, healthy=healthy)
    log.warning("attempt_failed", deployment=attempt.target.name, error=str(error))
    status = 504 if isinstance(error, UpstreamTimeout) else 502
    nobody = f"No provider of '{model}' answered" if model else "The provider did not answer"
    told = ApiError(status, f"{nobody} ({error.error_class}).", code=error.error_class)
    kind = Kind.TIMEOUT if status == 504 else Kind.SERVER_ERROR
    if isinstance(error, ConnectFailed):
        kind = Kind.CONNECT
    return AttemptFailed(attempt, outcome, told, kind, retry_fresh=retry_fresh)


def _is_text(content_type: str) -> bool:
    return content_type in ("text/event-stream", "application/json", "text/html", "")
