"""The keys' doors for Celery; schedules are in `gateway/celery.py`."""

from datetime import timedelta

from celery import shared_task
from django.utils import timezone

from keys.models import KeyChange

# Workers poll every second; one that slept for longer loads its keys anew.
KEPT = timedelta(days=1)


@shared_task
def forget_changes() -> None:
    """Delete changes that every worker has seen long ago."""
    KeyChange.objects.filter(at__lt=timezone.now() - KEPT).delete()
