"""A worker that was killed loses nothing: the living take over what it wrote down."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.db import OperationalError, connections

from tests.usage.conftest import wait_until
from tests.usage.rows import asked
from usage import ledger
from usage.adoption import adopt_all
from usage.journal import SUFFIX, Journal
from usage.models import Attempt
from usage.records import Settled
from usage.shipper import Shipper


def _killed_worker(root: Path, lines: int, ship_to: str = "") -> tuple[set[str], set[str]]:
    """The ids that a real worker had started and settled for sure when it was killed in mid writing."""
    said: dict[str, set[str]] = {"started": set(), "settled": set()}
    command = [sys.executable, "-m", "tests.usage.writer", str(root), *(["ship"] if ship_to else [])]
    worker = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "DATABASE_URL": ship_to}
    )
    assert worker.stdout is not None
    for _ in range(lines):
        kind, attempt_id = worker.stdout.readline().split()
        said[kind].add(attempt_id)
    worker.kill()
    for line in worker.stdout.read().split("\n"):
        kind, _, attempt_id = line.partition(" ")
        if len(attempt_id) == 36:
            said[kind].add(attempt_id)
    worker.wait()
    worker.stdout.close()
    return said["started"], said["settled"]


def _dead_worker(root: Path) -> Journal:
    journal = Journal(root)
    alice, bob = asked("alice"), asked("bob")
    for attempt in (alice, bob):
        journal.started(attempt.started())
    journal.settled(alice.settled())
    journal.close()
    return journal


def _rows_by_status() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for pk, status in Attempt.objects.values_list("pk", "status"):
        found.setdefault(status, set()).add(str(pk))
    return found


@pytest.mark.parametrize("lines", [1, 50, 400])
def test_each_attempt_of_a_killed_worker_has_exactly_one_row(
    ledger_db: str, journal_root: Path, lines: int
) -> None:
    started, settled = _killed_worker(journal_root, lines)
    assert adopt_all(journal_root, ledger.write) == 1
    rows = _rows_by_status()
    assert settled <= rows.get("ok", set())
    # The last record may have been written and not yet been said.
    assert len(rows.get("ok", set()) - settled) <= 1
    assert started <= rows.get("ok", set()) | rows["interrupted"]
    assert len(set().union(*rows.values()) - started) <= 1
    assert list(journal_root.iterdir()) == []


def test_workers_killed_in_mid_shipping_leave_exactly_one_row_of_each_attempt(
    ledger_db: str, journal_root: Path
) -> None:
    started: set[str] = set()
    settled: set[str] = set()
    for lines in (300, 700, 1500, 2900):
        said = _killed_worker(journal_root, lines, ship_to=ledger_db)
        started, settled = started | said[0], settled | said[1]
    adopt_all(journal_root, ledger.write)
    rows = _rows_by_status()
    assert settled <= rows["ok"]
    assert started <= rows["ok"] | rows["interrupted"]
    assert len(rows["ok"] - settled) + len((rows["ok"] | rows["interrupted"]) - started) <= 4  # one a kill
    assert list(journal_root.iterdir()) == []


def test_an_interrupted_attempt_is_charged_at_its_estimate(ledger_db: str, journal_root: Path) -> None:
    _killed_worker(journal_root, 30)
    adopt_all(journal_root, ledger.write)
    row = Attempt.objects.filter(status="interrupted").first()
    assert row is not None
    assert (row.prompt_tokens, row.estimated, row.error_class, row.cost_nano) == (11, True, "gateway_died", 0)


def test_a_restarted_worker_adopts_within_five_seconds(ledger_db: str, journal_root: Path) -> None:
    started, _ = _killed_worker(journal_root, 600)
    journal = Journal(journal_root)
    shipper = Shipper(journal)
    shipper.start()
    wait_until(lambda: Attempt.objects.count() >= len(started), 5)
    shipper.stop(10)
    journal.close()
    assert list(journal_root.iterdir()) == []


def test_a_living_worker_adopts_one_that_dies_later(sqlite_ledger: str, journal_root: Path) -> None:
    journal = Journal(journal_root)
    shipper = Shipper(journal, interval=0.1)
    shipper.start()
    wait_until(lambda: shipper._adopt_at > 0)
    _dead_worker(journal_root)
    wait_until(lambda: Attempt.objects.count() == 2, 5)
    shipper.stop(10)
    journal.close()


def test_adopters_at_the_same_time_write_each_attempt_once(ledger_db: str, journal_root: Path) -> None:
    started: set[str] = set()
    for _ in range(3):
        started |= _killed_worker(journal_root, 60)[0]
    with ThreadPoolExecutor(4) as pool:
        adopted = list(pool.map(_adopt_apart, [journal_root] * 4))
    assert sum(adopted) >= 3
    assert started <= {str(pk) for pk in Attempt.objects.values_list("pk", flat=True)}
    assert list(journal_root.iterdir()) == []


def test_the_living_are_left_alone(sqlite_ledger: str, journal_root: Path) -> None:
    journal, alice = Journal(journal_root), asked("alice")
    journal.started(alice.started())
    assert adopt_all(journal_root, ledger.write) == 0
    assert len(journal.segments()) == 1
    assert journal.segments()[0].path.exists()
    assert Attempt.objects.count() == 0
    journal.close()


def test_adoption_broken_off_by_the_database_is_done_again(sqlite_ledger: str, journal_root: Path) -> None:
    _dead_worker(journal_root)
    with pytest.raises(OperationalError):
        adopt_all(journal_root, _database_away)
    assert len(list(journal_root.glob(f"*/*{SUFFIX}"))) == 1
    adopt_all(journal_root, ledger.write)
    assert {key: len(ids) for key, ids in _rows_by_status().items()} == {"ok": 1, "interrupted": 1}


def test_adopting_what_was_shipped_before_the_death_adds_nothing(
    sqlite_ledger: str, journal_root: Path
) -> None:
    alice = asked("alice")
    ledger.write([alice.settled()])
    journal = Journal(journal_root)
    journal.started(alice.started())
    journal.close()
    adopt_all(journal_root, ledger.write)
    assert {key: len(ids) for key, ids in _rows_by_status().items()} == {"ok": 1}


@pytest.mark.parametrize("cut", range(1, 120, 7))
def test_a_record_cut_by_the_kill_costs_nothing_before_it(
    sqlite_ledger: str, journal_root: Path, cut: int
) -> None:
    _dead_worker(journal_root)
    (file,) = journal_root.glob(f"*/*{SUFFIX}")
    file.write_bytes(file.read_bytes()[:-cut])
    adopt_all(journal_root, ledger.write)
    assert {key: len(ids) for key, ids in _rows_by_status().items()} == {"interrupted": 2}
    assert list(journal_root.iterdir()) == []


def test_a_directory_left_half_removed_goes_too(sqlite_ledger: str, journal_root: Path) -> None:
    (journal_root / "0123").mkdir(parents=True)
    adopt_all(journal_root, ledger.write)
    assert list(journal_root.iterdir()) == []


def _adopt_apart(root: Path) -> int:
    try:
        return adopt_all(root, ledger.write)
    finally:
        connections.close_all()


def _database_away(rows: list[Settled]) -> None:
    raise OperationalError("the database is away")
