"""The ledger's doors for Celery; schedules are in `gateway/celery.py`."""

from celery import shared_task

from usage import partitions, rollup


@shared_task
def roll_up() -> None:
    """Make the sums of the hours that changed."""
    rollup.roll_up()


@shared_task
def make_partitions() -> None:
    """Keep the partitions of this month and the next three ready."""
    partitions.ensure_coming()
