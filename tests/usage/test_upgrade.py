"""What an earlier version left in the database is not lost on the way to this one."""

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from tests.gateway_process import migrated
from tests.usage.conftest import connected_to
from tests.usage.rows import settled
from tests.usage.tallies import NOON, by_day, by_hour, days, hours
from usage import ledger, partitions
from usage.models import Attempt, DirtyHour
from usage.rollup import roll_up

DETAILS = ("usage", "0002_attempt_details")
_OF_THIS_VERSION = {
    "task",
    "cache_write_tokens",
    "audio_input_tokens",
    "audio_output_tokens",
    "images",
    "anomaly",
    "price_id",
    "attempt_number",
    "upstream_model",
    "decision",
    "chat_id",
    "audio_seconds",
    "characters",
}


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def before_daily_sums(
    request: pytest.FixtureRequest, tmp_path: Path, django_db_blocker: Any
) -> Iterator[None]:
    """A database of the version that had no daily sums."""
    url = f"sqlite:///{tmp_path / 'old.sqlite3'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_database")
    with django_db_blocker.unblock(), connected_to(url):
        _migrate(DETAILS)
        yield


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def of_this_version(request: pytest.FixtureRequest, tmp_path: Path, django_db_blocker: Any) -> Iterator[None]:
    """A database as it is made now."""
    if request.param == "postgresql":
        url = request.getfixturevalue("migrated_postgres")
    else:
        url = f"sqlite:///{shutil.copy(migrated(), tmp_path)}"
    with django_db_blocker.unblock(), connected_to(url):
        yield


def _migrate(*targets: tuple[str, str]) -> Any:
    executor = MigrationExecutor(connection)
    return executor.migrate([*targets] or executor.loader.graph.leaf_nodes()).apps


def test_sums_of_before_are_made_again(before_daily_sums: None) -> None:
    row = settled(at=NOON, cost_nano=5)
    old = _migrate(DETAILS).get_model("usage", "HourlyUsage")
    old.objects.create(hour=NOON, requests=1, prompt_tokens=0, completion_tokens=0, cost_nano=5, latency_ms=0)
    _migrate()
    ledger.write([row])
    assert DirtyHour.objects.get().marked == 2
    assert roll_up() == 1
    assert (hours(), days()) == (by_hour([row]), by_day([row]))


def test_sums_outlive_the_way_back_to_the_version_before_and_here_again(of_this_version: None) -> None:
    rows = [settled(at=NOON, cost_nano=5), settled(at=NOON + timedelta(hours=30), cost_nano=7)]
    ledger.write(rows)
    roll_up()
    _migrate(DETAILS)
    _migrate()
    assert roll_up() == 2
    assert (hours(), days()) == (by_hour(rows), by_day(rows))


def test_a_worker_of_the_version_before_goes_on_writing(of_this_version: None) -> None:
    names = [name for name in ledger._COLUMNS if name not in _OF_THIS_VERSION]
    row = settled(at=NOON, task="", anomaly="")
    values = dict(zip(ledger._COLUMNS, ledger._values(row), strict=True))
    partitions.ensure_partitions([NOON.date().replace(day=1)])
    with connection.cursor() as cursor:
        columns, marks = ", ".join(f'"{name}"' for name in names), ", ".join(["%s"] * len(names))
        cursor.execute(
            f"INSERT INTO usage_attempt ({columns}) VALUES ({marks})", [values[name] for name in names]
        )
        cursor.execute("SELECT task, images, anomaly, price_id, attempt_number FROM usage_attempt")
        assert cursor.fetchone() == ("", 0, "", None, 1)


def test_columns_of_decisions_come_and_go_without_a_copy_of_the_table(of_this_version: None) -> None:
    """PostgreSQL keeps the file of each partition, SQLite the rowids; what was written stays."""
    _migrate(("usage", "0008_limit_alerts"))
    later = ("upstream_model", "decision", "chat_id", "audio_seconds", "characters")
    names = [name for name in ledger._COLUMNS if name not in later]
    row = settled(at=NOON)
    values = dict(zip(ledger._COLUMNS, ledger._values(row), strict=True))
    partitions.ensure_partitions([NOON.date().replace(day=1)])
    columns, marks = ", ".join(f'"{name}"' for name in names), ", ".join(["%s"] * len(names))
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO usage_attempt ({columns}) VALUES ({marks})", [values[name] for name in names]
        )
    before = _storage()
    _migrate()
    assert _storage() == before
    found = Attempt.objects.get(pk=row.attempt_id)
    assert (found.upstream_model, found.decision, found.status) == (None, None, "ok")
    _migrate(("usage", "0008_limit_alerts"))
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM usage_attempt")
        assert cursor.fetchone() == (1,)


def _storage() -> object:
    """Something that changes when the rows of attempts are written anew."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT relfilenode FROM pg_class WHERE relname = 'usage_attempt_2026_11'")
        else:
            cursor.execute("SELECT rootpage FROM sqlite_master WHERE name = 'usage_attempt'")
        return cursor.fetchone()


def test_chats_come_and_go_without_a_copy_of_the_table(of_this_version: None) -> None:
    """What was written before has none, and going back loses nothing else."""
    _migrate(("usage", "0009_decisions"))
    names = [name for name in ledger._COLUMNS if name not in ("chat_id", "audio_seconds", "characters")]
    row = settled(at=NOON)
    values = dict(zip(ledger._COLUMNS, ledger._values(row), strict=True))
    partitions.ensure_partitions([NOON.date().replace(day=1)])
    columns, marks = ", ".join(f'"{name}"' for name in names), ", ".join(["%s"] * len(names))
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO usage_attempt ({columns}) VALUES ({marks})", [values[name] for name in names]
        )
    before = _storage()
    _migrate()
    assert _storage() == before
    ledger.write([settled(at=NOON, chat_id="chat-1", audio_seconds=3)])
    found = Attempt.objects.values_list("chat_id", "audio_seconds", "characters", "status")
    assert set(found) == {(None, None, None, "ok"), ("chat-1", 3, None, "ok")}
    _migrate(("usage", "0009_decisions"))
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM usage_attempt")
        assert cursor.fetchone() == (2,)
