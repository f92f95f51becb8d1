"""Sums per hour and day, derived from the attempts: making them again, at once or late changes nothing."""

import logging
import time
from datetime import UTC, datetime, timedelta

from django.db import DatabaseError, connection, transaction

from usage import sums
from usage.ids import first_uuid7
from usage.models import DirtyHour, DroppedHour, HourlyUsage

log = logging.getLogger(__name__)

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
_LOCK = 0x5357_5552
# An hour of many million attempts takes longer than the statements of a page may.
_LONGEST = "600s"


def roll_up(*, within: float = float("inf")) -> int:
    """Make the sums of the hours that changed, and of their days, the newest first; how many hours.

    After `within` seconds it leaves the others for the next time.
    """
    deadline = time.monotonic() + within
    made = 0
    for hour in list(DirtyHour.objects.order_by("-hour").values_list("hour", flat=True)):
        if time.monotonic() > deadline:
            break
        try:
            made += roll_up_hour(hour)
        except DatabaseError as error:  # no other hour has to wait for it
            if not connection.is_usable():
                raise
            log.error("hour_not_rolled_up hour=%s error=%s", hour.isoformat(), str(error).split("\n")[0])
    return made


def roll_up_hour(hour: datetime) -> bool:
    """Make the sums of this hour and its day if it changed; False: it did not, or another was faster."""
    with transaction.atomic():
        only_one_at(hour)
        dirty = DirtyHour.objects.filter(hour=hour).first()
        if dirty is None:
            return False
        _set_dropped_apart(hour)
        put_hour(hour)
        put_day(hour)
        # A mark that came meanwhile is of rows that may not be in these sums: it stays. The primary
        # key tells it from a mark that was removed and set again.
        DirtyHour.objects.filter(pk=dirty.pk, marked=dirty.marked).delete()
    return True


def only_one_at(moment: datetime) -> None:
    """On PostgreSQL wait for others at this day: sums of an older moment must not be put over newer ones.

    On SQLite the transaction has locked the database already.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [_LONGEST])
            cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_LOCK, day_of(moment).toordinal()])


def day_of(moment: datetime) -> datetime:
    """The first moment of its day in UTC."""
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def put_hour(hour: datetime) -> None:
    """The sums of the hour's attempts that are there; those of pruned ones stay."""
    sums.collect_attempts(first_uuid7(hour), first_uuid7(hour + HOUR))
    sums.put(sums.of_hour(hour))
    sums.drop_collected()


def put_day(hour: datetime) -> None:
    """The sums of the hours of this hour's day that are there; those of pruned ones stay."""
    day = day_of(hour)
    sums.collect_hours(day, day + DAY)
    sums.put(sums.of_day(day))
    sums.drop_collected()


def _set_dropped_apart(hour: datetime) -> None:
    """The hour's attempts went with their partition: its sums are of pruned ones, and late ones come now."""
    if not DroppedHour.objects.filter(hour=hour).delete()[0]:
        return
    sums.collect_hours(hour, hour + HOUR, live_only=True)
    sums.add(sums.of_hour(hour))
    sums.drop_collected()
    HourlyUsage.objects.filter(hour=hour, pruned=False).delete()
