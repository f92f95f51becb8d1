"""One admitted request: deployments are asked in turn until one answers, then the books are closed."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

import structlog

from gateway import answers, calls
from gateway.asking import Asking
from gateway.attempts import Attempt, Outcome, Subject
from gateway.deciding import Case
from gateway.errors import ApiError, from_upstream, no_such_model
from gateway.failures import AttemptFailed, Unanswered
from gateway.keeping import Keeping
from gateway.messages import Reply, json_reply
from gateway.request import Request
from gateway.runtime import Gateway
from gateway.streams import ChatStream
from gateway.upstream_calls import hide, upstream_body, upstream_request
from keys import limits
from providers.decisions import RETRY
from providers.fallbacks import On, cause_of
from providers.patterns import is_pattern
from providers.retries import WRONG_NAME, Kind, Stop, kind_of, rest_of, stop
from providers.router import Order
from providers.snapshot import DRAIN, ServedModel, Target
from providers.sse import EventReader, EventTooLong
from providers.state import Settlement, Ticket
from providers.transport import (
    Answer,
    BadAnswer,
    ConnectFailed,
    ConnectionLost,
    UpstreamError,
    UpstreamTimeout,
)
from usage.journal import JournalFull

log = structlog.get_logger(__name__)
STREAM_HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",
}


@dataclass(slots=True)
class Dispatch:
    """Holds the ticket of a request at one model from its admission until `close`.

    `order` is what the choice of its deployment rests on, `waited` the seconds that it stood in line.
    """

    case: Case
    subject: Subject
    ticket: Ticket
    order: Order
    waited: float = 0.0
    request: Request = field(init=False)
    model: ServedModel = field(init=False)
    asking: Asking = field(init=False)
    gateway: Gateway = field(init=False)
    call: calls.Call = field(init=False)
    tokens: int = field(default=0, init=False)
    cost: int = field(default=0, init=False)
    # of these, at the deployment whose slot it has
    slot_tokens: int = field(default=0, init=False)
    slot_cost: int = field(default=0, init=False)
    slot_attempts: int = field(default=0, init=False)
    attempts: int = field(default=0, init=False)
    # of these, on kept connections that had died
    stale: int = field(default=0, init=False)
    abandoned: bool = field(default=False, init=False)
    closed: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.request, self.model, self.asking = self.case.request, self.case.model, self.case.asking
        self.gateway, self.call = self.request.gateway, self.request.call

    async def run(self) -> Reply:
        """The first answer that a deployment gives. Raises `Unanswered`."""
        if self.call.stream and any(t.on_disconnect == DRAIN for t in self.model.targets.values()):
            return await self._run_apart()
        return await self._run()

    async def _run_apart(self) -> Reply:
        """In a task that may go on when the client left: the provider bills what nobody waits for."""
        task = asyncio.get_running_loop().create_task(self._run())
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self.abandoned = True
            target = self.model.targets.get(self.ticket.slot)
            bills = target is not None and target.on_disconnect == DRAIN
            if not (bills and self.gateway.drains.take(_read_on(task), lambda: _give_up(task))):
                _give_up(task)
                await asyncio.wait({task})
                self.close()  # a task that was cancelled before it began closes nothing
            raise

    async def _run(self) -> Reply:
        handed_over = False
        try:
            reply = await self._first_answer()
            handed_over = isinstance(reply.body, ChatStream)  # which closes the books itself
            return reply
        finally:
            if not handed_over:
                self.close()

    def close(self) -> None:
        """Settle the reservations to what was used and free the slot. Idempotent."""
        if self.ticket.slot and not self.slot_attempts and not self.closed:
            self.gateway.router.health.undecided(self.ticket.slot)  # it was to probe, and sent nothing
        self.closed = True
        self.gateway.state.settle(self.ticket, self._settlement())
        if self.ticket.doubtful:
            self.asking.ask_again()
        self.gateway.lines.wake(self.model.name)

    def _settlement(self) -> Settlement:
        sent, slot_sent = self.attempts > 0, self.slot_attempts > 0
        return Settlement(self.tokens, self.cost, self.slot_tokens, self.slot_cost, sent, slot_sent)

    async def _first_answer(self) -> Reply:
        tried: set[int] = set()
        fresh = False
        while True:
            target = self.model.targets[self.ticket.slot]
            try:
                return await self._ask(target, fresh=fresh)
            except AttemptFailed as attempt_failed:
                failed = attempt_failed
            # died idle in the pool: says nothing of the deployment, so a new connection asks again
            fresh = failed.retry_fresh and not fresh
            if not fresh:
                tried.add(target.id)
            self.stale += fresh
            why = self._stop(failed, fresh=fresh)
            if why is None:
                self.order = self._next({*tried, target.id}, target.id if fresh else None)
                why = self._stop_here(failed, fresh=fresh)
            # before the wait for another place, in which nobody may live to write it
            self._end(failed.attempt, replace(failed.outcome, then=RETRY if why is None else why.value))
            if why is None and not await self._move(again=fresh):
                why = Stop.NOBODY
            if why is None and self.abandoned:  # while it waited for the place
                why = Stop.LEFT
            if why is not None:
                log.debug("no_further_attempt", model=self.model.name, why=why.value)
                raise Unanswered(failed.error, failed.on)

    def _stop(self, failed: AttemptFailed, *, fresh: bool) -> Stop | None:
        """Why there is no further attempt; None: there may be one."""
        if self.abandoned:
            return Stop.LEFT  # nobody waits for another deployment's answer
        model = self.model
        left = self.request.seconds_left()
        made = self.attempts - self.stale
        return stop(failed.kind, made, model.max_attempts, model.retries_by_error, left, fresh=fresh)

    def _stop_here(self, failed: AttemptFailed, *, fresh: bool) -> Stop | None:
        """Why none of those that are left is asked.

        The budget spares providers that are in trouble. One that is well is asked in any case, for it gets no
        more than its share of what the failed one cannot take; a connection that was never made cost nothing.
        """
        if not self.order.ids:
            return Stop.NOBODY
        if fresh or failed.kind is Kind.CONNECT:
            return None
        router, now = self.gateway.router, time.monotonic()
        budget = router.budget(self.model)
        if router.health.is_well(self.order.ids[0], now):
            budget.note(now)
            return None
        return None if budget.take(now, self.gateway.state.workers) else Stop.BUDGET

    def _next(self, tried: set[int], again: int | None) -> Order:
        """Whom to ask after those; `again`: that one before all others."""
        order = self.gateway.order(self.model, tried, self.request.tags(self.model))
        return order if again is None else replace(order, ids=[again, *order.ids])

    async def _move(self, *, again: bool) -> bool:
        """Take the place of another deployment, or of the same one anew: its limits count every attempt."""
        so_far = self._settlement()
        # before the wait: who leaves meanwhile has used nothing there
        self.slot_tokens = self.slot_cost = self.slot_attempts = 0
        first = None if again else self.order.ids[0]
        health = self.gateway.router.health
        if first is not None:
            health.asked(first)  # as the router does for a first attempt: one probe, not several
        moved = False
        try:
            candidates = self.asking.candidates(self.order.ids)
            moved = await self.gateway.state.move(self.ticket, candidates, so_far)
        finally:
            if first is not None and not (moved and self.ticket.slot == first):
                health.undecided(first)
        self.gateway.lines.wake(self.model.name)
        return moved

    async def _ask(self, target: Target, *, fresh: bool) -> Reply:
        gateway = self.gateway
        attempt = Attempt(
            self.subject, target, gateway.books, gateway.router.health,
            number=self.attempts + 1, likely_output=self.asking.estimate.likely_output,
            signals=gateway.router.signals(self.model),
            decision=self.case.choice(
                self.order, target.id, again=fresh and target.id == self.order.ids[0],
                waited=0.0 if self.attempts else self.waited,
            ),
        )  # fmt: skip
        keeps = self.request.caller.keeps
        if keeps is not None:
            attempt.keeping = Keeping(self.call.body, days=keeps.days, most=gateway.most_kept)
        attempt.start()
        self.attempts += 1
        self.slot_attempts += 1
        usual = target.first_event_timeout if self.call.stream else target.timeout
        limit = min(usual, self.request.seconds_left())
        try:
            async with asyncio.timeout(limit):
                return await self._exchange(attempt, target, fresh=fresh)
        except TimeoutError:
            error = UpstreamTimeout(f"no answer within {limit:.3g} s")
            # with little of the deadline left, being late says nothing of the deployment
            raise self._unanswered(attempt, error, fair=limit > usual * _FAIR_PART) from None
        except UpstreamError as error:
            raise self._unanswered(attempt, error) from None
        except AttemptFailed:
            raise
        except Exception:  # a fault of the gateway's own: what it counts as under way must end all the same
            self._end(attempt, Outcome("failed", error_class="gateway_error"))
            raise
        except asyncio.CancelledError:
            prompt = answers.Usage(self.subject.prompt_tokens, 0, estimated=True)
            self._end(attempt, Outcome("cancelled", prompt, error_class="client_left"))
            raise

    async def _exchange(self, attempt: Attempt, target: Target, *, fresh: bool) -> Reply:
        body = upstream_body(self.call, target, self.asking.output_cap(self.ticket))
        request = upstream_request(self.request.inbound, target, body, attempt.id)
        answer = await self.gateway.transport.ask(request, fresh=fresh)
        reply: Reply | None = None
        try:
            attempt.head_came(answer.status, answer.headers.get("x-request-id"))
            reply = await self._read(answer, attempt, target)
            return reply
        finally:
            if reply is None or isinstance(reply.body, bytes):
                answer.close()

    async def _read(self, answer: Answer, attempt: Attempt, target: Target) -> Reply:
        if answer.status >= 300 or answer.status < 200:
            return await self._error_status(answer, attempt, target)
        if self.call.stream:
            return await self._stream(answer, attempt, target)
        return await self._whole(answer, attempt, target)

    async def _whole(self, answer: Answer, attempt: Attempt, target: Target) -> Reply:
        if answer.content_type in ("text/event-stream", "text/html"):
            raise self._useless(attempt, target, answers.Verdict("wrong_content_type"), b"")
        body = await answer.body(self.gateway.max_answer_bytes)
        verdict = answers.judge(body)
        if verdict.problem:
            raise self._useless(attempt, target, verdict, body)
        if attempt.keeping is not None:
            attempt.keeping.whole(body)
        usage = answers.used_by_whole(verdict.usage, self.subject.prompt_tokens, body)
        self._end(attempt, Outcome("ok", usage, healthy=True))
        return json_reply(answer.status, body, self.subject.request_id, self._limit_headers())

    def _limit_headers(self) -> dict[str, str]:
        return limits.headers(self.asking.rules, self.ticket) if self.asking.rules else {}

    async def _stream(self, answer: Answer, attempt: Attempt, target: Target) -> Reply:
        if answer.content_type in ("application/json", "text/html"):
            told = await answer.body(self.gateway.max_answer_bytes)
            error = answers.judge(told).error
            raise self._useless(attempt, target, answers.Verdict("wrong_content_type", error=error), told)
        reader = EventReader(self.gateway.max_answer_bytes)
        first, state = await _first_events(answer, reader, self.gateway.max_answer_bytes)
        attempt.first_token()
        if state.error:
            verdict = answers.Verdict("error_in_answer", error=state.error)
            raise self._useless(attempt, target, verdict, first[-1])
        if not state.begun:
            said = [data for data in first if data != answers.DONE]
            problem = "no_choices" if said else "empty_answer"
            raise self._useless(attempt, target, answers.Verdict(problem), b"\n".join(said))
        body = ChatStream(
            answer,
            reader,
            first,
            wants_usage=self.call.wants_usage,
            prompt_tokens=self.subject.prompt_tokens,
            idle_timeout=target.idle_timeout,
            hide=lambda told: hide(told, target),
            ended=self._stream_ended(attempt),
            assembly=None if attempt.keeping is None else attempt.keeping.stream(),
            drains=self.gateway.drains if target.on_disconnect == DRAIN else None,
        )
        named = {"x-request-id": self.subject.request_id, **self._limit_headers()}
        return Reply(200, {**STREAM_HEADERS, **named}, body)

    def _stream_ended(self, attempt: Attempt) -> Callable[[Outcome], None]:
        def ended(outcome: Outcome) -> None:
            self._end(attempt, outcome)
            self.close()

        return ended

    async def _error_status(self, answer: Answer, attempt: Attempt, target: Target) -> Reply:
        status = answer.status
        body = from_upstream(status, hide(await answer.body(self.gateway.max_answer_bytes), target))
        if attempt.keeping is not None:
            attempt.keeping.whole(body)
        kind = kind_of(status)
        blames_name = is_pattern(self.model.name) and status in WRONG_NAME
        healthy = None if kind is None or blames_name or self._rests(answer, target) else False
        outcome = Outcome("failed", error_class=f"http_{status}", healthy=healthy)
        kept = {name: value for name in _WAITS if (value := answer.headers.get(name))}
        reply = json_reply(status, body, self.subject.request_id, kept)
        if kind is not Kind.AUTHENTICATION:
            on = cause_of(body) if kind is None else On.ANY
            if kind is None and on is On.ANY:
                self._end(attempt, replace(outcome, then=Stop.FINAL.value))
                return reply
            raise AttemptFailed(attempt, outcome, reply, kind, on=on)
        if blames_name and status == 404:
            raise AttemptFailed(attempt, outcome, no_such_model(self.call.model), kind)
        log.error("deployment_misconfigured", deployment=target.name, status=status)
        self.gateway.router.health.set_up_wrongly(target.id, status)
        message = (
            f"The model '{self.model.name}' is set up wrongly at its provider; its operator has to mend it."
        )
        raise AttemptFailed(attempt, outcome, ApiError(502, message, code="deployment_misconfigured"), kind)

    def _rests(self, answer: Answer, target: Target) -> bool:
        """Whether the provider said when to come back: it is busy then, and not sick."""
        if answer.status not in _BUSY:
            return False
        seconds = rest_of(answer.headers, time.time())
        if seconds is not None:
            self.gateway.router.health.rest(target.id, time.monotonic() + seconds)
        return seconds is not None

    def _useless(
        self, attempt: Attempt, target: Target, verdict: answers.Verdict, body: bytes
    ) -> AttemptFailed:
        """A 200 that is no answer: a failure like any other, never recorded as a success."""
        if attempt.keeping is not None:
            attempt.keeping.whole(hide(body, target))
        outcome = Outcome("failed", error_class=verdict.problem, healthy=False)
        if verdict.error:
            told = json_reply(502, from_upstream(502, hide(body, target)), self.subject.request_id)
            return AttemptFailed(attempt, outcome, told, Kind.SERVER_ERROR)
        useless = ApiError(502, "The provider's answer cannot be used.", code=verdict.problem)
        return AttemptFailed(attempt, outcome, useless, Kind.SERVER_ERROR)

    def _unanswered(self, attempt: Attempt, error: UpstreamError, *, fair: bool = True) -> AttemptFailed:
        retry_fresh = isinstance(error, ConnectionLost) and error.reused
        healthy = None if retry_fresh or not fair else False
        outcome = Outcome("failed", error_class=error.error_class, healthy=healthy)
        log.warning("attempt_failed", deployment=attempt.target.name, error=str(error))
        status = 504 if isinstance(error, UpstreamTimeout) else 502
        message = f"No provider of '{self.model.name}' answered ({error.error_class})."
        told = ApiError(status, message, code=error.error_class)
        kind = Kind.TIMEOUT if status == 504 else Kind.SERVER_ERROR
        if isinstance(error, ConnectFailed):
            kind = Kind.CONNECT
        return AttemptFailed(attempt, outcome, told, kind, retry_fresh=retry_fresh)

    def _end(self, attempt: Attempt, outcome: Outcome) -> None:
        row = attempt.close(outcome)
        if row is None:
            return
        self.tokens += outcome.usage.total
        self.slot_tokens += outcome.usage.total
        self.cost += row.cost_nano
        self.slot_cost += row.cost_nano
        if outcome.status == "ok" and not outcome.usage.estimated:
            model, usage = self.subject.model, outcome.usage
            self.gateway.calibration.observe(model, self.call.prompt, usage.prompt)
            self.gateway.completions.observe(model, usage.completion // self.call.choices)


async def _read_on(task: asyncio.Task[Reply]) -> None:
    """Wait for an answer whose client left, and read it to its end."""
    with suppress(Unanswered, JournalFull):
        reply = await task
        if isinstance(reply.body, ChatStream):
            await reply.body.read_on()


def _give_up(task: asyncio.Task[Reply]) -> None:
    if task.cancel() or task.cancelled() or task.exception() is not None:
        return
    if isinstance(body := task.result().body, ChatStream):
        body.close()


# Of its usual time, what a deployment must have had before being late is held against it.
_FAIR_PART = 0.5
_WAITS = ("retry-after", "retry-after-ms")
_BUSY = frozenset({429, 503, 529})


async def _first_events(
    answer: Answer, reader: EventReader, most: int
) -> tuple[list[bytes], answers.StreamState]:
    """The events that came with the first choice, and the state there: error, end or `begun`.

    Up to there another deployment can still answer. After an error, the event that told it is the last one.
    """
    found, state, size = list[bytes](), answers.StreamState(), 0
    while True:
        chunk = await answer.chunk()
        try:
            events = reader.feed(chunk) if chunk else reader.end()
        except EventTooLong as error:
            raise BadAnswer(str(error)) from None
        for index, data in enumerate(events):
            state, _ = answers.watch(state, data)
            if state.error:
                return [*found, *events[: index + 1]], state
            if state.begun or state.done:
                return [*found, *events], state
        found += events
        size += len(chunk)
        if not chunk:
            return found, state
        if size > most:
            raise BadAnswer(f"more than {most} bytes without a choice")
