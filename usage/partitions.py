"""Monthly partitions of the attempts table on PostgreSQL, cut at the UUIDv7 bounds of months."""

from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import Any

from django.db import connection, migrations, transaction
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import ProjectState

from usage.ids import first_uuid7

TABLE = "usage_attempt"
AHEAD = 3
_LOCK = 0x5357_5550


def months_from(day: date, count: int) -> list[date]:
    """The first days of `count` months, from the month of `day` on."""
    start = day.year * 12 + day.month - 1
    return [date(n // 12, n % 12 + 1, 1) for n in range(start, start + count)]


def ensure_coming() -> None:
    """Create the missing partitions of this month and the next three."""
    ensure_partitions(months_from(datetime.now(UTC).date(), 1 + AHEAD))


def ensure_partitions(months: Iterable[date]) -> None:
    """Create the missing partitions of these months (first days); does nothing on SQLite.

    Which exist is asked each time (0.1 ms): a memory of it would be wrong after one was dropped.
    """
    if connection.vendor != "postgresql":
        return
    missing = [month for month in months if _name(month) not in _existing()]
    if not missing:
        return
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        existing = _existing()  # another worker may have been first
        for month in missing:
            if _name(month) not in existing:
                _create(month)


def existing_months() -> list[date]:
    """The months that have a partition, the oldest first; none on SQLite."""
    if connection.vendor != "postgresql":
        return []
    return sorted(datetime.strptime(name, f"{TABLE}_%Y_%m").date() for name in _existing())


def hold() -> None:
    """Until this transaction ends no partition is dropped; writers do not hinder each other by it."""
    if connection.vendor == "postgresql":
        _lock("ROW EXCLUSIVE")


def hold_alone(patience: str) -> None:
    """Until this transaction ends nobody else reads or writes attempts.

    Raises OperationalError after `patience`, such as "2s": who comes meanwhile waits behind it.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [patience])
    _lock("ACCESS EXCLUSIVE")


def drop(month: date) -> None:
    """Drop the partition of this month and all its rows; `hold_alone` comes first."""
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {TABLE} DETACH PARTITION {_name(month)}")
        cursor.execute(f"DROP TABLE {_name(month)}")


def _lock(mode: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"LOCK TABLE ONLY {TABLE} IN {mode} MODE")


def _name(month: date) -> str:
    return f"{TABLE}_{month:%Y_%m}"


def _bound(day: date) -> str:
    return str(first_uuid7(datetime(day.year, day.month, 1, tzinfo=UTC)))


def _existing() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
            "WHERE i.inhparent = to_regclass(%s)",
            [TABLE],
        )
        return {name for (name,) in cursor.fetchall()}


def _create(month: date) -> None:
    """Made aside and attached: readers and writers of the other months go on meanwhile."""
    name, following = _name(month), months_from(month, 2)[1]
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {name} (LIKE {TABLE} INCLUDING ALL)")
        cursor.execute(
            f"ALTER TABLE {TABLE} ATTACH PARTITION {name} "
            f"FOR VALUES FROM ('{_bound(month)}') TO ('{_bound(following)}')"
        )


class CreatePartitionedModel(migrations.CreateModel):
    """CreateModel whose PostgreSQL table is partitioned by range of its primary key."""

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        if schema_editor.connection.vendor != "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)
            return
        model: Any = to_state.apps.get_model(app_label, self.name)
        sql, params = schema_editor.table_sql(model)
        schema_editor.execute(f"{sql} PARTITION BY RANGE ({model._meta.pk.column})", params or None)
        schema_editor.deferred_sql.extend(schema_editor._model_indexes_sql(model))  # type: ignore[attr-defined]
