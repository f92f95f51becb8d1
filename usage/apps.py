from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate

from usage.partitions import ensure_coming


class UsageConfig(AppConfig):
    name = "usage"
    verbose_name = "Traffic"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        post_migrate.connect(_after_migrate, sender=self, dispatch_uid="usage-partitions")


def _after_migrate(plan: Sequence[tuple[Any, bool]] = (), **_: object) -> None:  # `flush` has no plan
    if not any(backwards for _, backwards in plan):  # else the table may be gone
        ensure_coming()
