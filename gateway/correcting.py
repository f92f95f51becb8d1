"""Counters that may differ from their rows: the ledger is asked again until they were quiet meanwhile."""

import asyncio
import itertools
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import structlog
from django.db import Error as DatabaseTrouble

from gateway.counted import Counted
from providers.state import How, Seed, State, StateUnavailable
from usage.shipper import Shipper

log = structlog.get_logger(__name__)
_MOST_WATCHED = 50_000
# Unshipped rows of this worker beyond which the ledger lags behind its counters too far.
_MOST_PENDING = 1000
# One turn of the thread: each by itself waits longer for its turn than for its answer.
_AT_ONCE = 16
_DOUBLED = 7


class Correcting:
    """Each counter is asked for twice, `after` so many seconds, then at growing intervals until it was quiet.

    Until then rows or settlements may still be on their way. `read` is called on a thread.
    """

    def __init__(self, shipper: Shipper, read: Callable[[Counted], Seed], after: tuple[float, float]) -> None:
        self._shipper = shipper
        self._read = read
        soon, later = after
        self._pauses = (soon, later, *(later * 2**power for power in range(-1, _DOUBLED - 1)))
        # Of each pause its counters and when they are due, the first one first.
        self._queues: tuple[dict[str, float], ...] = tuple({} for _ in self._pauses)
        self._watched: dict[str, Counted] = {}
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="correcting")
        self._working: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()
        self._all_asked = False
        self._state: State | None = None

    def attach(self, state: State) -> None:
        """Where corrections go."""
        self._state = state

    def ask(self, each: Counted) -> None:
        """The counter may differ from its rows, now or when they come. One with a rolling window forgets."""
        if each.demand.window or each.demand.how in (How.HOLD, How.MEMBER):
            return
        counter = each.demand.counter
        if counter not in self._watched and len(self._watched) >= _MOST_WATCHED:
            self._forget(next(iter(self._watched)))
        self._watched[counter] = each
        self._enqueue(counter)
        self._work()

    def ask_all(self) -> None:
        """Every counter that was ever asked for may differ."""
        self._all_asked = True
        self._work()

    def close(self) -> None:
        if self._working is not None:
            self._working.cancel()
        self._executor.shutdown(wait=False, cancel_futures=True)

    # --- when ----------------------------------------------------------------------------------

    def _enqueue(self, counter: str) -> None:
        soon, later, *others = self._queues
        now = time.monotonic()
        soon.setdefault(counter, now + self._pauses[0])  # not put off by whoever asks meanwhile
        for queue in (later, *others):
            queue.pop(counter, None)
        later[counter] = now + self._pauses[1]

    def _forget(self, counter: str) -> None:
        del self._watched[counter]
        for queue in self._queues:
            queue.pop(counter, None)

    def _work(self) -> None:
        self._woken.set()
        if self._working is None or self._working.done():
            self._working = asyncio.get_running_loop().create_task(self._work_until_done())

    async def _work_until_done(self) -> None:
        while True:
            self._woken.clear()
            if self._all_asked:
                self._all_asked = False
                for some in itertools.batched(list(self._watched), 1000):
                    for counter in some:
                        if counter in self._watched:
                            self._enqueue(counter)
                    await asyncio.sleep(0)  # requests come first
                continue
            waiting = [(next(iter(queue.values())), at) for at, queue in enumerate(self._queues) if queue]
            if not waiting:
                return
            due, at = min(waiting)
            if (pause := due - time.monotonic()) > 0:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), pause)
            else:
                await self._turn(at)

    async def _turn(self, at: int) -> None:
        """Correct the first few of a queue that are due."""
        now = time.monotonic()
        first = itertools.islice(self._queues[at].items(), _AT_ONCE)
        counters = [counter for counter, due in first if due <= now]
        some = []
        for counter in counters:
            del self._queues[at][counter]
            each = self._watched[counter]
            if each.demand.ends and time.time() * 1000 >= each.demand.ends:
                self._forget(counter)
            else:
                some.append(each)
        if not some:
            return
        try:
            left, next_at = await self._correct(some), min(at + 1, len(self._queues) - 1)
        except (DatabaseTrouble, StateUnavailable) as error:
            log.warning("limits_not_corrected", error=str(error).split("\n")[0])
            left, next_at = [each.demand.counter for each in some], 1
        for counter in left:
            if counter in self._watched and not any(counter in queue for queue in self._queues[1:]):
                self._queues[next_at][counter] = time.monotonic() + self._pauses[next_at]

    # --- what ----------------------------------------------------------------------------------

    async def _correct(self, some: Sequence[Counted]) -> Collection[str]:
        """Those that must be asked for again. Raises `DatabaseError`, `StateUnavailable`."""
        if self._shipper.pending > _MOST_PENDING:
            raise StateUnavailable("the ledger does not have this worker's rows yet")
        began, lag = time.monotonic(), self._shipper.lag_seconds
        seeds = await asyncio.get_running_loop().run_in_executor(self._executor, self._read_all, some)
        assert self._state is not None, "attached before any request"
        behind = lag + time.monotonic() - began  # the answers are that old
        return await self._state.correct(seeds, int(behind * 1000))

    def _read_all(self, some: Sequence[Counted]) -> list[Seed]:
        return [self._read(each) for each in some]
