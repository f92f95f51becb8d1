"""The ledger's doors for Celery; schedules are in `gateway/celery.py`."""

from celery import shared_task
from django.conf import settings

from usage import alerts, exchanges, partitions, retention, rollup

# Less than the 30 s between two wake-ups: what is left of many hours waits for the next one, behind newer.
_WITHIN = 25.0


@shared_task
def roll_up() -> None:
    """Make the sums of the hours that changed, and of their days."""
    rollup.roll_up(within=_WITHIN)


@shared_task
def make_partitions() -> None:
    """Keep the partitions of this month and the next three ready."""
    partitions.ensure_coming()


@shared_task
def apply_retention() -> None:
    """Remove the attempts, hourly sums and alerts that are older than the settings say."""
    retention.apply(
        retention.Keep(
            attempt_days=settings.ATTEMPT_RETENTION_DAYS, hour_days=settings.HOURLY_RETENTION_DAYS
        ),
        within=_WITHIN,
    )
    alerts.forget(settings.HOURLY_RETENTION_DAYS)


@shared_task
def watch_limits() -> None:
    """Tell people whose limits fill up."""
    alerts.watch(within=_WITHIN)


@shared_task
def delete_old_exchanges() -> None:
    """Delete the prompts and answers whose time is over."""
    exchanges.delete_old(settings.EXCHANGE_RETENTION_DAYS)
