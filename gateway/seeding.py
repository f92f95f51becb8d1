"""What counters of limits know of the time before them: read from the ledger when they are first needed."""

import asyncio
import itertools
import time
from collections.abc import Callable, Collection, Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from django.db import Error as DatabaseTrouble
from django.db import close_old_connections, connection

from keys.limits import Rule, Scope, member_of
from providers.state import BUCKETS, Demand, How, Seed, State, StateUnavailable
from usage import spent
from usage.shipper import Shipper

log = structlog.get_logger(__name__)
LOOK_UP_SECONDS = 5.0
ADOPTION_SECONDS = 10.0
# Rows of other workers reach the ledger a little later than their counters: it is asked again.
_AGAIN_AFTER = (3.0, 20.0)
_MOST_WATCHED = 50_000
# Workers ship every half a second.
_ROWS_SECONDS = 1.5
# Unshipped rows of this worker beyond which the ledger lags behind its counters too far.
_MOST_PENDING = 1000


@dataclass(frozen=True, slots=True)
class Counted:
    """A demand, and which rows of the ledger it counts. `key_id`: of a key whose end users it counts."""

    demand: Demand
    scope: Scope
    key_id: str = ""


def counted(rule: Rule, demand: Demand, end_user: str) -> Counted:
    return Counted(demand, rule.scope_for(end_user))


class Seeding:
    """Answers how much was used; each counter is read once, however many requests wait for it.

    `shared`: other workers use the same counters, and their rows may reach the ledger late.
    """

    def __init__(self, shipper: Shipper, *, shared: bool) -> None:
        self._shipper = shipper
        self._shared = shared
        self._born = time.monotonic()
        self._executor = ThreadPoolExecutor(2, thread_name_prefix="seeding")
        # nobody waits for these: they must not keep those who do
        self._corrector = ThreadPoolExecutor(1, thread_name_prefix="correcting")
        self._pending: dict[str, asyncio.Future[Seed]] = {}
        self._watched: dict[str, Counted] = {}  # counters with a window that does not roll
        self._healed = 0
        self._emptied_at = float("-inf")
        self._passes: set[float] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._state: State | None = None

    def attach(self, state: State) -> None:
        """Where corrections go."""
        self._state = state

    async def seeds(self, wanted: Iterable[Counted], names: Collection[str], *, closed: bool) -> list[Seed]:
        """The past of the counters of these names.

        Without the ledger they begin at nothing and are corrected when it is back; where `closed`, that is
        refused: raises `StateUnavailable`.
        """
        found = {each.demand.counter: each for each in wanted if each.demand.counter in names}
        return await asyncio.gather(*(self._seed(each, closed=closed) for each in found.values()))

    async def _seed(self, each: Counted, *, closed: bool) -> Seed:
        counter = each.demand.counter
        pending = self._pending.get(counter)
        if pending is None:
            pending = asyncio.get_running_loop().run_in_executor(self._executor, self._first_read, each)
            self._pending[counter] = pending
            pending.add_done_callback(lambda done: self._done(each, done))
        try:
            async with asyncio.timeout(ADOPTION_SECONDS + LOOK_UP_SECONDS):
                seed = await asyncio.shield(pending)
        except (DatabaseTrouble, TimeoutError) as error:
            log.warning("limit_past_unknown", error=str(error).split("\n")[0])
            if closed:
                raise StateUnavailable("the database is away") from None
            return _nothing(each.demand)
        return seed

    def _done(self, each: Counted, done: asyncio.Future[Seed]) -> None:
        counter = each.demand.counter
        if self._pending.get(counter) is done:
            del self._pending[counter]
        if done.cancelled():
            return
        # looking at it marks it as seen, also when everybody who waited has gone
        # a limit that is made later may find requests in flight, whose rows come after it
        late = time.monotonic() - self._born > ADOPTION_SECONDS
        if done.exception() is not None or self._shared or late:
            self._watch(each)

    def _first_read(self, each: Counted) -> Seed:
        # What a worker that died had written down counts too.
        if not self._shipper.last_error:
            self._shipper.adopted.wait(ADOPTION_SECONDS)
            self._wait_for_rows()
        return read(each)

    def _wait_for_rows(self) -> None:
        """All that was settled before the shared state was emptied must reach the ledger first."""
        until = self._emptied_at + _ROWS_SECONDS
        while (now := time.monotonic()) < until and not self._shipper.last_error:
            time.sleep(min(0.05, until - now))

    async def run[T](self, read: Callable[[], T]) -> T:
        """The answer of other questions to the ledger, on the same threads. Raises `django.db.Error`."""

        def closing() -> T:
            close_old_connections()
            return read()

        async with asyncio.timeout(LOOK_UP_SECONDS):
            return await asyncio.get_running_loop().run_in_executor(self._executor, closing)

    # --- corrections ---------------------------------------------------------------------------

    def _watch(self, each: Counted) -> None:
        if each.demand.window or each.demand.how == How.MEMBER:
            return
        if len(self._watched) >= _MOST_WATCHED:
            self._watched.pop(next(iter(self._watched)))
        self._watched[each.demand.counter] = each
        for seconds in _AGAIN_AFTER:
            self._keep(self._correct(seconds, [each]))

    def correct_all(self, emptied: bool) -> None:
        """The shared state was away, or even emptied: ask the ledger again for every counter in use."""
        if emptied:
            self._emptied_at = time.monotonic()
        self._healed += 1
        for seconds in _AGAIN_AFTER:
            if seconds not in self._passes:
                self._passes.add(seconds)
                self._keep(self._correct_whenever_healed(seconds))

    async def _correct_whenever_healed(self, seconds: float) -> None:
        """One pass at a time, however often the shared state comes and goes, and one after the last time."""
        seen = 0
        while seen != self._healed:
            seen = self._healed
            await self._correct(seconds, list(self._watched.values()))
        self._passes.discard(seconds)

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _correct(self, seconds: float, some: Sequence[Counted]) -> None:
        left = list(some)
        for pause in itertools.chain([seconds], itertools.repeat(_AGAIN_AFTER[-1])):
            await asyncio.sleep(pause)
            left = [each for each in left if not await self._is_corrected(each)]
            if not left:
                return

    async def _is_corrected(self, each: Counted) -> bool:
        """False: it must be tried again, for the ledger is away or does not have all rows yet."""
        if each.demand.ends and time.time() * 1000 >= each.demand.ends:
            self._watched.pop(each.demand.counter, None)
            return True
        if self._shipper.pending > _MOST_PENDING:
            return False
        try:
            seed = await asyncio.get_running_loop().run_in_executor(self._corrector, read, each)
        except DatabaseTrouble as error:
            log.warning("limit_not_corrected", error=str(error).split("\n")[0])
            return False
        assert self._state is not None, "attached before any request"
        return await self._state.correct([seed], int(self._shipper.lag_seconds * 1000))

    def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        for executor in (self._executor, self._corrector):
            executor.shutdown(wait=False, cancel_futures=True)


