"""The ledger's side of a bill: one provider's rows, or their sums by day and deployment."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Count, Q, QuerySet, Sum

from usage.ids import first_uuid7, unix_ms
from usage.models import Attempt
from usage.reconcile import Booked

_PAGE = 2000
# A bill dates a request when it was counted, which may be after the midnight that followed its start.
_SLACK = timedelta(hours=1)
_CHARGED = Q(http_status__gte=200, http_status__lt=300) | Q(prompt_tokens__gt=0) | Q(completion_tokens__gt=0)
_FIELDS = (
    *("attempt_id", "upstream_request_id", "model", "deployment", "upstream_model", "http_status"),
    *("prompt_tokens", "completion_tokens", "cost_nano", "priced", "estimated"),
)


@dataclass(frozen=True, slots=True)
class Subject:
    """One provider in one time; `upstream_models` maps a deployment to the provider's name for its model."""

    provider: str
    since: datetime
    until: datetime
    upstream_models: Mapping[str, str]

    def names(self, row: Mapping[str, Any]) -> tuple[str, ...]:
        """How the bill may call the model of a row, the provider's own name first."""
        model = row["model"]
        upstream = row["upstream_model"] or self.upstream_models.get(row["deployment"])
        return (model,) if upstream is None else (upstream, model)


def is_known(provider: str) -> bool:
    """Whether any row names it; a provider that was deleted still has its rows."""
    return Attempt.objects.filter(provider=provider).exists()


def sums(subject: Subject) -> Iterator[Booked]:
    """Sums by day (UTC, of the attempt's id) and each way of a model; one query a day, by primary key."""
    since = subject.since
    while since < subject.until:
        midnight = since.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        found = _between(subject, since, min(midnight, subject.until)).filter(_CHARGED)
        for row in _summed(found):
            yield _sum(subject, since.date(), row)
        since = midnight


def _summed(found: QuerySet[Attempt]) -> Iterable[Mapping[str, Any]]:
    return (
        found.order_by()
        .values("deployment", "model", "upstream_model")
        .annotate(
            count=Count("attempt_id"),
            prompt=Sum("prompt_tokens"),
            completion=Sum("completion_tokens"),
            cost=Sum("cost_nano"),
            guessed=Count("attempt_id", filter=Q(estimated=True)),
            unpriced=Count("attempt_id", filter=Q(priced=False)),
        )
    )


def _sum(subject: Subject, day: date, row: Mapping[str, Any]) -> Booked:
    return Booked(
        day=day,
        names=subject.names(row),
        amounts=_amounts(row["count"], row["prompt"], row["completion"], row["cost"]),
        estimated=row["guessed"],
        unpriced=row["unpriced"],
    )


def rows(subject: Subject) -> Iterator[Booked]:
    """Each row, also those of the hours around; in pages by key, so that memory stays flat."""
    found = _between(subject, subject.since - _SLACK, subject.until + _SLACK).order_by("attempt_id")
    last = UUID(int=0)
    while page := list(found.filter(attempt_id__gt=last).values(*_FIELDS)[:_PAGE]):
        last = page[-1]["attempt_id"]
        for row in page:
            yield _row(subject, row)


def _row(subject: Subject, row: Mapping[str, Any]) -> Booked:
    moment = datetime.fromtimestamp(unix_ms(row["attempt_id"]) / 1000, UTC)
    status, prompt, completion = row["http_status"], row["prompt_tokens"], row["completion_tokens"]
    upstream_id = row["upstream_request_id"]
    return Booked(
        day=moment.date(),
        names=subject.names(row),
        amounts=_amounts(1, prompt, completion, row["cost_nano"]),
        estimated=int(row["estimated"]),
        unpriced=int(not row["priced"]),
        ids=(*([upstream_id] if upstream_id else []), str(row["attempt_id"])),
        charged=status in range(200, 300) or prompt > 0 or completion > 0,
        inside=subject.since <= moment < subject.until,
    )


def _amounts(requests: int, prompt: int, completion: int, cost: int) -> dict[str, int]:
    return {
        "requests": requests,
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "cost_nano": cost,
    }


def _between(subject: Subject, since: datetime, until: datetime) -> QuerySet[Attempt]:
    return Attempt.objects.filter(
        provider=subject.provider,
        attempt_id__gte=first_uuid7(since),
        attempt_id__lt=first_uuid7(until),
    )
