"""Sums per hour and day, derived from the attempts: making them again, at once or late changes nothing."""

import logging
import time
from datetime import UTC, datetime, timedelta
from itertools import groupby

from django.db import DatabaseError, connection, transaction
from django.db.models import Exists, OuterRef

from keys.models import EndUser
from usage import sums
from usage.ids import first_uuid7
from usage.models import DirtyHour, DroppedHour, HourlyUsage

log = logging.getLogger(__name__)

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
_LOCK = 0x5357_5552
# An hour of many million attempts takes longer than the statements of a page may.
_LONGEST = "600s"
# The sums of a day are made once for several of its hours; SQLite is locked as long.
_TURN = 1.0


def roll_up(*, within: float = float("inf")) -> int:
    """Make the sums of the hours that changed, and of their days, the newest first; how many hours.

    After `within` seconds it leaves the others for the next time.
    """
    deadline = time.monotonic() + within
    made = 0
    dirty = list(DirtyHour.objects.order_by("-hour").values_list("hour", flat=True))
    for _, hours in groupby(dirty, key=day_of):
        left = list(hours)
        while left and time.monotonic() < deadline:
            made += _roll_up_some(left)
    return made


def roll_up_hour(hour: datetime) -> bool:
    """Make the sums of this hour and its day if it changed; False: it did not, or another was faster."""
    return bool(_turn([hour]))


def _roll_up_some(left: list[datetime]) -> int:
    """Take hours off the list and make their sums; none has to wait for one that cannot be summed."""
    before = list(left)
    try:
        return _turn(left)
    except DatabaseError as error:
        if not connection.is_usable():
            raise
        if len(before) == 1:
            log.error("hour_not_rolled_up hour=%s error=%s", before[0].isoformat(), str(error).split("\n")[0])
            return 0
    left.clear()
    return sum(_roll_up_some([hour]) for hour in before)


def _turn(left: list[datetime]) -> int:
    """One transaction: off the list come hours of one day, until they took a second; how many had changed."""
    begun = time.monotonic()
    made: list[DirtyHour] = []
    with transaction.atomic():
        only_one_at(left[0])
        dirty = {mark.hour: mark for mark in DirtyHour.objects.filter(hour__in=left)}
        while left and (not made or time.monotonic() - begun < _TURN):
            if (mark := dirty.get(left.pop(0))) is not None:
                _set_dropped_apart(mark.hour)
                put_hour(mark.hour)
                made.append(mark)
        if made:
            put_day(made[0].hour)
            _add_end_users([mark.hour for mark in made])
        # A mark that came meanwhile is of rows that may not be in these sums: it stays. The primary key
        # tells it from a mark that was removed and set again. Writers set marks in the order of hours.
        for mark in sorted(made, key=lambda mark: mark.hour):
            DirtyHour.objects.filter(pk=mark.pk, marked=mark.marked).delete()
    return len(made)


def _add_end_users(hours: list[datetime]) -> None:
    """Whom served requests of these hours were for gets a row, for operators to find and limit.

    All at once and in order, so that no two roll-ups wait for each other; neither history nor the change
    log tells of it: nobody's limits have changed.
    """
    seen = HourlyUsage.objects.filter(hour__in=hours).exclude(end_user="").exclude(status="refused")
    known = EndUser.objects.filter(name=OuterRef("end_user"))
    names = seen.exclude(Exists(known)).order_by("end_user").values_list("end_user", flat=True).distinct()
    EndUser.objects.bulk_create(
        [EndUser(name=name, source=EndUser.Source.COMMAND) for name in names],
        ignore_conflicts=True,
        batch_size=1000,
    )


def only_one_at(moment: datetime) -> None:
    """On PostgreSQL wait for others at this day: sums of an older moment must not be put over newer ones.

    On SQLite the transaction has locked the database already.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            # A new hour or day is not in the planner's statistics: it would expect one row, and compare
            # thousands of buckets each with each.
            cursor.execute(
                "SELECT set_config('statement_timeout', %s, true), "
                "set_config('enable_nestloop', 'off', true)",
                [_LONGEST],
            )
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
