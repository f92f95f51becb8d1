"""One attempt at one deployment: its journal records, and what its end says of the deployment."""

import time
from dataclasses import dataclass, field, replace
from uuid import UUID

from gateway.answers import Usage
from gateway.calls import NOTHING_BESIDE, Beside
from gateway.keeping import Keeping
from gateway.metrics import Books
from providers.decisions import with_then
from providers.health import Health
from providers.signals import Signals
from providers.snapshot import NOT_BILLED, Target
from usage.ids import unix_ms, uuid7
from usage.pricing import LEFT_UNBILLED, UNPRICED, Rated, Used, rated
from usage.records import Settled, Started

NOTHING = Usage()


@dataclass(frozen=True, slots=True)
class Subject:
    """What all rows of one request have in common."""

    request_id: str
    key: str
    key_id: str
    team: str
    end_user: str
    model: str
    endpoint: str
    stream: bool
    prompt_tokens: int
    config_version: int
    task: str = ""
    chat_id: str | None = None
    beside: Beside = NOTHING_BESIDE


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended. `healthy` None: it says nothing about the deployment.

    `then`: of a failure, what it meant for the request, as `Decision.then`.
    """

    status: str
    usage: Usage = NOTHING
    error_class: str = ""
    healthy: bool | None = None
    then: str = ""


@dataclass(slots=True)
class Attempt:
    """Begins with a `started` record and ends with exactly one `settled` one, however it ends.

    `number`: which of its request's attempts; `likely_output`: tokens that are charged if nobody lives to
    count them. `signals`: where what routing looks at is told, if its model's strategy looks at any.
    `decision`: why this deployment, as a record. `goes_on`: its provider works on when it has ended here.
    """

    subject: Subject
    target: Target
    books: Books
    health: Health
    id: UUID = field(default_factory=uuid7)
    began: float = field(default_factory=time.monotonic)
    upstream_request_id: str | None = None
    http_status: int | None = None
    first_token_at: float | None = None
    closed: bool = False
    keeping: Keeping | None = None
    number: int = 1
    likely_output: int = 0
    goes_on: bool = False
    signals: Signals | None = None
    decision: str | None = None
    waiting: bool = True

    def start(self) -> None:
        """Write it down before it is sent. Raises `JournalFull`."""
        subject, target = self.subject, self.target
        beside = subject.beside
        estimate = Used(
            subject.prompt_tokens, self.likely_output,
            images=beside.pictures, seconds=beside.seconds, characters=beside.characters,
        )  # fmt: skip
        foreseen = rated(target.prices, unix_ms(self.id), estimate, status="interrupted", http_status=None)
        self.books.started(
            Started(
                attempt_id=self.id,
                request_id=subject.request_id,
                started_at=unix_ms(self.id),
                key=subject.key,
                key_id=subject.key_id,
                team=subject.team,
                end_user=subject.end_user,
                model=subject.model,
                deployment=target.name,
                provider=target.provider,
                endpoint=subject.endpoint,
                stream=subject.stream,
                prompt_estimate=subject.prompt_tokens,
                completion_estimate=self.likely_output,
                attempt_number=self.number,
                config_version=subject.config_version,
                task=subject.task,
                cost_nano=foreseen.cost_nano,
                price_id=foreseen.price_id,
                upstream_model=target.upstream_model,
                decision=self.decision,
                chat_id=subject.chat_id,
                images=beside.pictures,
                audio_seconds=beside.seconds or None,
                characters=beside.characters or None,
            )
        )
        self.books.in_flight.began(target.id, subject.model, target.name)
        self.health.asked(target.share.id)
        if self.signals is not None:
            self.signals.asked(target.id, self.began)

    def head_came(self, status: int, upstream_request_id: str | None) -> None:
        self.http_status = status
        self.upstream_request_id = upstream_request_id
        self.first_token_at = time.monotonic()

    def first_token(self) -> None:
        """A stream's first event came; of a whole answer its head is taken for it."""
        self.first_token_at = now = time.monotonic()
        if self.signals is not None:
            self.waiting = False
            self.signals.first_token(self.target.id, now - self.began, now)

    def close(self, outcome: Outcome) -> Settled | None:
        """Write the row and return it. Only the first call counts."""
        if self.closed:
            return None
        self.closed = True
        self.books.in_flight.ended(self.target.id)
        if outcome.status == "cancelled" and self.subject.stream and self.target.on_disconnect == NOT_BILLED:
            outcome = replace(outcome, error_class=LEFT_UNBILLED)
        self._tell_health(outcome.healthy)
        if self.signals is not None:
            self._tell(self.signals, outcome, time.monotonic())
        row = self._row(outcome)
        if self.keeping is not None:  # before the row: whoever finds it finds what was said too
            self.books.kept(self.keeping.draft(row))
        self.books.settled(row)
        return row

    def _tell_health(self, healthy: bool | None) -> None:
        match healthy:
            case True:
                self.health.succeeded(self.target.id, time.monotonic(), self.began)
            case False:
                self.health.failed(self.target.id, time.monotonic(), self.began)
            case None:
                self.health.undecided(self.target.id, self.began)

    def _tell(self, signals: Signals, outcome: Outcome, now: float) -> None:
        id = self.target.id
        if outcome.healthy is False:
            signals.failed(id, now)
        elif self.waiting and outcome.healthy and self.first_token_at is not None:
            self.waiting = False
            signals.first_token(id, self.first_token_at - self.began, now)
        elif self.waiting and outcome.status == "cancelled":
            signals.given_up(id, now - self.began, now)
        signals.ended(id, now, waiting=self.waiting, tokens=outcome.usage.total)

    def _row(self, outcome: Outcome) -> Settled:
        ttft = None if self.first_token_at is None else _ms(self.first_token_at - self.began)
        return settled(
            self.subject,
            outcome,
            attempt_id=self.id,
            deployment=self.target.name,
            provider=self.target.provider,
            upstream_request_id=self.upstream_request_id,
            http_status=self.http_status,
            ttft_ms=ttft,
            latency_ms=_ms(time.monotonic() - self.began),
            rating=self._rating(outcome),
            attempt_number=self.number,
            upstream_model=self.target.upstream_model,
            decision=self._decided(outcome.then),
        )

    def _decided(self, then: str) -> str | None:
        return with_then(self.decision, then) if self.decision and then else self.decision

    def _rating(self, outcome: Outcome) -> Rated:
        usage = outcome.usage
        used = Used(
            prompt=usage.prompt,
            completion=usage.completion,
            cached=usage.cached,
            cache_write=usage.cache_write,
            reasoning=usage.reasoning,
            audio_input=usage.audio_input,
            audio_output=usage.audio_output,
            images=usage.images,
            seconds=usage.seconds,
            characters=usage.characters,
        )
        return rated(
            self.target.prices,
            unix_ms(self.id),
            used,
            status=outcome.status,
            http_status=self.http_status,
            error_class=outcome.error_class,
            endpoint=self.subject.endpoint,
        )


