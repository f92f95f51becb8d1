"""The one way configuration changes: the rows and the version that workers watch move together."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.db import connection, models, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.dispatch import Signal


class ConfigVersion(models.Model):
    """One row whose number grows with every change of providers, models or deployments."""

    number = models.BigIntegerField(default=0)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        app_label = "providers"

    def __str__(self) -> str:
        return f"configuration version {self.number}"

    @classmethod
    def current(cls) -> int:
        return cls.objects.filter(pk=1).values_list("number", flat=True).first() or 0

    @classmethod
    def bump(cls) -> None:
        row = cls.objects.filter(pk=1)
        if not row.update(number=F("number") + 1, changed_at=Now()):
            _, created = cls.objects.get_or_create(pk=1, defaults={"number": 1})
            if not created:  # another writer was first at the same moment
                row.update(number=F("number") + 1, changed_at=Now())


_changing: ContextVar[bool] = ContextVar("changing", default=False)


@contextmanager
def change() -> Iterator[None]:
    """Write configuration inside this: one transaction, one new version, workers follow within 2 s.

    Each write bumps the version by itself (`noted`); several belong together in here.
    """
    if _changing.get():
        yield
        return
    token = _changing.set(True)
    try:
        with transaction.atomic():
            yield
            ConfigVersion.bump()
    finally:
        _changing.reset(token)


def noted() -> None:
    """Configuration was written, in the transaction that is open: a new version, unless `change` makes it."""
    if not _changing.get():
        ConfigVersion.bump()


# `update()` and bulk writes of rows that workers know; `sender` is their model, `created` tells of new ones.
written = Signal()
# What no worker knows of a row: writing it alone is no change.
UNKNOWN_TO_WORKERS = frozenset({"imported", "last_used_at", "updated_at"})


class WatchedQuerySet[T: models.Model](models.QuerySet[T]):
    """Django sends no signal for these writes, so workers would never see them."""

    def update(self, **values: Any) -> int:
        with transaction.atomic(savepoint=False):
            count = super().update(**values)
            if count and not values.keys() <= UNKNOWN_TO_WORKERS:
                written.send(self.model, created=False)
        return count

    update.alters_data = True  # type: ignore[attr-defined]

    def bulk_create(self, objs: Iterable[T], *args: Any, **options: Any) -> list[T]:
        with transaction.atomic(savepoint=False):
            rows = super().bulk_create(objs, *args, **options)
            if rows:
                written.send(self.model, created=not options.get("update_conflicts"))
        return rows


@contextmanager
def one_moment() -> Iterator[None]:
    """Read several tables as they are at one moment: what commits meanwhile is not seen in here.

    PostgreSQL's default shows each statement what was committed before it, which would mix versions.
    """
    outermost = not connection.in_atomic_block
    with transaction.atomic(savepoint=False):
        if outermost and connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


def set_on_each(rows: Iterable[Any], field: str, value: object, reason: str = "") -> None:
    """Give each of these rows the value, with an entry in its history; `reason` is kept there."""
    with change():
        for row in rows:
            setattr(row, field, value)
            row._change_reason = reason or None  # where django-simple-history looks for it
            row.save(update_fields=[field, "updated_at"])
