"""Copies are written when something is new: the newest, once for all workers of a disk."""

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from django.db import OperationalError, connections
from structlog.testing import capture_logs

from gateway import copying, following
from gateway.copying import Copier
from keys.copied import CopiedKeys, KeyTables
from keys.issuing import issue
from keys.models import ApiKey, KeyChange
from providers.changes import ConfigVersion
from providers.copies import Copies
from providers.models import Model
from providers.snapshot import load, read_rows

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def copies(tmp_path: Path) -> Copies:
    return Copies(tmp_path / "copies", "here")


@pytest.fixture
def copier(copies: Copies) -> Iterator[Copier]:
    """Its thread does not run: a test takes its turns."""
    Model.objects.create(name="llm")
    yield Copier(copies)
    connections.close_all()


def changes() -> list[int]:
    return list(KeyChange.objects.values_list("pk", flat=True))


def version(copies: Copies) -> int | None:
    head = copies.head("configuration")
    return head.version if head else None


def keys_in(copies: Copies) -> CopiedKeys:
    copy = copies.read("keys")
    assert copy is not None
    return CopiedKeys(msgspec.json.decode(copy.body, type=KeyTables), copy.head.seen)


def test_nothing_is_written_before_anything_is_known(copier: Copier, copies: Copies) -> None:
    assert copier._turn()
    assert (copies.head("configuration"), copies.head("keys")) == (None, None)


def test_a_configuration_is_built_from_its_copy_as_from_the_database(copier: Copier, copies: Copies) -> None:
    copier.configuration(read_rows())
    assert copier._turn()
    assert following._from_copy(copies) == load()


def test_a_newer_one_replaces_it_and_an_older_one_does_not(copier: Copier, copies: Copies) -> None:
    late = Copier(copies)
    late.configuration(read_rows())
    Model.objects.create(name="other")
    copier.configuration(read_rows())
    assert copier._turn()
    assert late._turn()
    assert version(copies) == ConfigVersion.current()
    assert following._from_copy(copies) == load()


def test_the_copy_follows_a_database_that_was_put_back(copier: Copier, copies: Copies) -> None:
    ConfigVersion.objects.update(number=90)
    copier.configuration(read_rows())
    assert copier._turn()
    ConfigVersion.objects.update(number=5)
    copier.configuration(read_rows())
    assert copier._turn()
    assert version(copies) == 5


def test_what_another_worker_wrote_is_not_written_again(copier: Copier, copies: Copies) -> None:
    for each in (copier, Copier(copies)):
        each.configuration(read_rows())
        each.keys(changes(), ())
        assert each._turn()
        written = {name: (copies.folder / name).stat().st_ino for name in ("configuration", "keys")}
    assert {name: (copies.folder / name).stat().st_ino for name in written} == written
    copier._turn()
    assert {name: (copies.folder / name).stat().st_ino for name in written} == written


def test_while_another_one_writes_it_waits_its_turn(copier: Copier, copies: Copies) -> None:
    copier.configuration(read_rows())
    with copies.alone():
        assert not copier._turn()
    assert version(copies) is None
    assert copier._turn()
    assert version(copies) == ConfigVersion.current()


def test_keys_are_written_only_every_few_seconds(copier: Copier, copies: Copies) -> None:
    text = issue("alice")[1]
    copier.keys(changes(), ())
    assert copier._turn()
    assert keys_in(copies).find(text) is not None
    again = issue("bob")[1]
    copier.keys(changes(), ())
    assert not copier._turn()
    assert keys_in(copies).find(again) is None
    copier._keys_due = time.monotonic()
    assert copier._turn()
    assert keys_in(copies).find(again) is not None


def test_a_change_whose_number_is_lower_than_one_that_is_known_is_copied_too(
    copier: Copier, copies: Copies
) -> None:
    KeyChange.objects.create(pk=1000)
    copier.keys(changes(), ())
    assert copier._turn()
    text = issue("alice")[1]
    KeyChange.objects.all().delete()
    KeyChange.objects.create(pk=900)
    KeyChange.objects.create(pk=1000)
    copier._keys_due = 0.0
    copier.keys(changes(), ())
    assert copier._turn()
    assert keys_in(copies).find(text) is not None


def test_a_key_that_is_in_use_again_is_copied(copier: Copier, copies: Copies) -> None:
    alice, text = issue("alice")
    ApiKey.objects.update(last_used_at="2020-01-01T00:00:00Z")
    copier.keys(changes(), ())
    assert copier._turn()
    assert keys_in(copies).find(text) is None
    copier._keys_due = 0.0
    copier.keys(changes(), [alice.pk])
    assert copier._turn()
    assert keys_in(copies).find(text) is not None


def test_all_is_written_again_once_a_day(
    copier: Copier, copies: Copies, monkeypatch: pytest.MonkeyPatch
) -> None:
    copier.configuration(read_rows())
    copier.keys(changes(), ())
    assert copier._turn()
    tomorrow = time.time() + 90_000
    monkeypatch.setattr(time, "time", lambda: tomorrow)
    copier._keys_due = 0.0
    assert copier._turn()
    heads = [copies.head("configuration"), copies.head("keys")]
    assert [head and head.written_at for head in heads] == [tomorrow, tomorrow]


def test_what_cannot_be_written_is_told_once_and_tried_again(
    copier: Copier, copies: Copies, monkeypatch: pytest.MonkeyPatch
) -> None:
    copier.configuration(read_rows())
    copies.folder.parent.mkdir(exist_ok=True)
    copies.folder.write_text("in the way")
    with capture_logs() as logs:
        assert not copier._turn()
        assert not copier._turn()
        copies.folder.unlink()
        assert copier._turn()
        copier.keys(changes(), ())
        with monkeypatch.context() as away:
            away.setattr(copying, "read_tables", fail)
            assert not copier._turn()
    assert [entry["event"] for entry in logs] == [
        "copy_not_written",
        "copy_written_again",
        "copy_not_written",
    ]
    assert version(copies) == ConfigVersion.current()


def fail(more: object) -> None:
    raise OperationalError("the server closed the connection")


def test_the_thread_writes_what_it_is_told_and_what_waits_at_the_end(copies: Copies) -> None:
    text = issue("alice")[1]
    copier = Copier(copies)
    copier.start()
    copier.configuration(read_rows())
    copier.keys(changes(), ())
    deadline = time.monotonic() + 10
    while copies.head("keys") is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert copies.head("configuration") is not None
    bobs = issue("bob")[1]
    copier.keys(changes(), ())  # it would wait some seconds
    copier.stop()
    assert keys_in(copies).find(bobs) is not None
    assert keys_in(copies).find(text) is not None
