"""Removing what is older than an operator wants to keep. The sums of what is removed stay, to the nano."""

import logging
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from django.db import OperationalError, connection, transaction
from django.db.models import QuerySet

from usage import partitions, sums
from usage.ids import first_uuid7
from usage.ledger import hour_of
from usage.models import Attempt, DailyUsage, DirtyHour, DroppedHour, HourlyUsage, RatedBefore
from usage.rollup import DAY, HOUR, day_of, only_one_at, put_hour, roll_up_hour

log = logging.getLogger(__name__)

# Rows that SQLite removes in one transaction; others write between two of them.
BATCH = 5000
_PAUSE = 0.1
_PATIENCE = "2s"
_FOR_EVER = 100 * 365


@dataclass(frozen=True, slots=True)
class Keep:
    """For how many days; 0 is for ever. The sums of an hour stay at least as long as its attempts."""

    attempt_days: int
    hour_days: int


def apply(keep: Keep, now: datetime | None = None, *, within: float = float("inf")) -> None:
    """Remove attempts past their time (on PostgreSQL by whole months), then hours past theirs.

    After `within` seconds it leaves the rest for the next time.
    """
    moment, deadline = now or datetime.now(UTC), time.monotonic() + within
    if 0 < keep.attempt_days < _FOR_EVER:
        until = moment - timedelta(keep.attempt_days)
        if connection.vendor == "postgresql":
            _drop_months(until, deadline)
        else:
            _delete_attempts(until, deadline)
        _delete_old_costs(until, deadline)
    if 0 < keep.hour_days < _FOR_EVER:
        _delete_hours(day_of(moment - timedelta(keep.hour_days)), deadline)


# --- attempts on PostgreSQL --------------------------------------------------------------------
def _drop_months(until: datetime, deadline: float) -> None:
    for month in partitions.existing_months():
        begin, end = (_first_moment(day) for day in partitions.months_from(month, 2))
        if end > until or time.monotonic() > deadline:
            return
        try:
            dropped = _drop_month(month, begin, end)
        except OperationalError as error:
            log.warning("attempts_not_dropped month=%s error=%s", month, str(error).split("\n")[0])
            return
        if dropped:
            log.info("attempts_dropped month=%s", month)


def _drop_month(month: date, begin: datetime, end: datetime) -> bool:
    """False: rows came in the last moment, and are to be summed first."""
    for dirty in list(_dirty(begin, end).values_list("hour", flat=True)):
        roll_up_hour(dirty)
    with transaction.atomic():
        partitions.hold_alone(_PATIENCE)
        if _dirty(begin, end).exists():
            return False
        hours = [begin + HOUR * number for number in range((end - begin) // HOUR)]
        DroppedHour.objects.bulk_create(map(DroppedHour, hours), ignore_conflicts=True)
        partitions.drop(month)
    return True


def _first_moment(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _dirty(begin: datetime, end: datetime) -> QuerySet[DirtyHour]:
    return DirtyHour.objects.filter(hour__gte=begin, hour__lt=end).order_by("hour")


# --- attempts on SQLite ------------------------------------------------------------------------
def _delete_attempts(until: datetime, deadline: float) -> None:
    old = Attempt.objects.filter(attempt_id__lt=first_uuid7(until)).order_by("attempt_id")
    while oldest := old.values_list("attempt_id", flat=True).first():
        hour = hour_of(oldest)
        if hour + HOUR > until or time.monotonic() > deadline:
            return
        roll_up_hour(hour)
        _delete_some(hour)
        time.sleep(_PAUSE)


def _delete_some(hour: datetime) -> None:
    """Move the sums of this hour's first rows to those of the pruned, and remove the rows."""
    with transaction.atomic():
        if DirtyHour.objects.filter(hour=hour).exists():
            return
        begin, end = first_uuid7(hour), _end_of_batch(hour)
        sums.collect_attempts(begin, end)
        sums.add(sums.of_hour(hour))
        sums.drop_collected()
        Attempt.objects.filter(attempt_id__gte=begin, attempt_id__lt=end).delete()
        put_hour(hour)


def _end_of_batch(hour: datetime) -> UUID:
    begin, end = first_uuid7(hour), first_uuid7(hour + HOUR)
    ids = Attempt.objects.filter(attempt_id__gte=begin, attempt_id__lt=end).order_by("attempt_id")
    return next(iter(ids.values_list("attempt_id", flat=True)[BATCH : BATCH + 1]), end)


# --- what attempts cost before a rerating ------------------------------------------------------
def _delete_old_costs(until: datetime, deadline: float) -> None:
    """Those of attempts that are gone; the reratings themselves stay."""
    oldest = Attempt.objects.order_by("attempt_id").values_list("attempt_id", flat=True).first()
    bound = min(oldest or first_uuid7(until), first_uuid7(until))
    gone = RatedBefore.objects.filter(attempt_id__lt=bound).order_by("attempt_id")
    while some := list(gone.values_list("attempt_id", flat=True)[:BATCH]):
        RatedBefore.objects.filter(attempt_id__lte=some[-1]).delete()
        if time.monotonic() > deadline:
            return
        time.sleep(_PAUSE)


# --- hours -------------------------------------------------------------------------------------
def _delete_hours(until: datetime, deadline: float) -> None:
    """Day by day, those whose attempts are gone."""
    old = HourlyUsage.objects.filter(hour__lt=until).order_by("hour").values_list("hour", flat=True)
    since = datetime.min.replace(tzinfo=UTC)
    while (oldest := old.filter(hour__gte=since).first()) and time.monotonic() < deadline:
        day = day_of(oldest)
        _delete_hours_of(day)
        since = day + DAY


def _delete_hours_of(day: datetime) -> None:
    """Move the day's sums to those of the pruned, and remove its hours."""
    with transaction.atomic():
        only_one_at(day)
        if _has_attempts(day):
            return
        sums.collect_hours(day, day + DAY)
        sums.add(sums.of_day(day))
        sums.drop_collected()
        DailyUsage.objects.filter(day=day.date(), pruned=False).delete()
        for model in (HourlyUsage, DroppedHour):
            model.objects.filter(hour__gte=day, hour__lt=day + DAY).delete()


def _has_attempts(day: datetime) -> bool:
    of_day = Attempt.objects.filter(attempt_id__gte=first_uuid7(day), attempt_id__lt=first_uuid7(day + DAY))
    return of_day.exists() or _dirty(day, day + DAY).exists()
