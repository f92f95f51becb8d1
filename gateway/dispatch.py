"""One admitted request: deployments are asked in turn until one answers, then the books are closed."""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace

import structlog

from gateway import answers, calls
from gateway.asking import Asking
from gateway.attempts import Attempt, Outcome, Subject
from gateway.deciding import Case
from gateway.errors import ApiError
from gateway.exchange import Exchange, unanswered
from gateway.failures import AttemptFailed, Unanswered
from gateway.keeping import Keeping
from gateway.messages import Reply
from gateway.passages import Passage, passage
from gateway.request import Request
from gateway.runtime import Gateway
from gateway.streams import EventStream
from gateway.uploads import MODEL
from gateway.upstream_calls import upstream_body
from keys import limits
from providers.connection import Body, UpstreamError, UpstreamTimeout
from providers.decisions import RETRY
from providers.dialects import RESPONSES
from providers.retries import Kind, Stop, stop
from providers.router import Order
from providers.snapshot import DRAIN, ServedModel, Target
from providers.state import Settlement, Ticket
from providers.translation import Untranslatable
from usage.journal import JournalFull

log = structlog.get_logger(__name__)
BACKGROUND = "background"


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
            handed_over = not isinstance(reply.body, bytes)  # a stream closes the books itself
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
            except Untranslatable as cannot:
                tried.add(target.id)
                await self._pass_over(target, tried, cannot)
                continue
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

    async def _pass_over(self, target: Target, tried: set[int], cannot: Untranslatable) -> None:
        """Nothing was sent: another one may take it in the client's own words. Raises `ApiError`."""
        if not self.slot_attempts:
            self.gateway.router.health.undecided(target.id)  # it may have been meant to probe
        self.order = self._next(tried, None)
        if not self.order.ids or not await self._move(again=False):
            raise ApiError(400, str(cannot), code="unsupported_parameter", param=cannot.param)

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
        request, model = self.request, self.model
        order = self.gateway.order(model, tried, request.tags(model), request.left_out(model))
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
        gateway, request = self.gateway, self.request
        way = passage(request.surface, target, self.model.most_output, gateway.unspoken)
        body = self._body(target, way)
        attempt = Attempt(
            self.subject, target, gateway.books, gateway.router.health,
            number=self.attempts + 1, likely_output=self._uncounted(target, way),
            goes_on=self._goes_on(target, way),
            signals=gateway.router.signals(self.model),
            decision=self.case.choice(
                self.order, target.id, again=fresh and target.id == self.order.ids[0],
                waited=0.0 if self.attempts else self.waited,
            ),
        )  # fmt: skip
        keeps = request.caller.keeps
        if keeps is not None:
            attempt.keeping = Keeping(self.call.body, days=keeps.days, most=gateway.most_kept)
        attempt.start()
        self.attempts += 1
        self.slot_attempts += 1
        usual = target.first_event_timeout if self.call.stream else target.timeout
        limit = min(usual, request.seconds_left())
        exchange = Exchange(
            request, self.subject, self.model, attempt, way, self._limit_headers(), self._end, self.close
        )
        try:
            async with asyncio.timeout(limit) as timeout:
                return await exchange.run(body or self._form(target, timeout, usual), fresh=fresh)
        except TimeoutError:
            error = UpstreamTimeout(f"no answer within {limit:.3g} s")
            # with little of the deadline left, being late says nothing of the deployment
            raise unanswered(self.model.name, attempt, error, fair=limit > usual * _FAIR_PART) from None
        except UpstreamError as error:
            raise unanswered(self.model.name, attempt, error) from None
        except ApiError as error:  # of the client's own upload
            prompt = answers.Usage(self.subject.prompt_tokens, 0, estimated=True)
            self._end(attempt, Outcome("cancelled", prompt, error_class=error.code or "bad_upload"))
            raise
        except AttemptFailed:
            raise
        except Exception:  # a fault of the gateway's own: what it counts as under way must end all the same
            self._end(attempt, Outcome("failed", error_class="gateway_error"))
            raise
        except asyncio.CancelledError:
            prompt = answers.Usage(self.subject.prompt_tokens, 0, estimated=True)
            self._end(attempt, Outcome("cancelled", prompt, error_class="client_left"))
            raise

    def _form(self, target: Target, timeout: asyncio.Timeout, usual: float) -> bytes | Body:
        """The client's form; or nothing at all."""
        upload = self.request.inbound.upload
        if upload is None:
            return b""
        clock = _Clock(self.request, timeout, usual)
        if not target.upstream_model:  # a provider as a whole, which keeps the file
            return upload.body(upload.fields.get(MODEL), {}, clock)
        defaults = {name: value for name, value in target.defaults.items() if name not in target.refused}
        return upload.body(target.upstream_model, defaults, clock)

    def _body(self, target: Target, way: Passage) -> bytes:
        """What is sent there. Raises `Untranslatable`."""
        call, cap = self.call, self.asking.output_cap(self.ticket)
        if not call.body or not call.model:
            return call.body
        if way.translation is None:
            return upstream_body(call, target, cap, way.wire, self.request.edits)
        words = way.translation.request(call.body, drop=target.drops)
        if left_out := way.translation.left_out:
            log.info("left_out", model=self.model.name, deployment=target.name, what=list(left_out))
        return upstream_body(calls.translated(call, words), target, cap, way.wire)

    def _goes_on(self, target: Target, way: Passage) -> bool:
        """Whether it is made in the background: what it uses, its provider tells when nobody counts it."""
        if way.translation is not None or way.wire.name != RESPONSES or BACKGROUND in target.refused:
            return False
        told = self.call.fields.get(BACKGROUND, target.defaults.get(BACKGROUND))
        return told is not None and bytes(memoryview(told)) == b"true"

    def _uncounted(self, target: Target, way: Passage) -> int:
        """Output tokens charged where nobody counts them: in the background, all that it may have."""
        estimate = self.asking.estimate
        if not self._goes_on(target, way):
            return estimate.likely_output
        bound = self.asking.output_cap(self.ticket)
        if bound is None:
            bound = estimate.likely_output if estimate.cap is None else estimate.want_output
        return bound

    def _with_beside(self, usage: answers.Usage) -> answers.Usage:
        """What was spoken, and where nobody told how much was heard, as much as its bytes have as a rule."""
        reading, upload = self.request.surface.reading, self.request.inbound.upload
        if reading.spoken:
            return replace(usage, characters=self.call.beside.characters)
        if reading.heard and usage.estimated and not usage.seconds and upload is not None and upload.complete:
            return replace(usage, seconds=calls.sound_of(upload.size).seconds)
        return usage

    def _limit_headers(self) -> dict[str, str]:
        return limits.headers(self.asking.rules, self.ticket) if self.asking.rules else {}

    def _end(self, attempt: Attempt, outcome: Outcome) -> None:
        if attempt.goes_on and outcome.usage.estimated:
            written = max(outcome.usage.completion, attempt.likely_output)
            outcome = replace(outcome, usage=replace(outcome.usage, completion=written))
        if outcome.status in _WAS_SERVED:
            outcome = replace(outcome, usage=self._with_beside(outcome.usage))
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
            if self.call.cap != 0:  # what writes nothing says nothing of how long answers are
                self.gateway.completions.observe(model, usage.completion // self.call.choices)


@dataclass(slots=True)
class _Clock:
    """Lets an attempt's time run only while the provider has something to take or to answer.

    What the client takes to send is not counted, neither here nor in the request's deadline.
    """

    request: Request
    timeout: asyncio.Timeout
    usual: float
    stopped: float | None = None

    def stop(self) -> None:
        if self.stopped is None:
            self.stopped = time.monotonic()
            self._set(None)

    def go(self) -> None:
        if self.stopped is not None:
            self.request.until += time.monotonic() - self.stopped
            self.stopped = None
            left = min(self.usual, self.request.seconds_left())
            self._set(asyncio.get_running_loop().time() + left)

    def _set(self, when: float | None) -> None:
        with suppress(RuntimeError):  # the answer came, or the time was up, before all was sent
            self.timeout.reschedule(when)


async def _read_on(task: asyncio.Task[Reply]) -> None:
    """Wait for an answer whose client left, and read it to its end."""
    with suppress(Unanswered, JournalFull):
        reply = await task
        if isinstance(reply.body, EventStream):
            await reply.body.read_on()


def _give_up(task: asyncio.Task[Reply]) -> None:
    if task.cancel() or task.cancelled() or task.exception() is not None:
        return
    if not isinstance(body := task.result().body, bytes):
        body.close()


# Of its usual time, what a deployment must have had before being late is held against it.
_FAIR_PART = 0.5
# These cost what they used; of a failure nobody knows that anything was done.
_WAS_SERVED = ("ok", "cancelled")
