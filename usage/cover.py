"""Which roll-ups and which raw rows together are all usage since a moment, each counted once."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
EVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Span:
    """From `begin` on and before `end`."""

    begin: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Cover:
    """Attempts of `rows`; sums of the hours in `hours`, and of the days from `first_day` on.

    Of hours in `unsummed` and of days in `open_days` and before `first_whole_day`, only the sums of attempts
    that are gone: the others are counted by what is finer.
    """

    rows: tuple[Span, ...]
    hours: tuple[Span, ...]
    unsummed: tuple[datetime, ...]
    first_day: date
    first_whole_day: date
    open_days: tuple[date, ...]


def cover(since: datetime | None, dirty: Iterable[datetime]) -> Cover:
    """What to add up for the usage since then (None: ever) when the sums of `dirty` hours are not made.

    Where only sums are left, the hour or day of `since` counts whole.
    """
    since = EVER if since is None else since.astimezone(UTC)
    first_hour = since.replace(minute=0, second=0, microsecond=0)
    first_day = since.replace(hour=0, minute=0, second=0, microsecond=0)
    whole_day = first_day if first_day == since else first_day + DAY
    late = {hour.astimezone(UTC) for hour in dirty if hour >= first_hour}
    unsummed = late if first_hour == since else late | {first_hour}
    open_days = {_day(hour) for hour in late if hour >= whole_day}
    spans = [Span(day, day + DAY) for day in open_days]
    if first_hour < whole_day:
        spans.append(Span(first_hour, whole_day))
    return Cover(
        rows=_merged(Span(max(hour, since), hour + HOUR) for hour in unsummed),
        hours=_merged(spans),
        unsummed=tuple(sorted(unsummed)),
        first_day=first_day.date(),
        first_whole_day=whole_day.date(),
        open_days=tuple(sorted(day.date() for day in open_days)),
    )


def _day(hour: datetime) -> datetime:
    return hour.replace(hour=0)


def _merged(spans: Iterable[Span]) -> tuple[Span, ...]:
    """In order, and those that touch made one."""
    merged: list[Span] = []
    for span in sorted(spans, key=lambda span: span.begin):
        if merged and merged[-1].end == span.begin:
            merged[-1] = Span(merged[-1].begin, span.end)
        else:
            merged.append(span)
    return tuple(merged)
