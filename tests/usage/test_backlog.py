"""How far the ledger is behind can be read at any moment, without asking the disk or the database."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.usage.rows import asked, settled
from usage.journal import SUFFIX, Journal
from usage.shipper import Shipper


def _on_disk(root: Path) -> int:
    return sum(path.stat().st_size for path in root.rglob(f"*{SUFFIX}"))


def test_the_size_is_that_of_the_files(journal_root: Path) -> None:
    journal = Journal(journal_root, segment_bytes=1000)
    assert Shipper(journal).size_bytes == 0
    for _ in range(20):
        attempt = asked("alice")
        journal.started(attempt.started())
        journal.settled(attempt.settled())
    assert Shipper(journal).size_bytes == _on_disk(journal_root) > 3000


def test_a_row_is_pending_until_it_is_in_the_database(
    sqlite_ledger: str, journal_root: Path, eventually: Callable[..., None]
) -> None:
    journal = Journal(journal_root)
    shipper = Shipper(journal, interval=0.01)
    journal.settled(settled("alice"))
    assert (shipper.pending, shipper.unrecorded) == (1, 0)
    assert 0 < shipper.lag_seconds < 5
    shipper.start()
    eventually(lambda: shipper.pending == 0 and shipper.lag_seconds == 0)
    shipper.stop(5)
    assert shipper.size_bytes == 0


def test_reading_it_opens_no_file(journal_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(journal_root)
    journal.settled(settled("bob"))
    shipper = Shipper(journal)

    def forbidden(*_: object) -> None:
        raise AssertionError("the disk was asked")

    for name in ("open", "stat", "listdir", "scandir"):
        monkeypatch.setattr(f"os.{name}", forbidden)
    found = (shipper.size_bytes > 0, shipper.pending, shipper.unrecorded, shipper.lag_seconds > 0)
    monkeypatch.undo()
    assert found == (True, 1, 0, True)
