"""Counts that survive the worker that made them: memory shared by all workers of one server.

Made before the workers are forked, so all of them have it and none can take it along when it dies. Each
worker has a region that it alone adds to, at the cost of an addition; whoever is asked sums the regions of
all. A new worker takes the region of a dead one and counts on from there, so sums never fall. Nothing is on a
disk: one that is full would kill who writes to mapped memory of it.
"""

import fcntl
import mmap
import os
import sys
import tempfile
from collections.abc import Iterator

import msgspec

# Of a region: numbers of a thousand deployments, and their names. Memory that nobody touched costs nothing.
CELLS = 64 * 1024
_NAMES = 256 * 1024
_HEAD = mmap.PAGESIZE
SIZE = _HEAD + _NAMES + CELLS * 8
assert SIZE % mmap.PAGESIZE == 0, "each worker writes to pages of its own"

type Name = tuple[str, ...]


class Region:
    """One worker's part. `cells` are 64-bit floats; `row` tells which of them belong to a name.

    A row is described before it is published: who reads meanwhile, or after a kill in between, sees it whole
    or not at all.
    """

    def __init__(self, memory: memoryview) -> None:
        self._end = memory[:8].cast("Q")  # of the names that are published
        self._names = memory[_HEAD : _HEAD + _NAMES]
        self.cells = memory[_HEAD + _NAMES :].cast("d")
        self._rows: dict[Name, int] = {}
        self._used = 0
        for name, first, width in self:
            self._rows[name] = first
            self._used = first + width

    def __iter__(self) -> Iterator[tuple[Name, int, int]]:
        """Every row: its name, its first cell, and how many cells it has."""
        first = 0
        for line in bytes(self._names[: self._end[0]]).splitlines():
            width, *name = msgspec.json.decode(line)
            yield tuple(name), first, width
            first += width

    def row(self, name: Name, width: int) -> int | None:
        """The first of `width` cells of this name, always the same; None: there is no room for another."""
        found = self._rows.get(name)
        if found is not None:
            return found
        line = msgspec.json.encode([width, *name]) + b"\n"
        end = self._end[0] + len(line)
        if self._used + width > CELLS or end > _NAMES:
            return None
        self._names[self._end[0] : end] = line
        self._end[0] = end
        self._rows[name] = first = self._used
        self._used += width
        return first


class Tallies:
    """The regions of so many workers."""

    def __init__(self, regions: int = 1) -> None:
        self._memory = memoryview(mmap.mmap(-1, regions * SIZE))
        # Whose a region is: a lock on its byte of this file, which ends with the process that has it.
        self._locks = os.memfd_create("switchyard") if sys.platform == "linux" else _unnamed_file()
        self._regions = regions
        self._taken: set[int] = set()
        self._apart: list[Region] = []

    def take(self) -> Region:
        """A region for this worker; when there are none left, one of which no other worker can tell."""
        for number in range(self._regions):
            if number not in self._taken and self._lock(number):
                self._taken.add(number)
                return self._region(number)
        self._apart.append(Region(memoryview(mmap.mmap(-1, SIZE))))
        return self._apart[-1]

    def _lock(self, number: int) -> bool:
        try:
            fcntl.lockf(self._locks, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
        except (BlockingIOError, PermissionError):
            return False
        return True

    def _region(self, number: int) -> Region:
        return Region(self._memory[number * SIZE : (number + 1) * SIZE])

    def sums(self) -> dict[Name, list[float]]:
        """What all workers counted, those that died included: the cells of each name."""
        found: dict[Name, list[float]] = {}
        for region in (*map(self._region, range(self._regions)), *self._apart):
            for name, first, width in region:
                cells: list[float] = list(region.cells[first : first + width])
                sums = found.get(name)
                found[name] = cells if sums is None else [a + b for a, b in zip(sums, cells, strict=True)]
        return found


def _unnamed_file() -> int:
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
