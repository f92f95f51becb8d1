"""The one writer of attempts: a batch is one transaction, and a row that is there already stays as it is."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from django.db import Error, connection, transaction
from django.db.models import Q

from keys.models import ApiKey
from usage import partitions
from usage.ids import unix_ms
from usage.models import Attempt, DirtyHour
from usage.records import Settled, bounded

log = logging.getLogger(__name__)

_COLUMNS = Settled.__struct_fields__
_ID, _STARTED_AT = _COLUMNS.index("attempt_id"), _COLUMNS.index("started_at")
_BATCH_TABLE = "usage_attempt_batch"
_HOUR_MS = 3_600_000
_LAST_USED_EVERY = timedelta(minutes=1)


def write(rows: Sequence[Settled]) -> None:
    """Write these rows once, however often they come, and mark their hours for the next roll-up.

    Raises `django.db.Error` when the database is away, ValueError on an id that holds no time.
    """
    if not rows:
        return
    # One order for all writers, so that no two wait for each other.
    ordered = sorted((bounded(row) for row in rows), key=lambda row: row.attempt_id)
    one_an_hour = {unix_ms(row.attempt_id) // _HOUR_MS: row.attempt_id for row in ordered}
    hours = sorted(hour_of(attempt_id) for attempt_id in one_an_hour.values())
    with transaction.atomic():
        partitions.hold()  # before asking which there are: retention may drop one just now
        partitions.ensure_partitions(sorted({hour.date().replace(day=1) for hour in hours}))
        _insert(ordered)
        mark(hours)
    _note_use(ordered)


def hour_of(attempt_id: UUID) -> datetime:
    """The hour to which an attempt belongs: when its id was made."""
    return datetime.fromtimestamp(unix_ms(attempt_id) // _HOUR_MS * _HOUR_MS / 1000, UTC)


def _insert(rows: list[Settled]) -> None:
    if connection.vendor == "postgresql":
        _copy(rows)
        return
    names = ", ".join(connection.ops.quote_name(name) for name in _COLUMNS)
    marks = ", ".join(["%s"] * len(_COLUMNS))
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {partitions.TABLE} ({names}) VALUES ({marks}) ON CONFLICT (attempt_id) DO NOTHING",  # noqa: S608
            [_values(row) for row in rows],
        )


def _copy(rows: list[Settled]) -> None:
    names = ", ".join(connection.ops.quote_name(name) for name in _COLUMNS)
    with connection.cursor() as cursor:
        # The journal is given up once this commits, so the commit must outlive a crash of the server.
        cursor.execute(
            "SELECT set_config('synchronous_commit', 'on', true) "
            "WHERE current_setting('synchronous_commit') = 'off'"
        )
        cursor.execute(
            f"CREATE TEMPORARY TABLE IF NOT EXISTS {_BATCH_TABLE} "
            f"(LIKE {partitions.TABLE} INCLUDING DEFAULTS) ON COMMIT DELETE ROWS"
        )
        with (
            connection.wrap_database_errors,
            cursor.copy(f"COPY {_BATCH_TABLE} ({names}) FROM STDIN") as copy,
        ):
            for row in rows:
                copy.write_row(_native_values(row))
        cursor.execute(
            f"INSERT INTO {partitions.TABLE} ({names}) SELECT {names} FROM {_BATCH_TABLE} "  # noqa: S608
            "ORDER BY attempt_id ON CONFLICT (attempt_id) DO NOTHING"
        )
        # Not at COMMIT alone: several batches may share one outer transaction.
        cursor.execute(f"TRUNCATE {_BATCH_TABLE}")


def _values(row: Settled) -> list[Any]:
    values = _native_values(row)
    values[_ID] = Attempt._meta.pk.get_db_prep_value(values[_ID], connection)
    values[_STARTED_AT] = connection.ops.adapt_datetimefield_value(values[_STARTED_AT])
    return values


def _native_values(row: Settled) -> list[Any]:
    """For a database that has types for ids and moments."""
    values: list[Any] = list(msgspec.structs.astuple(row))
    values[_STARTED_AT] = datetime.fromtimestamp(row.started_at / 1000, UTC)
    return values


def mark(hours: Sequence[datetime]) -> None:
    """Let the next roll-up make the sums of these hours again; in the transaction that changed their rows."""
    table = DirtyHour._meta.db_table
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {table} (hour, marked) VALUES (%s, 1) "  # noqa: S608
            f"ON CONFLICT (hour) DO UPDATE SET marked = {table}.marked + 1",
            [(connection.ops.adapt_datetimefield_value(hour),) for hour in sorted(hours)],
        )


def _note_use(rows: list[Settled]) -> None:
    """`ApiKey.last_used_at`, to the minute; the rows are what counts, so a failure here is only noted."""
    latest: dict[str, int] = {}
    for row in rows:
        latest[row.key_id] = max(latest.get(row.key_id, 0), row.started_at)
    by_minute: dict[int, set[str]] = {}
    for key_id, moment in latest.items():
        by_minute.setdefault(moment // 60_000, set()).add(key_id)
    try:
        for key_ids in by_minute.values():
            used = datetime.fromtimestamp(max(latest[key_id] for key_id in key_ids) / 1000, UTC)
            stale = Q(last_used_at__isnull=True) | Q(last_used_at__lt=used - _LAST_USED_EVERY)
            with transaction.atomic():
                ApiKey.objects.filter(stale, public_id__in=key_ids).update(last_used_at=used)
    except Error as error:
        log.warning("last_used_not_noted error=%s", str(error).split("\n")[0])
