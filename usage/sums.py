"""The SQL that adds attempts up into hours, and hours into days, on both databases."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from usage.models import Attempt, DailyUsage, HourlyUsage, Sums

GROUP = ("key_id", "key", "team", "end_user", "model", "deployment", "provider", "task", "status")
OF_ATTEMPTS = {
    "requests": "COUNT(*)",
    "retries": "SUM(CASE WHEN attempt_number > 1 THEN 1 ELSE 0 END)",
    "prompt_tokens": "SUM(prompt_tokens)",
    "completion_tokens": "SUM(completion_tokens)",
    "cached_tokens": "SUM(cached_tokens)",
    "reasoning_tokens": "SUM(reasoning_tokens)",
    "cost_nano": "SUM(cost_nano)",
    "estimated": "SUM(CASE WHEN estimated THEN 1 ELSE 0 END)",
    "unpriced": "SUM(CASE WHEN deployment <> '' AND NOT priced THEN 1 ELSE 0 END)",
    "latency_ms": "COALESCE(SUM(latency_ms), 0)",
    "ttft_ms": "COALESCE(SUM(ttft_ms), 0)",
    "ttft_count": "COUNT(ttft_ms)",
}
SUMS = tuple(OF_ATTEMPTS)
_COLLECTED = "usage_sums_collected"


@dataclass(frozen=True, slots=True)
class Target:
    """The rows of one hour or one day."""

    model: type[Sums]
    column: str
    value: Any

    @property
    def table(self) -> str:
        return self.model._meta.db_table


def of_hour(hour: datetime) -> Target:
    return Target(HourlyUsage, "hour", connection.ops.adapt_datetimefield_value(hour))


def of_day(day: datetime) -> Target:
    return Target(DailyUsage, "day", connection.ops.adapt_datefield_value(day.date()))


def collect_attempts(begin: UUID, end: UUID) -> None:
    """Add up the attempts from one id to before another, for `put` and `add` in the same transaction.

    `drop_collected` comes last.
    """
    values = ", ".join(f"{sql} AS {name}" for name, sql in OF_ATTEMPTS.items())
    _collect(
        f"SELECT {_digest()} AS bucket, {_names(GROUP)}, {values} FROM {Attempt._meta.db_table} "  # noqa: S608
        f"WHERE attempt_id >= %s AND attempt_id < %s GROUP BY {_names(GROUP)}",
        [Attempt._meta.pk.get_db_prep_value(bound, connection) for bound in (begin, end)],
    )


def collect_hours(since: datetime, until: datetime, *, live_only: bool = False) -> None:
    """The same with the sums of hours, those of pruned attempts among them unless `live_only`."""
    live = " AND NOT pruned" if live_only else ""
    values = ", ".join(f"SUM({name}) AS {name}" for name in SUMS)
    _collect(
        f"SELECT bucket, {_names(GROUP)}, {values} FROM {HourlyUsage._meta.db_table} "  # noqa: S608
        f"WHERE hour >= %s AND hour < %s{live} GROUP BY bucket, {_names(GROUP)}",
        [connection.ops.adapt_datetimefield_value(moment) for moment in (since, until)],
    )


def put(target: Target) -> None:
    """Make what was collected the sums of the target. What has them already is neither locked nor written."""
    table = target.table
    same = " AND ".join(f"there.{name} = {_COLLECTED}.{name}" for name in ("bucket", *SUMS))
    _insert(
        target,
        pruned="FALSE",
        where=f"NOT EXISTS (SELECT 1 FROM {table} AS there "  # noqa: S608
        f"WHERE there.{target.column} = %s AND NOT there.pruned AND {same})",
        parameters=[target.value],
        update=", ".join(f"{name} = excluded.{name}" for name in SUMS),
    )
    _execute(
        f"DELETE FROM {table} WHERE {target.column} = %s AND NOT pruned AND NOT EXISTS "  # noqa: S608
        f"(SELECT 1 FROM {_COLLECTED} WHERE {_COLLECTED}.bucket = {table}.bucket)",
        [target.value],
    )


def add(target: Target) -> None:
    """Add what was collected to the target's sums of pruned attempts."""
    increase = ", ".join(f"{name} = {target.table}.{name} + excluded.{name}" for name in SUMS)
    _insert(target, pruned="TRUE", where="TRUE", parameters=[], update=increase)


def drop_collected() -> None:
    _execute(f"DROP TABLE {_COLLECTED}", [])


def _collect(select: str, parameters: list[Any]) -> None:
    _execute(f"CREATE TEMPORARY TABLE {_COLLECTED} AS {select}", parameters)


def _insert(target: Target, *, pruned: str, where: str, parameters: list[Any], update: str) -> None:
    columns = f"bucket, {_names(GROUP)}, {_names(SUMS)}"
    _execute(
        f"INSERT INTO {target.table} ({target.column}, pruned, {columns}) "  # noqa: S608
        f"SELECT %s, {pruned}, {columns} FROM {_COLLECTED} WHERE {where} "
        f"ON CONFLICT ({target.column}, bucket, pruned) DO UPDATE SET {update}",
        [target.value, *parameters],
    )


def _execute(sql: str, parameters: list[Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(connection.ops.quote_name(name) for name in names)


def _digest() -> str:
    """Of the names with their lengths, so that no two buckets have the same text; whoever chose the names."""
    quoted = [connection.ops.quote_name(name) for name in GROUP]
    text = " || ".join(f"LENGTH({name}) || ':' || {name}" for name in quoted)
    if connection.vendor == "postgresql":
        return f"ENCODE(SHA256(CONVERT_TO({text}, 'UTF8')), 'hex')"
    return f"SHA256({text})"
