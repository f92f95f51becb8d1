"""What a worker writes down of its attempts, on its own disk, before anything else can fail."""

import errno
import fcntl
import logging
import os
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from usage.frames import encode
from usage.ids import uuid7
from usage.records import Settled, Started

log = logging.getLogger(__name__)

LOCK = "lock"
SUFFIX = ".journal"
# Rows kept in memory while the disk refuses; more than this many are counted as unrecorded.
OVERFLOW = 100_000
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class JournalFull(Exception):
    """The disk refuses to take the record, so the attempt must not be made."""


class Segment(NamedTuple):
    """One file of the journal: `size` bytes of whole frames; a closed one never grows again."""

    path: Path
    size: int
    closed: bool


@dataclass(slots=True)
class _Open:
    path: Path
    fd: int
    size: int = 0


class Journal:
    """The records of one worker, in `root/<worker-id>/`, whose lock is held as long as the worker lives."""

    def __init__(
        self, root: Path, *, segment_bytes: int = 16 * 2**20, full: Literal["refuse", "serve"] = "refuse"
    ) -> None:
        self.root = root
        self.unrecorded = 0
        self.not_kept = 0
        self.wake = threading.Event()
        self._segment_bytes = segment_bytes
        self._refuse = full == "refuse"
        self._mutex = threading.Lock()
        self._directory: Path | None = None
        self._lock_fd = -1
        self._active: _Open | None = None
        self._closed: list[Segment] = []
        self._count = 0
        self._overflow: deque[bytes] = deque()
        self._settled = self._shipped = 0
        self._waiting_since: float | None = None
        self._failing = False
        try:
            self._take_directory()
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise

    # --- what a request calls ------------------------------------------------------------------
    def started(self, record: Started) -> None:
        """Write it now. Raises `JournalFull` when the disk refuses and the rule is to refuse too."""
        try:
            self._append(encode(record))
        except OSError as error:
            self._note_failure(error)
            if self._refuse:
                raise JournalFull(f"The usage journal cannot be written: {error.strerror}.") from error
            self.unrecorded += 1

    def settled(self, record: Settled) -> None:
        """Write it now, or keep it in memory for the shipper when the disk refuses."""
        frame = encode(record)
        try:
            self._append(frame)
        except OSError as error:
            self._note_failure(error)
            if len(self._overflow) >= OVERFLOW:
                self.unrecorded += 1
                return
            self._overflow.append(frame)
        with self._mutex:
            self._settled += 1
            if self._waiting_since is None:
                self._waiting_since = time.monotonic()
        self.wake.set()

    def kept(self, frames: bytes) -> None:
        """Write the pieces of an exchange, together. A refusal of the disk costs the exchange alone."""
        try:
            self._append(frames)
        except OSError as error:
            self._note_failure(error)
            self.not_kept += 1

    @property
    def pending(self) -> int:
        """Settled rows that are not yet in the database."""
        return self._settled - self._shipped

    @property
    def lag_seconds(self) -> float:
        """How long the oldest of the pending rows has waited, at most."""
        since = self._waiting_since
        return 0.0 if since is None else time.monotonic() - since

    @property
    def size_bytes(self) -> int:
        """The size of its files on the disk."""
        return sum(segment.size for segment in self.segments())

    def close(self) -> None:
        """Let go of the directory, which is removed when nothing is left in it."""
        self.rotate()
        with self._mutex:
            if self._directory is None:
                return
            if not self._closed:
                with suppress(OSError):  # an adopter that looks in at this moment removes it instead
                    (self._directory / LOCK).unlink()
                    self._directory.rmdir()
            os.close(self._lock_fd)
            self._directory = None

    # --- what the shipper calls ----------------------------------------------------------------
    def segments(self) -> list[Segment]:
        """All files that are not forgotten, oldest first, as far as they are written."""
        with self._mutex:
            active = self._active
            return [*self._closed, *([Segment(active.path, active.size, False)] if active else [])]

    def forget(self, segment: Segment) -> None:
        with self._mutex:
            self._closed.remove(segment)

    def rotate(self) -> None:
        """End the active file; the next record begins another."""
        with self._mutex:
            self._end_active()

    def overflowing(self) -> list[bytes]:
        """The frames that are only in memory, oldest first."""
        return list(self._overflow.copy())  # copied whole: the other thread may append meanwhile

    def shipped(self, count: int, *, overflow: int = 0) -> None:
        """This many rows more are in the database, `overflow` of them from memory."""
        with self._mutex:
            self._shipped += count
            for _ in range(overflow):
                self._overflow.popleft()

    def caught_up(self, moment: float) -> None:
        """All that was settled before this moment (monotonic seconds) is in the database."""
        with self._mutex:
            self._waiting_since = moment if self.pending else None

    # --- the disk ------------------------------------------------------------------------------
    def _append(self, frame: bytes) -> None:
        with self._mutex:
            active = self._active
            if active is None or active.size >= self._segment_bytes:
                active = self._begin()
            self._write(active, frame)
            active.size += len(frame)
            self._failing = False

    def _write(self, active: _Open, frame: bytes) -> None:
        """All of it or nothing: what a full disk took of a frame is cut off again."""
        if os.write(active.fd, frame) == len(frame):
            return
        try:
            os.ftruncate(active.fd, active.size)
        except OSError:
            self._end_active()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _begin(self) -> _Open:
        self._end_active()
        if self._directory is None or not self._directory.exists():  # no room until now, or removed
            self._take_directory()
        assert self._directory is not None, "taken"
        path = self._directory / f"{self._count + 1:08}{SUFFIX}"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        self._count += 1
        self._active = _Open(path, fd)
        return self._active

    def _end_active(self) -> None:
        active, self._active = self._active, None
        if active is not None:
            os.close(active.fd)
            self._closed.append(Segment(active.path, active.size, True))

    def _take_directory(self) -> None:
        """Made and locked under a name that adopters pass over, so that it is never seen unlocked."""
        worker = uuid7().hex
        draft = self.root / f".{worker}"
        draft.mkdir(parents=True, mode=0o700)
        try:
            fd = os.open(draft / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError:
            draft.rmdir()
            raise
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
        self._lock_fd = fd
        self._directory = draft.rename(self.root / worker)

    def _note_failure(self, error: OSError) -> None:
        if not self._failing:
            self._failing = True
            log.error("journal_refused root=%s error=%s", self.root, error)
