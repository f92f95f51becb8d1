"""The sums that rows must have, added up in Python; and those that the database has."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

from hypothesis import strategies as st

from tests.usage.rows import settled
from usage.ledger import hour_of
from usage.models import DailyUsage, HourlyUsage, Sums
from usage.records import Settled
from usage.sums import GROUP, SUMS

type Tally = dict[tuple[object, ...], dict[str, int]]

NOON = datetime(2026, 11, 3, 12, tzinfo=UTC)
_ADDED = (
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "cost_nano",
    "latency_ms",
    "ttft_ms",
)

rows_of_two_days = st.lists(
    st.builds(
        lambda minutes, deployment, **values: settled(
            at=NOON + timedelta(minutes=minutes), deployment=deployment, provider=deployment, **values
        ),
        st.integers(0, 24 * 60),
        st.sampled_from(["", "llm-a"]),
        key=st.sampled_from(["alice", "bob"]),
        team=st.sampled_from(["", "readers"]),
        end_user=st.sampled_from(["", "u", "ü"]),
        task=st.sampled_from(["", "u"]),
        status=st.sampled_from(["ok", "failed"]),
        prompt_tokens=st.integers(0, 10**12),
        completion_tokens=st.integers(0, 99),
        cached_tokens=st.integers(0, 99),
        reasoning_tokens=st.integers(0, 99),
        cost_nano=st.integers(0, 10**15),
        priced=st.booleans(),
        attempt_number=st.integers(1, 3),
        estimated=st.booleans(),
        latency_ms=st.none() | st.integers(0, 10**6),
        ttft_ms=st.none() | st.integers(0, 10**6),
    ),
    max_size=12,
)


def by_hour(rows: Iterable[Settled]) -> Tally:
    return _tally((hour_of(row.attempt_id), row) for row in rows)


def by_day(rows: Iterable[Settled]) -> Tally:
    return _tally((hour_of(row.attempt_id).date(), row) for row in rows)


def hours() -> Tally:
    """The hourly sums of the database; those of pruned attempts are added to the others."""
    return _found((row.hour, row) for row in HourlyUsage.objects.all())


def days() -> Tally:
    return _found((row.day, row) for row in DailyUsage.objects.all())


def _tally(placed: Iterable[tuple[datetime | date, Settled]]) -> Tally:
    totals: dict[tuple[object, ...], Counter[str]] = {}
    for when, row in placed:
        values = {name: getattr(row, name) or 0 for name in _ADDED}
        values |= {"requests": 1, "estimated": int(row.estimated), "ttft_count": int(row.ttft_ms is not None)}
        values["retries"] = int(row.attempt_number > 1)
        values["unpriced"] = int(bool(row.deployment) and not row.priced)
        totals.setdefault((when, *(getattr(row, name) for name in GROUP)), Counter()).update(values)
    return {bucket: {name: total[name] for name in SUMS} for bucket, total in totals.items()}


def _found(placed: Iterable[tuple[datetime | date, Sums]]) -> Tally:
    totals: dict[tuple[object, ...], Counter[str]] = {}
    for when, row in placed:
        bucket = (when, *(getattr(row, name) for name in GROUP))
        totals.setdefault(bucket, Counter()).update({name: getattr(row, name) for name in SUMS})
    return {bucket: {name: total[name] for name in SUMS} for bucket, total in totals.items()}
