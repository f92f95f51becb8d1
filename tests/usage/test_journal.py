"""What a worker writes down, and what it does when its disk is full."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.usage.rows import asked
from usage.frames import decode
from usage.journal import LOCK, SUFFIX, Journal
from usage.records import Record

# A child whose files may not grow beyond 4 KiB: what a full disk does, for this process alone.
FULL_DISK = """
import resource, sys
from pathlib import Path
from tests.usage.rows import asked
from usage.journal import Journal, JournalFull

root, rule = Path(sys.argv[1]), sys.argv[2]
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
journal = Journal(root, full=rule)
refused = 0
for _ in range(30):
    one = asked()
    try:
        journal.started(one.started())
    except JournalFull as error:
        refused += 1
        assert "File too large" in str(error) or "No space" in str(error), error
    else:
        journal.settled(one.settled())
print(refused, journal.unrecorded, journal.pending, len(journal.overflowing()))
"""


def _read(root: Path) -> list[Record]:
    files = sorted(root.glob(f"*/*{SUFFIX}"))
    decoded = [decode(file.read_bytes(), final=True) for file in files]
    assert not any(piece.damaged for piece in decoded)
    return [record for piece in decoded for record in piece.records]


def _on_a_full_disk(root: Path, rule: str) -> list[int]:
    run = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(root), rule], capture_output=True, text=True, check=True
    )
    return [int(number) for number in run.stdout.split()]


def test_a_record_is_on_the_disk_when_the_call_returns(journal_root: Path) -> None:
    journal, alice = Journal(journal_root), asked("alice")
    journal.started(alice.started())
    assert _read(journal_root) == [alice.started()]
    journal.settled(alice.settled())
    assert _read(journal_root) == [alice.started(), alice.settled()]
    journal.close()


def test_pending_counts_rows_and_not_attempts_under_way(journal_root: Path) -> None:
    journal, alice, bob = Journal(journal_root), asked("alice"), asked("bob")
    journal.started(alice.started())
    journal.started(bob.started())
    assert journal.pending == 0
    journal.settled(bob.settled())
    assert journal.pending == 1
    assert journal.wake.is_set()
    journal.close()


def test_a_full_file_is_followed_by_another(journal_root: Path) -> None:
    journal = Journal(journal_root, segment_bytes=1000)
    rows = [asked().settled() for _ in range(20)]
    for row in rows:
        journal.settled(row)
    assert len(journal.segments()) == 3
    assert [segment.closed for segment in journal.segments()].count(False) == 1
    assert _read(journal_root) == rows
    journal.close()


def test_a_worker_that_wrote_nothing_leaves_nothing(journal_root: Path) -> None:
    Journal(journal_root).close()
    assert list(journal_root.iterdir()) == []


def test_the_records_of_a_closed_journal_stay_for_others(journal_root: Path) -> None:
    journal, alice = Journal(journal_root), asked("alice")
    journal.settled(alice.settled())
    journal.close()
    assert _read(journal_root) == [alice.settled()]
    assert len(list(journal_root.glob(f"*/{LOCK}"))) == 1


def test_two_workers_keep_apart(journal_root: Path) -> None:
    first, second = Journal(journal_root), Journal(journal_root)
    first.settled(asked("alice").settled())
    second.settled(asked("bob").settled())
    assert len({segment.path.parent for one in (first, second) for segment in one.segments()}) == 2
    first.close()
    second.close()


def test_a_directory_that_may_not_be_written_is_an_error_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        Journal(tmp_path / "file" / "journal")


def test_a_full_disk_refuses_new_attempts_and_cuts_off_no_frame(journal_root: Path) -> None:
    refused, unrecorded, pending, in_memory = _on_a_full_disk(journal_root, "refuse")
    assert refused > 0
    assert refused + pending == 30
    assert (unrecorded, len(_read(journal_root))) == (0, 2 * pending - in_memory)


def test_on_a_full_disk_attempts_are_served_when_the_operator_says_so(journal_root: Path) -> None:
    refused, unrecorded, pending, in_memory = _on_a_full_disk(journal_root, "serve")
    assert refused == 0
    assert unrecorded > 0
    assert pending == 30
    assert len(_read(journal_root)) == 60 - unrecorded - in_memory
