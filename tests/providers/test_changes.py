"""Every change of configuration moves its version, in the same transaction."""

import pytest
from django.db import IntegrityError
from django.utils import timezone

from providers.changes import ConfigVersion, change
from providers.models import Deployment, Model, Provider

pytestmark = pytest.mark.django_db


def test_the_version_is_zero_before_any_change() -> None:
    assert ConfigVersion.current() == 0


def test_saving_and_deleting_a_row_moves_it() -> None:
    seen = [ConfigVersion.current()]
    provider = Provider.objects.create(name="Acme", base_url="https://llm.example")
    seen.append(ConfigVersion.current())
    model = Model.objects.create(name="llm")
    seen.append(ConfigVersion.current())
    Deployment.objects.create(name="d", model=model, provider=provider, upstream_model="m")
    seen.append(ConfigVersion.current())
    model.delete()
    seen.append(ConfigVersion.current())
    assert seen == sorted(set(seen))


def test_a_bulk_change_moves_it() -> None:
    Model.objects.create(name="llm")
    before = ConfigVersion.current()
    with change():
        Model.objects.update(hidden=True)
    assert ConfigVersion.current() == before + 1


def test_a_change_that_fails_leaves_rows_and_version_as_they_were() -> None:
    Model.objects.create(name="llm")
    before = ConfigVersion.current()
    with pytest.raises(IntegrityError), change():
        Model.objects.bulk_create([Model(name="other"), Model(name="llm")])  # the second name is taken
    assert ConfigVersion.current() == before
    assert Model.objects.get().name == "llm"


def test_the_time_of_the_last_change_is_kept() -> None:
    ConfigVersion.bump()
    started = timezone.now()
    ConfigVersion.bump()
    assert ConfigVersion.objects.get().changed_at >= started.replace(microsecond=0)
