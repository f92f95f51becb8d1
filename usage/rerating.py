"""Rating history anew: each attempt with the price that held when it started; its old cost is kept."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from providers.changes import ConfigVersion
from providers.models import Deployment, Price
from providers.patterns import is_pattern
from providers.price_book import General, arranged, general_prices, prices_of, readable
from providers.prices import PriceList, timeline
from usage import ledger
from usage.ids import first_uuid7
from usage.models import Attempt, RatedBefore, Rerating
from usage.pricing import Rated, Used, rated

BATCH = 2000
_LOCK = 0x5357_5553
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST = 2**63 - 1
_NOT_RATED = (Attempt.Status.REFUSED, Attempt.Status.CACHED)
_READ = (
    "attempt_id",
    "started_at",
    "deployment",
    "upstream_model",
    "endpoint",
    "status",
    "http_status",
    "error_class",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "audio_input_tokens",
    "audio_output_tokens",
    "images",
    "audio_seconds",
    "characters",
    "cost_nano",
    "price_id",
    "priced",
)


@dataclass(frozen=True, slots=True)
class Span:
    """Attempts of one model that started in [since, until); `until` None: until now."""

    model: str
    since: datetime
    until: datetime | None = None


@dataclass(slots=True)
class Tally:
    """What was looked at and what became of it; costs in nano-dollars over all rows."""

    rows: int = 0
    changed: int = 0
    unresolved: int = 0
    cost_before: int = 0
    cost_after: int = 0

    def add(self, other: "Tally") -> None:
        self.rows += other.rows
        self.changed += other.changed
        self.unresolved += other.unresolved
        self.cost_before = min(self.cost_before + other.cost_before, _MOST)
        self.cost_after = min(self.cost_after + other.cost_after, _MOST)


@dataclass(slots=True)
class Book:
    """Finds the prices for a row: by its deployment's name, else by the price that it was rated with."""

    by_name: dict[str, tuple[PriceList, ...]]
    wildcards: Mapping[str, str] = field(default_factory=dict)  # deployment -> its provider's kind
    general: General = field(default_factory=dict)
    _filled: dict[tuple[str, str], tuple[PriceList, ...]] = field(default_factory=dict)
    _by_price: dict[int, tuple[PriceList, ...] | None] = field(default_factory=dict)

    @classmethod
    def load(cls) -> "Book":
        deployments = list(Deployment.objects.select_related("provider"))
        rows = prices_of(deployments)
        found = arranged(deployments, rows)
        wildcards = {row.name: row.provider.kind for row in deployments if is_pattern(row.upstream_model)}
        general = general_prices(rows) if wildcards else {}
        return cls({row.name: found[row.pk] for row in deployments}, wildcards, general)

    def prices(
        self, deployment: str, upstream_model: str | None, price_id: int | None
    ) -> tuple[PriceList, ...] | None:
        """None: nothing tells what this attempt is to be rated with."""
        if upstream_model and deployment in self.wildcards:
            return self._of_wildcard(deployment, upstream_model)
        if (known := self.by_name.get(deployment)) is not None or price_id is None:
            return known
        if price_id not in self._by_price:
            self._by_price[price_id] = _same_subject(price_id)
        return self._by_price[price_id]

    def _of_wildcard(self, deployment: str, upstream_model: str) -> tuple[PriceList, ...]:
        """Its own prices, else those of the model that it was asked for."""
        found = self._filled.get((deployment, upstream_model))
        if found is None:
            general = self.general.get((self.wildcards[deployment], upstream_model), ())
            found = timeline(self.by_name[deployment], general)
            self._filled[deployment, upstream_model] = found
        return found


def _same_subject(price_id: int) -> tuple[PriceList, ...] | None:
    """All prices of what this one is the price of; None when it is gone."""
    price = Price.objects.filter(pk=price_id).first()
    if price is None:
        return None
    same = Price.objects.filter(
        deployment=price.deployment_id, kind=price.kind, upstream_model=price.upstream_model
    )
    if price.deployment_id is None:
        same = same.filter(deployment__isnull=True)
    return tuple(readable(same.order_by("effective_from", "pk")))


@dataclass(frozen=True, slots=True)
class _Page:
    """Some rows rated anew: `changes` are (row as it was, its new rating)."""

    last: UUID
    tally: Tally
    changes: Sequence[tuple[Any, Rated]]


def rerate(span: Span, who: str, told: Callable[[Tally], None] = lambda tally: None) -> Rerating:
    """Rate these attempts anew, batch by batch, each in a transaction of its own.

    A run that was cut off goes on where it was, unless the configuration changed since. `told` hears the
    sums after each batch. Raises `django.db.Error`.
    """
    with transaction.atomic():
        run = _unfinished(span) or _begin(span, who)
    book = Book.load()
    while run.finished_at is None:
        run = _next_batch(run.pk, book)
        told(Tally(run.rows, run.changed, run.unresolved, run.cost_before, run.cost_after))
    return run


