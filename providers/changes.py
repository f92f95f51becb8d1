"""The one way configuration changes: the rows and the version that workers watch move together."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection, models, transaction
from django.db.models import F
from django.db.models.functions import Now


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


@contextmanager
def change() -> Iterator[None]:
    """Write configuration inside this: one transaction, one new version, workers follow within 2 s.

    Saving or deleting a single row bumps the version by itself; `update()`, bulk and raw
    writes send no signal, so they must run in here.
    """
    with transaction.atomic():
        yield
        ConfigVersion.bump()


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
