"""Where requests wait while every deployment that could take them is full: first come, first served."""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

# Places that other workers free are not told of here, so whoever is first looks again after so many seconds.
LOOK_AGAIN = 0.1

type _Key = tuple[str, frozenset[str]]


class LineFull(Exception):
    """As many requests wait as may."""


class Place:
    """One request's place in a line."""

    def __init__(self, line: "deque[Place]") -> None:
        self._line = line
        self._woken = asyncio.Event()
        self._yields = False

    def let_past(self) -> None:
        """What it waits for may be more than others need: those behind need not wait for it."""
        if not self._yields:
            self._yields = True
            _wake(self._line)

    @property
    def yields(self) -> bool:
        """Whether others may go past it."""
        return self._yields

    def wake(self) -> None:
        self._woken.set()

    async def turn(self, seconds: float) -> bool:
        """Wait until nobody holds it up and a place may have become free; False: not within these seconds."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while True:
            ahead = self._ahead()
            wait_until = until if ahead is None else min(until, loop.time() + LOOK_AGAIN * (ahead + 1))
            try:
                async with asyncio.timeout_at(wait_until):
                    await self._woken.wait()
            except TimeoutError:
                if loop.time() >= until:
                    return False
            self._woken.clear()
            if self._ahead() is not None:
                return True

    def _ahead(self) -> int | None:
        """How many stand before it and let it past; None: somebody does not."""
        for number, place in enumerate(self._line):
            if place is self:
                return number
            if not place.yields:
                return None
        raise AssertionError("who asks stands in the line")


def _wake(line: "deque[Place]") -> None:
    """Whoever is first looks at once, and those that it lets past."""
    for place in line:
        place.wake()
        if not place.yields:
            break


class Lines:
    """The lines of one worker, by model and tags: other tags lead to other deployments."""

    def __init__(self) -> None:
        self._lines: dict[_Key, deque[Place]] = {}

    def busy(self, model: str, tags: frozenset[str]) -> bool:
        """Whether somebody waits already, behind whom a new request belongs."""
        line = self._lines.get((model, tags))
        return line is not None and not all(place.yields for place in line)

    def lengths(self) -> dict[str, int]:
        """How many wait, by model."""
        found: dict[str, int] = {}
        for (model, _), line in self._lines.items():
            found[model] = found.get(model, 0) + len(line)
        return found

    def wake(self, model: str) -> None:
        """A place may have become free: whoever is first looks at once."""
        if self._lines:
            for (name, _), line in self._lines.items():
                if name == model:
                    _wake(line)

    @contextmanager
    def place(self, model: str, tags: frozenset[str], most: int) -> Iterator[Place]:
        """Stand in line while in the context. Raises `LineFull`."""
        if self.lengths().get(model, 0) >= most:
            raise LineFull
        line = self._lines.setdefault((model, tags), deque())
        place = Place(line)
        line.append(place)
        try:
            yield place
        finally:
            line.remove(place)
            if not line:
                del self._lines[model, tags]
            else:
                _wake(line)