def foresee(span: Span) -> Tally:
    """What `rerate` would come to; changes nothing."""
    book, total = Book.load(), Tally()
    until, after = span.until or timezone.now(), None
    while (page := _page(span.model, span.since, until, after, book)) is not None:
        total.add(page.tally)
        after = page.last
    return total


def _unfinished(span: Span) -> Rerating | None:
    found = Rerating.objects.filter(
        model=span.model,
        since=span.since,
        open_ended=span.until is None,
        config_version=ConfigVersion.current(),
        finished_at__isnull=True,
    )
    return (found if span.until is None else found.filter(until=span.until)).first()


def _begin(span: Span, who: str) -> Rerating:
    return Rerating.objects.create(
        who=who[:150],
        model=span.model,
        since=span.since,
        until=span.until or timezone.now(),
        open_ended=span.until is None,
        config_version=ConfigVersion.current(),
    )


def _next_batch(run_id: int, book: Book) -> Rerating:
    """The run after one more batch, or finished."""
    with transaction.atomic():
        _only_one()
        run = Rerating.objects.get(pk=run_id)  # another process may be at the same run
        page = _page(run.model, run.since, run.until, run.reached, book)
        if page is None:
            run.finished_at = run.finished_at or timezone.now()
        else:
            _write(run, page)
            total = Tally(run.rows, run.changed, run.unresolved, run.cost_before, run.cost_after)
            total.add(page.tally)
            run.reached = page.last
            run.rows, run.changed, run.unresolved = total.rows, total.changed, total.unresolved
            run.cost_before, run.cost_after = total.cost_before, total.cost_after
        run.save()
    return run


def _only_one() -> None:
    """One batch at a time, so that none keeps a wrong old cost; SQLite has locked the database already."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])


def _page(model: str, since: datetime, until: datetime, after: UUID | None, book: Book) -> _Page | None:
    rows = Attempt.objects.filter(
        model=model, attempt_id__gte=first_uuid7(since), attempt_id__lt=first_uuid7(until)
    ).exclude(status__in=_NOT_RATED)
    if after is not None:
        rows = rows.filter(attempt_id__gt=after)
    found = list(rows.order_by("attempt_id").values_list(*_READ, named=True)[:BATCH])
    return _rated_anew(found, book) if found else None


def _rated_anew(rows: Sequence[Any], book: Book) -> _Page:
    tally = Tally(rows=len(rows))
    changes: list[tuple[Any, Rated]] = []
    for row in rows:
        prices = book.prices(row.deployment, row.upstream_model, row.price_id)
        if prices is None:
            tally.unresolved += 1
            rating = Rated(row.cost_nano, row.price_id)
        else:
            rating = _rate(row, prices)
            if (row.cost_nano, row.price_id, row.priced) != (
                rating.cost_nano,
                rating.price_id,
                rating.priced,
            ):
                changes.append((row, rating))
        tally.cost_before += row.cost_nano
        tally.cost_after += rating.cost_nano
    tally.changed = len(changes)
    return _Page(rows[-1].attempt_id, tally, changes)


def _rate(row: Any, prices: Sequence[PriceList]) -> Rated:
    used = Used(
        prompt=row.prompt_tokens,
        completion=row.completion_tokens,
        cached=row.cached_tokens,
        cache_write=row.cache_write_tokens,
        reasoning=row.reasoning_tokens,
        audio_input=row.audio_input_tokens,
        audio_output=row.audio_output_tokens,
        images=row.images,
        seconds=row.audio_seconds or 0,
        characters=row.characters or 0,
    )
    at_ms = (row.started_at - _EPOCH) // timedelta(milliseconds=1)
    return rated(
        prices, at_ms, used,
        status=row.status, http_status=row.http_status, error_class=row.error_class, endpoint=row.endpoint,
    )  # fmt: skip


def _write(run: Rerating, page: _Page) -> None:
    if not page.changes:
        return
    RatedBefore.objects.bulk_create(
        RatedBefore(rerating=run, attempt_id=row.attempt_id, cost_nano=row.cost_nano, price_id=row.price_id)
        for row, _ in page.changes
    )
    _update(page.changes)
    ledger.mark(sorted({ledger.hour_of(row.attempt_id) for row, _ in page.changes}))


def _update(changes: Iterable[tuple[Any, Rated]]) -> None:
    prepare = Attempt._meta.pk.get_db_prep_value
    values = [
        (rating.cost_nano, rating.priced, rating.price_id, prepare(row.attempt_id, connection))
        for row, rating in changes
    ]
    with connection.cursor() as cursor:
        cursor.executemany(
            f"UPDATE {Attempt._meta.db_table} SET cost_nano = %s, priced = %s, price_id = %s "  # noqa: S608
            "WHERE attempt_id = %s",
            values,
        )
