"""The shipper carries a worker's rows to the database and gives the disk back."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.db import connection

from tests.usage.conftest import ids_in_ledger, wait_until
from tests.usage.rows import Asked, asked
from usage import segments
from usage import shipper as shipper_module
from usage.journal import SUFFIX, Journal
from usage.models import Attempt
from usage.shipper import Shipper

type Eventually = Callable[..., None]


@contextmanager
def shipping(journal: Journal) -> Iterator[Shipper]:
    shipper = Shipper(journal, interval=0.05)
    shipper.start()
    try:
        yield shipper
    finally:
        shipper.stop(10)


def _answered(journal: Journal, count: int) -> list[Asked]:
    attempts = [asked() for _ in range(count)]
    for attempt in attempts:
        journal.started(attempt.started())
        journal.settled(attempt.settled())
    return attempts


def _files(root: Path) -> list[Path]:
    return sorted(root.glob(f"*/*{SUFFIX}"))


def test_a_settled_attempt_is_in_the_ledger_within_a_moment(ledger_db: str, journal_root: Path) -> None:
    journal = Journal(journal_root)
    with shipping(journal):
        (alice,) = _answered(journal, 1)
        wait_until(lambda: ids_in_ledger() == [str(alice.attempt_id)], 2)
    journal.close()


def test_an_attempt_under_way_has_no_row_yet(sqlite_ledger: str, journal_root: Path) -> None:
    journal, bob = Journal(journal_root), asked("bob")
    with shipping(journal):
        journal.started(bob.started())
        _answered(journal, 1)
        wait_until(lambda: journal.pending == 0)
        assert Attempt.objects.count() == 1
        journal.settled(bob.settled())
        wait_until(lambda: Attempt.objects.count() == 2)
    journal.close()


def test_stopping_ships_what_is_left_and_removes_the_directory(ledger_db: str, journal_root: Path) -> None:
    journal = Journal(journal_root)
    with shipping(journal):
        wait_until(lambda: not journal.wake.is_set())
        _answered(journal, 300)
    journal.close()
    assert Attempt.objects.count() == 300
    assert list(journal_root.iterdir()) == []


def test_files_go_when_all_their_attempts_are_shipped(sqlite_ledger: str, journal_root: Path) -> None:
    journal = Journal(journal_root, segment_bytes=1000)
    with shipping(journal):
        attempts = _answered(journal, 40)
        wait_until(lambda: len(_files(journal_root)) <= 1)
    journal.close()
    assert ids_in_ledger() == [str(attempt.attempt_id) for attempt in attempts]


def test_a_file_stays_while_an_attempt_that_began_in_it_is_under_way(
    sqlite_ledger: str, journal_root: Path
) -> None:
    journal, slow = Journal(journal_root, segment_bytes=1000), asked("bob")
    journal.started(slow.started())
    first = journal.segments()[0].path
    with shipping(journal):
        _answered(journal, 40)
        wait_until(lambda: journal.pending == 0 and len(_files(journal_root)) <= 2)
        assert first.exists()
        journal.settled(slow.settled())
        wait_until(lambda: not first.exists())
    journal.close()
    assert Attempt.objects.count() == 41


def test_rows_come_in_windows_so_that_memory_stays_flat(
    sqlite_ledger: str, journal_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "WINDOW", 2500)
    journal = Journal(journal_root, segment_bytes=9000)
    attempts = _answered(journal, 60)
    with shipping(journal):
        wait_until(lambda: journal.pending == 0)
    journal.close()
    assert ids_in_ledger() == [str(attempt.attempt_id) for attempt in attempts]


def test_a_file_that_is_shipped_to_its_end_is_let_go_before_it_is_full(
    sqlite_ledger: str, journal_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipper_module, "WINDOW", 2000)
    journal = Journal(journal_root)
    with shipping(journal):
        _answered(journal, 20)
        wait_until(lambda: journal.pending == 0 and _files(journal_root) == [])
        _answered(journal, 1)
        wait_until(lambda: Attempt.objects.count() == 21)
    journal.close()


def test_a_damaged_file_is_kept_aside_and_the_rest_of_it_is_shipped(
    sqlite_ledger: str, journal_root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal(journal_root)
    attempts = _answered(journal, 3)
    file = _files(journal_root)[0]
    data = bytearray(file.read_bytes())
    data[len(data) // 6 * 3 - 20] ^= 0xFF  # in the record that begins the second attempt
    file.write_bytes(data)
    with shipping(journal):
        wait_until(lambda: Attempt.objects.count() == 3)
    journal.close()
    assert "journal_corrupt" in caplog.text
    assert [kept.read_bytes() for kept in journal_root.glob("*.corrupt")] == [bytes(data)]
    assert ids_in_ledger() == [str(attempt.attempt_id) for attempt in attempts]


def test_a_row_that_no_table_takes_is_put_aside_and_blocks_no_other(
    ledger_db: str, journal_root: Path
) -> None:
    journal = Journal(journal_root)
    good = _answered(journal, 5)
    timeless = asked("mallory").settled(attempt_id=type(good[0].attempt_id)(int=2**128 - 1))
    journal.settled(timeless)
    good += _answered(journal, 5)
    with shipping(journal):
        wait_until(lambda: journal.pending == 0)
    journal.close()
    assert ids_in_ledger() == [str(attempt.attempt_id) for attempt in good]
    assert str(timeless.attempt_id) in (journal_root / "rejected.jsonl").read_text()


def test_rows_that_the_disk_refused_are_shipped_from_memory(
    sqlite_ledger: str, journal_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, alice, bob = Journal(journal_root), asked("alice"), asked("bob")
    journal.started(alice.started())
    journal.started(bob.started())
    monkeypatch.setattr(journal, "_append", _refuse)
    journal.settled(alice.settled())
    journal.settled(bob.settled())
    assert len(journal.overflowing()) == journal.pending == 2
    monkeypatch.undo()
    with shipping(journal):
        wait_until(lambda: journal.pending == 0)
    journal.close()
    assert Attempt.objects.filter(status="ok").count() == 2
    assert list(journal_root.iterdir()) == []


def test_a_journal_that_somebody_removed_is_begun_anew(sqlite_ledger: str, journal_root: Path) -> None:
    journal = Journal(journal_root)
    _answered(journal, 2)
    shutil.rmtree(journal_root)
    with shipping(journal):
        wait_until(lambda: journal.segments() == [])
        (carol,) = _answered(journal, 1)
        wait_until(lambda: ids_in_ledger() == [str(carol.attempt_id)])
    journal.close()


def test_rows_wait_for_tables_that_are_not_made_yet(ledger_db: str, journal_root: Path) -> None:
    _rename("usage_attempt", "usage_attempt_later")
    journal = Journal(journal_root)
    _answered(journal, 10)
    with shipping(journal) as shipper:
        try:
            wait_until(lambda: bool(shipper.last_error))
            assert journal.pending == 10
            assert shipper.lag_seconds > 0
        finally:
            _rename("usage_attempt_later", "usage_attempt")
        wait_until(lambda: journal.pending == 0)
        wait_until(lambda: shipper.last_error == "" and shipper.lag_seconds == 0)
    journal.close()
    assert Attempt.objects.count() == 10


def test_an_error_that_nobody_foresaw_does_not_end_the_shipping(
    sqlite_ledger: str, journal_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("usage.ledger.hour_of", lambda attempt_id: {}[attempt_id])
    journal = Journal(journal_root)
    with shipping(journal) as shipper:
        _answered(journal, 3)
        wait_until(lambda: "KeyError" in shipper.last_error)
        monkeypatch.undo()
        wait_until(lambda: journal.pending == 0)
    journal.close()
    assert Attempt.objects.count() == 3


def test_a_quiet_worker_asks_the_database_nothing(sqlite_ledger: str, journal_root: Path) -> None:
    journal = Journal(journal_root)
    with shipping(journal) as shipper:
        _rename("usage_attempt", "usage_attempt_later")
        try:
            time.sleep(0.3)
            assert shipper.last_error == ""
        finally:
            _rename("usage_attempt_later", "usage_attempt")
    journal.close()


def _rename(old: str, new: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {old} RENAME TO {new}")


def _refuse(frame: bytes) -> None:
    raise OSError(28, "No space left on device")
