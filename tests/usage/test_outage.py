"""A database that stops and comes back: rows wait on the disk, and all of them arrive."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from django.core.management import call_command
from django.db import connection

from tests.services import Postgres
from tests.usage.conftest import connected_to, ids_in_ledger, wait_until
from tests.usage.rows import asked
from usage.journal import Journal
from usage.models import Attempt
from usage.shipper import Shipper

pytestmark = pytest.mark.postgres


@pytest.fixture
def stoppable_ledger(postgres: Postgres, django_db_blocker: Any) -> Iterator[Postgres]:
    name = f"switchyard_outage_{uuid4().hex[:8]}"
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
    with django_db_blocker.unblock(), connected_to(postgres.url(name)):
        call_command("migrate", verbosity=0)
        yield postgres


def test_rows_written_while_postgresql_is_down_all_arrive_when_it_is_back(
    stoppable_ledger: Postgres, journal_root: Path
) -> None:
    journal = Journal(journal_root, segment_bytes=20_000)
    shipper = Shipper(journal, interval=0.1)
    shipper.start()
    attempts = [asked() for _ in range(300)]
    for number, attempt in enumerate(attempts):
        if number == 100:
            stoppable_ledger.kill()
        journal.started(attempt.started())
        journal.settled(attempt.settled())
        time.sleep(0.001)
    wait_until(lambda: bool(shipper.last_error))
    assert journal.pending > 0
    assert journal.overflowing() == []  # they are in the files, not in memory
    stoppable_ledger.start()
    wait_until(lambda: journal.pending == 0, 10)
    shipper.stop(10)
    journal.close()
    _reconnect()
    assert ids_in_ledger() == [str(attempt.attempt_id) for attempt in attempts]
    assert list(journal_root.iterdir()) == []


def test_stopping_while_postgresql_is_down_keeps_the_rows_for_the_next_start(
    stoppable_ledger: Postgres, journal_root: Path
) -> None:
    stoppable_ledger.stop()
    try:
        _one_worker(journal_root, answered=5)
    finally:
        stoppable_ledger.start()
    _one_worker(journal_root, answered=0)
    _reconnect()
    assert Attempt.objects.count() == 5
    assert list(journal_root.iterdir()) == []


def test_rows_arrive_within_five_seconds_of_the_return_after_a_long_time_away(
    stoppable_ledger: Postgres, journal_root: Path
) -> None:
    journal = Journal(journal_root)
    stoppable_ledger.stop()
    shipper = Shipper(journal, interval=0.5)
    shipper.start()
    journal.settled(asked("alice").settled())
    time.sleep(4)  # until the delay between tries has grown to its longest
    stoppable_ledger.start()
    wait_until(lambda: journal.pending == 0, 5)
    shipper.stop(10)
    journal.close()


def test_no_thread_and_no_connection_is_left_behind(stoppable_ledger: Postgres, journal_root: Path) -> None:
    _one_worker(journal_root, answered=1)
    assert "usage-shipper" not in {thread.name for thread in threading.enumerate()}
    with psycopg.connect(stoppable_ledger.url("postgres")) as admin:
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname LIKE 'switchyard_outage_%'"
        wait_until(lambda: admin.execute(query).fetchone() == (1,))  # this test's own


def _one_worker(root: Path, *, answered: int) -> None:
    journal = Journal(root)
    shipper = Shipper(journal, interval=0.05)
    shipper.start()
    for _ in range(answered):
        journal.settled(asked().settled())
    wait_until(lambda: not journal.wake.is_set())
    shipper.stop(10)
    journal.close()


def _reconnect() -> None:
    connection.close()
