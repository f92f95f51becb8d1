"""Taking over the journals of workers that died: nothing they wrote down is lost."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import batched
from pathlib import Path

from usage import exchanges
from usage.drafts import Draft
from usage.journal import LOCK, SUFFIX
from usage.records import Settled, interrupted
from usage.segments import Reading

_BATCH = 1000


type Write = Callable[[list[Settled]], None]
type Keep = Callable[[list[Draft]], None]


def adopt_all(root: Path, write: Write, keep: Keep = exchanges.write) -> int:
    """Write the rows of every dead worker below `root`, then remove its directory; how many there were.

    An attempt that was started and never settled becomes an `interrupted` row; `keep` takes the exchanges.
    What the two raise goes to the caller, and the journal stays as it was.
    """
    adopted = 0
    for directory in sorted(path for path in root.glob("[!.]*") if path.is_dir()):
        with _claimed(directory) as dead:
            if dead:
                _adopt(directory, write, keep)
                adopted += 1
    return adopted


@contextmanager
def _claimed(directory: Path) -> Iterator[bool]:
    """Whether the owner is dead and no other adopter is at it: its lock can be taken."""
    try:
        fd = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except FileNotFoundError:  # another adopter has just removed it
        yield False
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(fd)


def _adopt(directory: Path, write: Write, keep: Keep) -> None:
    reading = Reading()
    paths = sorted(directory.glob(f"*{SUFFIX}"))
    for path in paths:
        size = path.stat().st_size
        while (window := reading.window(path, size, final=True)) is not None:
            write(window.rows)
            keep(window.drafts)
            reading.passed(window)
    for some in batched(reading.unended(), _BATCH):
        write([interrupted(started) for started in some])
    for path in paths:
        reading.discard(path)
    with suppress(OSError):  # an adopter that looks in at this moment removes it instead
        (directory / LOCK).unlink()
        directory.rmdir()
