"""The change log of keys does not grow for ever."""

from datetime import timedelta

import pytest
from django.utils import timezone

from keys.models import KeyChange
from keys.tasks import forget_changes


@pytest.mark.django_db
def test_changes_older_than_a_day_are_forgotten_and_newer_ones_kept() -> None:
    old, new = (KeyChange.objects.create(key_id=number) for number in (1, 2))
    KeyChange.objects.filter(pk=old.pk).update(at=timezone.now() - timedelta(hours=25))
    KeyChange.objects.filter(pk=new.pk).update(at=timezone.now() - timedelta(hours=23))
    forget_changes()
    assert list(KeyChange.objects.all()) == [new]