def read(each: Counted) -> Seed:
    """What the ledger has of a counter, now. Raises `django.db.Error`."""
    close_old_connections()
    try:
        return _read(each)
    except DatabaseTrouble:
        connection.close()
        raise


def _read(each: Counted) -> Seed:
    demand = each.demand
    if demand.how == How.MEMBER:
        names = spent.named_end_users(each.key_id)
        return Seed(demand.counter, 0, members=("", *(member_of(name) for name in names)))
    if demand.window:
        return Seed(demand.counter, demand.epoch, buckets=_recent(each))
    since = datetime.fromtimestamp(demand.epoch / 1000, UTC) if demand.epoch else None
    sums = spent.spent(each.scope, since)
    amount = {How.COUNT: sums.requests, How.TOKENS: sums.tokens, How.COST: sums.cost_nano}[demand.how]
    return Seed(demand.counter, demand.epoch, amount)


def _recent(each: Counted) -> tuple[tuple[int, int], ...]:
    demand = each.demand
    since = max(demand.epoch, int(time.time() * 1000) - demand.window)
    found = spent.recent(each.scope, since, max(1, demand.window // BUCKETS))
    amounts = (
        (
            bucket.last_ms,
            {How.COUNT: bucket.requests, How.TOKENS: bucket.tokens, How.COST: bucket.cost_nano}[demand.how],
        )
        for bucket in found
    )
    return tuple(sorted((last, amount) for last, amount in amounts if amount))


def _nothing(demand: Demand) -> Seed:
    return Seed(demand.counter, demand.epoch, members=("",) if demand.how == How.MEMBER else ())
