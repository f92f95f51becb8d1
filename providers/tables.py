"""Rows as plain data and back, for a copy that is read without the database."""

from collections.abc import Iterable
from typing import Any

import msgspec
from django.db.models import Model, QuerySet

# What only the admin and imports look at, and may be long.
_LEFT_OUT = frozenset({"imported", "notes"})


class Table(msgspec.Struct, frozen=True):
    """Rows of one model: the names of their columns, and a value for each, as JSON has them."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


def packed(kind: type[Model], rows: Iterable[Model]) -> Table:
    """These rows as they are."""
    columns = _columns(kind)
    return Table(columns, [tuple(getattr(row, column) for column in columns) for row in rows])


def packed_query(found: QuerySet[Any]) -> Table:
    """The same in one query and without an object for each row: there may be many."""
    columns = _columns(found.model)
    return Table(columns, list(found.values_list(*columns)))


def unpacked[T: Model](kind: type[T], table: Table) -> list[T]:
    """The rows; a field that the table does not know has its default, a column that is none now is left out.

    Nothing is read from the database: who looks at a relation must have set it.
    """
    fields = {field.attname: field for field in kind._meta.concrete_fields}
    known = [(at, fields[name]) for at, name in enumerate(table.columns) if name in fields]
    return [
        kind(**{field.attname: None if row[at] is None else field.to_python(row[at]) for at, field in known})
        for row in table.rows
    ]


def _columns(kind: type[Model]) -> tuple[str, ...]:
    return tuple(field.attname for field in kind._meta.concrete_fields if field.name not in _LEFT_OUT)
