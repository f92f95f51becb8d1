"""Monthly partitions of the attempts table on PostgreSQL, cut at the UUIDv7 bounds of months."""

from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import Any

from django.db import connection, migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import ProjectState

from usage.ids import first_uuid7

TABLE = "usage_attempt"


def months_from(day: date, count: int) -> list[date]:
    """The first days of `count` months, from the month of `day` on."""
    start = day.year * 12 + day.month - 1
    return [date(n // 12, n % 12 + 1, 1) for n in range(start, start + count)]


def _bound(day: date) -> str:
    return str(first_uuid7(datetime(day.year, day.month, 1, tzinfo=UTC)))


def ensure_partitions(months: Iterable[date]) -> None:
    """Create the missing partitions of these months; does nothing on SQLite."""
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        for month in months:
            following = months_from(month, 2)[1]
            cursor.execute(
                f"CREATE TABLE IF NOT EXISTS {TABLE}_{month:%Y_%m} PARTITION OF {TABLE} "
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
        sql, params = schema_editor.table_sql(model)  # type: ignore[attr-defined]
        schema_editor.execute(f"{sql} PARTITION BY RANGE ({model._meta.pk.column})", params or None)
        schema_editor.deferred_sql.extend(schema_editor._model_indexes_sql(model))  # type: ignore[attr-defined]
