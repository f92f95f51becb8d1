"""The thread that carries a worker's journal to the database, and the journals of workers that died."""

import logging
import os
import threading
import time
from pathlib import Path

import msgspec
from django.db import DataError, Error, IntegrityError, connection

from usage import exchanges, ledger
from usage.adoption import adopt_all
from usage.frames import decode
from usage.journal import Journal, Segment
from usage.records import Settled
from usage.segments import WINDOW, Reading

log = logging.getLogger(__name__)

_ADOPT_EVERY = 2.0
_LONGEST_DELAY = 2.0
_OVERFLOW_BATCH = 1000


class Shipper:
    """Ships at once after a quiet time, then at most once per `interval` seconds, in one thread of its own.

    While the database is away everything stays in the files, and it tries again every two seconds or sooner.
    """

    def __init__(self, journal: Journal, *, interval: float = 0.5) -> None:
        self.last_error = ""
        self._journal = journal
        self._interval = interval
        self._reading = Reading()
        self._synced: dict[Path, int] = {}
        self._adopt_at = 0.0
        self.adopted = threading.Event()  # what dead workers had left at the start is in the ledger
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="usage-shipper", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Ship what is there once more, waiting at most `timeout` seconds; the rest stays in the files."""
        self._stopping.set()
        self._journal.wake.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)

    @property
    def lag_seconds(self) -> float:
        """How long the oldest row that is not in the database has waited, at most."""
        return self._journal.lag_seconds

    @property
    def pending(self) -> int:
        """Rows of this worker that are not in the database."""
        return self._journal.pending

    @property
    def unrecorded(self) -> int:
        """Records that the disk refused and the memory could not hold: not in the ledger, ever."""
        return self._journal.unrecorded

    @property
    def size_bytes(self) -> int:
        """What this worker's journal takes on the disk."""
        return self._journal.size_bytes

    # --- the thread ----------------------------------------------------------------------------
    def _run(self) -> None:
        delay = self._interval
        try:
            while not self._stopping.is_set():
                delay = self._interval if self._turn() else min(delay * 2, _LONGEST_DELAY)
                self._stopping.wait(delay)
                if delay == self._interval:
                    self._journal.wake.wait(self._interval)
            self._journal.rotate()
            self._turn()
        finally:
            connection.close()

    def _turn(self) -> bool:
        """Sync, ship, adopt. False when the database or the disk failed; it is then tried again."""
        self._journal.wake.clear()
        try:
            self._ship()
            self._adopt_when_due()
        except (Error, OSError) as error:
            self._note_failure(error)
            connection.close()
            return False
        except Exception as error:  # a shipper that ended would keep every later row out of the ledger
            log.exception("usage_shipper_failed")
            self.last_error = repr(error)
            connection.close()
            return False
        if self.last_error:
            log.info("usage_shipping_again pending=%d", self._journal.pending)
        self.last_error = ""
        return True

    def _note_failure(self, error: Error | OSError) -> None:
        text = str(error).strip().split("\n")[0] or type(error).__name__
        if not self.last_error:
            log.warning("usage_not_shipped pending=%d error=%s", self._journal.pending, text)
        self.last_error = text

    # --- own rows ------------------------------------------------------------------------------
    def _ship(self) -> None:
        begun = time.monotonic()
        overflow = self._journal.overflowing()  # before the files: there their `started` are
        segments = self._journal.segments()
        for segment in segments:
            self._sync(segment)
        private = [self._ship_segment(segment) for segment in segments]
        self._ship_overflow(overflow)
        self._discard_done(segments)
        self._journal.caught_up(begun)
        if any(private) or any(segment.size >= WINDOW and not segment.closed for segment in segments):
            # Shipped to its end: without it, who adopts this worker has little to read again, and no
            # prompt lies about that was deleted from the database since.
            self._journal.rotate()

    def _sync(self, segment: Segment) -> None:
        """Onto the disk, in groups: a row may be in the database only after it is there."""
        if self._synced.get(segment.path, 0) >= segment.size:
            return
        try:
            if segment.path not in self._synced:
                _fsync(segment.path.parent)
            _fsync(segment.path)
        except FileNotFoundError:  # somebody removed it: what comes now must not go there too
            self._journal.rotate()
        self._synced[segment.path] = segment.size

    def _ship_segment(self, segment: Segment) -> bool:
        """Whether there were exchanges in it."""
        private = False
        while (window := self._reading.window(segment.path, segment.size, final=segment.closed)) is not None:
            self._write(window.rows)
            exchanges.write(window.drafts)
            private |= bool(window.drafts)
            self._reading.passed(window)
            self._journal.shipped(len(window.rows))
        return private

    def _ship_overflow(self, frames: list[bytes]) -> None:
        for start in range(0, len(frames), _OVERFLOW_BATCH):
            some = frames[start : start + _OVERFLOW_BATCH]
            records = decode(b"".join(some), final=True).records
            rows = [record for record in records if isinstance(record, Settled)]
            self._write(rows)
            for row in rows:
                self._reading.ended(row)
            self._journal.shipped(len(some), overflow=len(some))

    def _discard_done(self, segments: list[Segment]) -> None:
        in_use = self._reading.files_in_use()
        for segment in segments:
            done = segment.closed and self._reading.is_read(segment.path, segment.size)
            if done and segment.path not in in_use:
                self._reading.discard(segment.path)
                self._journal.forget(segment)
                self._synced.pop(segment.path, None)

    # --- the rows of the dead ------------------------------------------------------------------
    def _adopt_when_due(self) -> None:
        if self._stopping.is_set() or time.monotonic() < self._adopt_at:
            return
        adopted = adopt_all(self._journal.root, self._write_adopted)
        if adopted:
            log.info("usage_adopted workers=%d", adopted)
        self.adopted.set()
        self._adopt_at = time.monotonic() + _ADOPT_EVERY

    def _write_adopted(self, rows: list[Settled]) -> None:
        self._write(rows)
        self._ship()  # however much the dead left, own rows are in time

    # --- writing -------------------------------------------------------------------------------
    def _write(self, rows: list[Settled]) -> None:
        """Write them; a row that the database can never take is put aside and blocks no other."""
        try:
            ledger.write(rows)
        except (DataError, IntegrityError, ValueError) as error:
            if len(rows) == 1:
                self._put_aside(rows[0], error)
                return
            half = len(rows) // 2
            self._write(rows[:half])
            self._write(rows[half:])

    def _put_aside(self, row: Settled, error: Exception) -> None:
        path = self._journal.root / "rejected.jsonl"
        log.error("usage_row_rejected attempt=%s kept=%s error=%s", row.attempt_id, path, error)
        with path.open("ab") as file:
            file.write(msgspec.json.encode(row) + b"\n")


def _fsync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
