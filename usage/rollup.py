"""Sums per hour, derived from the attempts: making them again, at once or late changes nothing."""

from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction

from usage.ids import first_uuid7
from usage.models import Attempt, DirtyHour, HourlyUsage

_GROUP = ("key_id", "key", "team", "model", "deployment", "provider", "status")
_SUMS = {
    "requests": "COUNT(*)",
    "prompt_tokens": "SUM(prompt_tokens)",
    "completion_tokens": "SUM(completion_tokens)",
    "cost_nano": "SUM(cost_nano)",
    "latency_ms": "COALESCE(SUM(latency_ms), 0)",
}
_LOCK = 0x5357_5552


def roll_up() -> int:
    """Make the sums of all hours that changed; the number of hours made."""
    hours = DirtyHour.objects.order_by("hour").values_list("hour", flat=True)
    return sum(_roll_up(hour) for hour in list(hours))


def _roll_up(hour: datetime) -> bool:
    with transaction.atomic():
        _only_one_at(hour)
        dirty = DirtyHour.objects.filter(hour=hour).first()
        if dirty is None:  # another one was faster
            return False
        made = _put_sums(hour)
        if HourlyUsage.objects.filter(hour=hour).count() > made:
            _remove_vanished(hour)
        # A mark that came meanwhile is of rows that may not be in these sums: it stays. The primary
        # key tells it from a mark that was removed and set again.
        DirtyHour.objects.filter(pk=dirty.pk, marked=dirty.marked).delete()
    return True


def _only_one_at(hour: datetime) -> None:
    """On PostgreSQL wait for others at this hour: sums of an older moment must not be put over newer ones.

    On SQLite the transaction has locked the database already.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_LOCK, int(hour.timestamp()) // 3600])


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(connection.ops.quote_name(name) for name in names)


def _bounds(hour: datetime) -> list[Any]:
    return [
        Attempt._meta.pk.get_db_prep_value(first_uuid7(moment), connection)
        for moment in (hour, hour + timedelta(hours=1))
    ]


def _put_sums(hour: datetime) -> int:
    updates = ", ".join(f"{name} = excluded.{name}" for name in _SUMS)
    sql = (
        f"INSERT INTO {HourlyUsage._meta.db_table} (hour, {_names(_GROUP)}, {_names(tuple(_SUMS))}) "  # noqa: S608
        f"SELECT %s, {_names(_GROUP)}, {', '.join(_SUMS.values())} FROM {Attempt._meta.db_table} "
        f"WHERE attempt_id >= %s AND attempt_id < %s GROUP BY {_names(_GROUP)} "
        f"ON CONFLICT (hour, {_names(_GROUP)}) DO UPDATE SET {updates}"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, [connection.ops.adapt_datetimefield_value(hour), *_bounds(hour)])
        return int(cursor.rowcount)


def _remove_vanished(hour: datetime) -> None:
    sql = (
        f"DELETE FROM {HourlyUsage._meta.db_table} WHERE hour = %s AND ({_names(_GROUP)}) NOT IN "  # noqa: S608
        f"(SELECT {_names(_GROUP)} FROM {Attempt._meta.db_table} WHERE attempt_id >= %s AND attempt_id < %s)"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, [connection.ops.adapt_datetimefield_value(hour), *_bounds(hour)])
