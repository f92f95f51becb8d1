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

    def wake(self) -> None:
        self._woken.set()

    async def turn(self, seconds: float) -> bool:
        """Wait until it is first and a place may have become free; False: not within so many seconds."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while True:
            first = self._line[0] is self
            wait_until = min(until, loop.time() + LOOK_AGAIN) if first else until
            try:
                async with asyncio.timeout_at(wait_until):
                    await self._woken.wait()
            except TimeoutError:
                if loop.time() >= until:
                    return False
            self._woken.clear()
            if self._line[0] is self:
                return True


class Lines:
    """The lines of one worker, by model and tags: other tags lead to other deployments."""

    def __init__(self) -> None:
        self._lines: dict[_Key, deque[Place]] = {}

    def busy(self, model: str, tags: frozenset[str]) -> bool:
        """Whether somebody waits already, behind whom a new request belongs."""
        return (model, tags) in self._lines

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
                    line[0].wake()

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
            was_first = line[0] is place
            line.remove(place)
            if not line:
                del self._lines[model, tags]
            elif was_first:
                line[0].wake()
