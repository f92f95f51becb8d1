"""Streams whose clients left, read on to their end: their providers bill all of it."""

import asyncio
from collections.abc import Callable, Coroutine

import structlog

log = structlog.get_logger(__name__)


class Drains:
    """The drains of one worker: at most so many at once, each for at most so many seconds."""

    def __init__(self, *, seconds: float, most: int) -> None:
        self._seconds = seconds
        self._most = most
        self._running: set[asyncio.Task[None]] = set()
        self._stopping = False

    def take(self, drain: Coroutine[None, None, None], end: Callable[[], None]) -> bool:
        """Run it in the background, and call `end` however it ended; False when there is no room."""
        if self._stopping or len(self._running) >= self._most:
            drain.close()
            return False
        task = asyncio.get_running_loop().create_task(self._run(drain))
        self._running.add(task)
        # not in the task: one that is cancelled before it began has no `finally`
        task.add_done_callback(lambda done: self._ended(done, drain, end))
        return True

    async def stop(self) -> None:
        """End all of them where they are."""
        self._stopping = True
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _run(self, drain: Coroutine[None, None, None]) -> None:
        try:
            async with asyncio.timeout(self._seconds):
                await drain
        except TimeoutError:
            log.info("drain_too_long", seconds=self._seconds)

    def _ended(
        self, task: asyncio.Task[None], drain: Coroutine[None, None, None], end: Callable[[], None]
    ) -> None:
        self._running.discard(task)
        drain.close()
        end()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("drain_failed", error=repr(error))