def _ms(seconds: float) -> int:
    return max(0, round(seconds * 1000))


def settled(
    subject: Subject,
    outcome: Outcome,
    *,
    attempt_id: UUID,
    deployment: str = "",
    provider: str = "",
    upstream_request_id: str | None = None,
    http_status: int | None = None,
    ttft_ms: int | None = None,
    latency_ms: int | None = None,
    rating: Rated = UNPRICED,
    attempt_number: int = 1,
    upstream_model: str | None = None,
    decision: str | None = None,
) -> Settled:
    """The usage row of an attempt, or of a request that never became one."""
    usage = outcome.usage
    return Settled(
        attempt_id=attempt_id,
        request_id=subject.request_id,
        started_at=unix_ms(attempt_id),
        key=subject.key,
        key_id=subject.key_id,
        team=subject.team,
        end_user=subject.end_user,
        model=subject.model,
        deployment=deployment,
        provider=provider,
        endpoint=subject.endpoint,
        stream=subject.stream,
        config_version=subject.config_version,
        status=outcome.status,
        upstream_request_id=upstream_request_id,
        http_status=http_status,
        error_class=outcome.error_class,
        prompt_tokens=usage.prompt,
        completion_tokens=usage.completion,
        cached_tokens=usage.cached,
        reasoning_tokens=usage.reasoning,
        cost_nano=rating.cost_nano,
        priced=rating.priced,
        estimated=usage.estimated,
        ttft_ms=ttft_ms,
        latency_ms=latency_ms,
        cache_write_tokens=usage.cache_write,
        audio_input_tokens=usage.audio_input,
        audio_output_tokens=usage.audio_output,
        images=usage.images,
        task=subject.task,
        anomaly=usage.anomaly,
        price_id=rating.price_id,
        attempt_number=attempt_number,
        upstream_model=upstream_model,
        decision=decision,
        chat_id=subject.chat_id,
        audio_seconds=usage.seconds or None,
        characters=usage.characters or None,
    )
