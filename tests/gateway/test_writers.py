"""Nobody writes what workers know without telling them, in the same transaction."""

import ast
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.db import DatabaseError, models

from keys.models import ApiKey, EndUser, KeyChange, Limit, Team
from providers.changes import ConfigVersion, WatchedQuerySet, change
from providers.models import Deployment, Fallback, Model, Price, Provider, Sourced

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).resolve().parents[2]

CONFIGURATION = (Provider, Model, Deployment, Fallback, Price)
KEYS = (ApiKey, Team, EndUser, Limit, Model, Deployment)
SOURCED = sorted({*CONFIGURATION, *KEYS}, key=lambda kind: kind.__name__)


@pytest.fixture(autouse=True)
def rows() -> None:
    """One of each."""
    acme = Provider.objects.create(name="Acme", base_url="https://llm.example")
    llm, other = (Model.objects.create(name=name) for name in ("llm", "other"))
    deployment = Deployment.objects.create(name="d", model=llm, provider=acme, upstream_model="m")
    Fallback.objects.create(model=llm, to=other)
    Price.objects.create(deployment=deployment)
    alice = ApiKey.objects.create(name="Alice", public_id="alice", verifier="v", pepper="p")
    Team.objects.create(name="Research")
    EndUser.objects.create(name="bob")
    Limit.objects.create(key=alice, metric="requests", amount=1)


def another(kind: type[Any]) -> Any:
    """A row like the one that is there, not saved."""
    row = kind.objects.first()
    row.pk, row._state.adding = None, True
    for name in ("name", "public_id"):
        if hasattr(row, name):
            setattr(row, name, "another")
    if kind is Provider:
        row.pk = Provider().pk
    if kind is Price:
        row.effective_from = row.effective_from.replace(year=2000)
    if kind is Fallback:
        row.on = Fallback.On.CONTEXT_WINDOW
    return row


def by_save(kind: type[Any]) -> None:
    kind.objects.first().save()


def by_saving_one_field(kind: type[Any]) -> None:
    kind.objects.first().save(update_fields=["source"])


def by_creating(kind: type[Any]) -> None:
    another(kind).save()


def by_update(kind: type[Any]) -> None:
    assert kind.objects.update(source="file")


def by_bulk_update(kind: type[Any]) -> None:
    row = kind.objects.first()
    row.source = "file"
    kind.objects.bulk_update([row], ["source"])


def by_bulk_create(kind: type[Any]) -> None:
    kind.objects.bulk_create([another(kind)])


def by_delete(kind: type[Any]) -> None:
    if kind is Provider:  # it is protected
        Deployment.objects.all().delete()
    kind.objects.first().delete()


def by_deleting_many(kind: type[Any]) -> None:
    if kind is Provider:
        Deployment.objects.all().delete()
    kind.objects.filter(pk__isnull=False).delete()


def by_update_or_create(kind: type[Any]) -> None:
    kind.objects.update_or_create(pk=kind.objects.first().pk, defaults={"source": "file"})


WAYS = [value for name, value in list(globals().items()) if name.startswith("by_")]
ways = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)


def test_these_are_all_models_that_workers_know() -> None:
    assert {kind for kind in apps.get_models() if issubclass(kind, Sourced)} == set(SOURCED)
    assert all(isinstance(kind._default_manager.all(), WatchedQuerySet) for kind in SOURCED)


@ways
@pytest.mark.parametrize("kind", CONFIGURATION)
def test_every_way_to_write_configuration_makes_a_version(
    kind: type[models.Model], way: Callable[[Any], None]
) -> None:
    before = ConfigVersion.current()
    way(kind)
    assert ConfigVersion.current() > before


@ways
@pytest.mark.parametrize("kind", KEYS)
def test_every_way_to_write_rights_and_limits_is_in_the_change_log(
    kind: type[models.Model], way: Callable[[Any], None]
) -> None:
    if kind is EndUser and way is by_bulk_create:
        return  # the next test
    before = KeyChange.objects.count()
    way(kind)
    assert KeyChange.objects.count() > before


