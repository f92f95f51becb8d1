"""A server of one worker that says what a test tells it to say."""

import asyncio
import signal
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.control import Control, Operation
from gateway.control_client import Message
from gateway.live import gather_in_flight


class Worker:
    """A worker on a loop of its own that says these numbers, one after the other, and the last for ever."""

    def __init__(self, folder: Path, id: int) -> None:
        self.id = id
        self.says: list[tuple[int, int]] = []  # version, in flight
        self.asked = 0
        self.aside: dict[str, float] = {}
        self.wrong: dict[str, int] = {}
        self.interrupt_at = -1
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._control = Control(folder)
        self._control.add("in_flight", Operation(self._answer, gather_in_flight))
        self._run(self._control.start())

    async def _answer(self, message: Message) -> Message:
        if self.asked == self.interrupt_at:
            signal.raise_signal(signal.SIGINT)
        version, count = self.says[min(self.asked, len(self.says) - 1)]
        self.asked += 1
        counts = {str(self.id): count} if count else {}
        return {"version": version, "in_flight": counts, "aside": self.aside, "wrong": self.wrong}

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Its loop stands still; connections to it are taken by the kernel alone."""
        go_on = threading.Event()
        self._loop.call_soon_threadsafe(go_on.wait, 30)
        yield
        go_on.set()

    def _run(self, coroutine: Coroutine[None, None, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(5)

    def end(self) -> None:
        self._run(self._control.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
