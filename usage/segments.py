"""Reading a worker's journal files, window by window, so that memory stays flat however long they are."""

import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from usage.drafts import Draft, gather
from usage.frames import LONGEST, decode
from usage.records import Kept, Record, Settled, Started

log = logging.getLogger(__name__)

# About two thousand rows, one transaction; must hold more than one frame.
WINDOW = 2**20
assert WINDOW > 2 * LONGEST, "an unfinished frame must fit into the next window"


@dataclass(frozen=True, slots=True)
class Window:
    """A piece of one file, up to byte `end`; `pieces` are of an exchange that goes on behind it."""

    path: Path
    records: list[Record]
    end: int
    damaged: bool
    drafts: list[Draft] = field(default_factory=list)
    pieces: list[Kept] = field(default_factory=list)

    @property
    def rows(self) -> list[Settled]:
        return [record for record in self.records if isinstance(record, Settled)]


class Reading:
    """How far the files of one worker are read, and which attempts are begun and not ended in them.

    Nothing moves before `passed`, so a window whose rows could not be written is simply read again.
    """

    def __init__(self) -> None:
        self._ends: dict[Path, int] = {}
        self._damaged: set[Path] = set()
        self._open: dict[UUID, tuple[Path, Started]] = {}
        self._pieces: dict[Path, list[Kept]] = {}

    def window(self, path: Path, size: int, *, final: bool) -> Window | None:
        """The next piece of the first `size` bytes, or None. `final`: the file never grows again."""
        begin = self._ends.get(path, 0)
        if begin >= size:
            return None
        try:
            data = _read(path, begin, min(WINDOW, size - begin))
        except FileNotFoundError:
            log.error("journal_file_gone path=%s", path)
            return Window(path, [], size, False)
        if not data:  # somebody cut the file
            return Window(path, [], size, True)
        decoded = decode(data, final=final and begin + len(data) >= size)
        if not decoded.used:
            return None
        kept = [record for record in decoded.records if isinstance(record, Kept)]
        drafts, pieces = gather([*self._pieces.get(path, []), *kept])
        return Window(path, decoded.records, begin + decoded.used, decoded.damaged, drafts, pieces)

    def passed(self, window: Window) -> None:
        """The rows of this window are written."""
        self._ends[window.path] = window.end
        self._pieces[window.path] = window.pieces
        if window.damaged and window.path not in self._damaged:
            self._damaged.add(window.path)
            log.error("journal_corrupt path=%s before_byte=%d", window.path, window.end)
        for record in window.records:
            if isinstance(record, Started):
                self._open[record.attempt_id] = window.path, record
            elif isinstance(record, Settled):
                self.ended(record)

    def ended(self, row: Settled) -> None:
        """This row is written, wherever it came from."""
        self._open.pop(row.attempt_id, None)

    def unended(self) -> list[Started]:
        return [started for _, started in self._open.values()]

    def files_in_use(self) -> set[Path]:
        """The files that hold the only trace of an attempt that is not ended."""
        return {path for path, _ in self._open.values()}

    def is_read(self, path: Path, size: int) -> bool:
        return self._ends.get(path, 0) >= size

    def discard(self, path: Path) -> None:
        """Remove a file that is wholly written; one with damage is kept aside, for a person to look at."""
        if path in self._damaged and path.exists():
            kept = path.parent.parent / f"{path.parent.name}-{path.stem}.corrupt"
            os.replace(path, kept)
            log.error("journal_corrupt_kept path=%s", kept)
        else:
            path.unlink(missing_ok=True)
        self._ends.pop(path, None)
        self._pieces.pop(path, None)
        self._damaged.discard(path)


def _read(path: Path, begin: int, count: int) -> bytes:
    fd = os.open(path, os.O_RDONLY)
    try:
        return os.pread(fd, count, begin)
    finally:
        os.close(fd)
