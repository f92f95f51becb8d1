"""What counters of limits know of the time before them: read from the ledger when they are first needed."""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import structlog
from django.db import Error as DatabaseTrouble
from django.db import OperationalError, close_old_connections, connection

from gateway.correcting import Correcting
from gateway.counted import Counted
from keys.limits import member_of
from providers.reach import Reach
from providers.state import BUCKETS, Demand, How, Seed, State, StateUnavailable
from usage import spent
from usage.shipper import Shipper

log = structlog.get_logger(__name__)
LOOK_UP_SECONDS = 5.0
ADOPTION_SECONDS = 10.0
# Rows of other workers reach the ledger a little later than their counters: it is asked again.
_AGAIN_AFTER = (3.0, 20.0)
# Workers ship every half a second.
_ROWS_SECONDS = 1.5


class Seeding:
    """Answers how much was used; each counter is read once, however many requests wait for it.

    `shared`: other workers use the same counters, and their rows may reach the ledger late.
    """

    def __init__(self, shipper: Shipper, reach: Reach, *, shared: bool) -> None:
        self._shipper = shipper
        self._reach = reach
        self._shared = shared
        self._born = time.monotonic()
        self._executor = ThreadPoolExecutor(2, thread_name_prefix="seeding")
        # threads of their own: who asks for lists without end must not keep limits from learning their past
        self._questions = ThreadPoolExecutor(2, thread_name_prefix="questions")
        # on a thread of its own: nobody waits for these, and they must not keep those who do
        self._correcting = Correcting(shipper, lambda each: read(each), _AGAIN_AFTER)
        self._pending: dict[str, asyncio.Future[Seed]] = {}
        self._emptied_at = float("-inf")

    def attach(self, state: State) -> None:
        """Where corrections go."""
        self._correcting.attach(state)

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
            self._correcting.ask(each)

    def _first_read(self, each: Counted) -> Seed:
        if self._reach.failing:  # one that hangs would keep everybody else waiting as well
            raise OperationalError("the database is away")
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
        """The answer of other questions to the database. Raises `django.db.Error`, `TimeoutError`."""

        def closing() -> T:
            close_old_connections()
            return read()

        async with asyncio.timeout(LOOK_UP_SECONDS):
            return await asyncio.get_running_loop().run_in_executor(self._questions, closing)

    # --- corrections ---------------------------------------------------------------------------

    def ask_again(self, some: Iterable[Counted]) -> None:
        """These counters may differ from their rows."""
        for each in some:
            self._correcting.ask(each)

    def correct_all(self, emptied: bool) -> None:
        """The shared state was away, or even emptied: ask the ledger again for every counter in use."""
        if emptied:
            self._emptied_at = time.monotonic()
        self._correcting.ask_all()

    def close(self) -> None:
        self._correcting.close()
        for executor in (self._executor, self._questions):
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