def test_an_end_user_who_was_seen_for_the_first_time_changes_nothing() -> None:
    before = KeyChange.objects.count(), ConfigVersion.current()
    by_bulk_create(EndUser)
    assert (KeyChange.objects.count(), ConfigVersion.current()) == before


def test_what_no_worker_knows_of_a_row_changes_nothing() -> None:
    before = KeyChange.objects.count(), ConfigVersion.current()
    ApiKey.objects.update(last_used_at="2026-01-01T00:00:00Z")
    Deployment.objects.update(imported={"weight": 1})
    Model.objects.filter(name="nobody").update(hidden=True)
    assert (KeyChange.objects.count(), ConfigVersion.current()) == before


def test_many_writes_in_one_change_are_one_version() -> None:
    before = ConfigVersion.current()
    with change():
        for kind in CONFIGURATION:
            by_save(kind)
            by_update(kind)
        with change():
            by_bulk_create(Model)
    assert ConfigVersion.current() == before + 1
    by_save(Model)
    assert ConfigVersion.current() == before + 2


def test_a_limit_that_passes_to_another_holder_is_told_to_both() -> None:
    alice, team = ApiKey.objects.get(), Team.objects.get()
    limit = Limit.objects.get()
    KeyChange.objects.all().delete()
    limit.key, limit.team = None, team
    limit.save()
    told = KeyChange.objects.order_by("pk").values_list("key_id", "team_id")
    assert list(told) == [(alice.pk, None), (None, team.pk)]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("way", [by_save, by_update, by_bulk_create, by_delete], ids=lambda way: way.__name__)
def test_a_row_is_not_written_without_its_version(
    monkeypatch: pytest.MonkeyPatch, way: Callable[[Any], None]
) -> None:
    model = Model.objects.get(name="other")
    monkeypatch.setattr(ConfigVersion, "bump", fail)
    before = list(Model.objects.values())
    with pytest.raises(DatabaseError, match="no version"):
        way(Model)
    assert list(Model.objects.values()) == before
    assert model.fallback_of.count() == 1


def fail() -> None:
    raise DatabaseError("no version")


# --- past the ORM ------------------------------------------------------------------------------

_TABLES = re.compile(r"\b(?:INTO|UPDATE|FROM)\s+\"?(?:providers|keys)_", re.IGNORECASE)
_PAST_SIGNALS = {"_raw_delete", "_update", "_insert", "save_base", "raw"}


def past_the_orm(path: Path) -> list[str]:
    """Raw SQL on these tables, and the few methods of Django that send no signal and are not watched."""
    found = []
    knows_them = "providers.models" in path.read_text() or "keys.models" in path.read_text()
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Constant(value=str(text)) if _TABLES.search(text):
                found.append(text)
            case ast.Call(func=ast.Attribute(attr=name)) if knows_them and name in _PAST_SIGNALS:
                found.append(name)
            case ast.Attribute(attr="_base_manager"):
                found.append("_base_manager")
    return found


def test_no_module_goes_past_what_tells_workers() -> None:
    apps = ("providers", "keys", "usage", "gateway")
    modules = [path for app in apps for path in (ROOT / app).rglob("*.py") if "migrations" not in path.parts]
    assert {path: found for path in modules if (found := past_the_orm(path))} == {}
    assert len(modules) > 100


def test_going_past_it_would_be_noticed(tmp_path: Path) -> None:
    module = tmp_path / "bad.py"
    module.write_text(
        "from keys.models import ApiKey\n"
        "ApiKey._base_manager.all()\n"
        "ApiKey().save_base()\n"
        "cursor.execute('UPDATE keys_apikey SET enabled = false')\n"
    )
    assert len(past_the_orm(module)) == 3
