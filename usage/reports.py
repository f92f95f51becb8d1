"""Usage as data for others: the rows of the ledger, one after the other."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from usage.ids import first_uuid7
from usage.models import Attempt

# In this order for every reader of an export.
FIELDS = (
    "attempt_id",
    "request_id",
    "upstream_request_id",
    "started_at",
    "key",
    "key_id",
    "team",
    "end_user",
    "model",
    "deployment",
    "provider",
    "endpoint",
    "status",
    "http_status",
    "error_class",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "cost_nano",
    "priced",
    "estimated",
    "stream",
    "ttft_ms",
    "latency_ms",
)
_PAGE = 2000
type Row = dict[str, str | int | bool | None]


@dataclass(frozen=True, slots=True)
class Period:
    """From `since` on and before `until`; None is open."""

    since: datetime | None = None
    until: datetime | None = None


def pages(period: Period) -> Iterator[list[Row]]:
    """The rows of this time in the order of their ids, in pages by key: memory stays flat, and no
    query or transaction lasts as long as the reader."""
    found = Attempt.objects.order_by("attempt_id")
    if period.since is not None:
        found = found.filter(attempt_id__gte=first_uuid7(period.since))
    if period.until is not None:
        found = found.filter(attempt_id__lt=first_uuid7(period.until))
    last = UUID(int=0)
    while rows := list(found.filter(attempt_id__gt=last).values(*FIELDS)[:_PAGE]):
        last = rows[-1]["attempt_id"]
        yield [plain(row) for row in rows]


def plain(row: dict[str, object]) -> Row:
    """A row's values as JSON has them."""
    started_at = row["started_at"]
    assert isinstance(started_at, datetime), "the column is one"
    moment = started_at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {**row, "attempt_id": str(row["attempt_id"]), "started_at": moment}  # type: ignore[dict-item]
