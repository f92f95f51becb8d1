"""The state that all workers share: one script in Redis, one round trip that a request waits for.

While Redis is away each worker counts alone, with its part of what was left; `Outage` holds that.
"""

import asyncio
import itertools
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import Any
from uuid import uuid4

from providers.state import (
    Ask,
    Candidate,
    Demand,
    Full,
    Refusal,
    Seed,
    Seeder,
    Settlement,
    StateUnavailable,
    Ticket,
)
from providers.state.link import Link
from providers.state.memory import now_ms
from providers.state.outage import Outage
from providers.state.script import (
    SCRIPT,
    Admitted,
    AllFull,
    Beat,
    Lost,
    NeedsSeeds,
    Peeked,
    Refused,
    Verdict,
    Void,
    beat_of,
    corrected_of,
    moved_of,
    packed,
    parts,
    peeked_of,
    settlement,
    verdict_of,
)
from providers.state.wire import Address, Connection, Disconnected, RedisError

LEASE_MS = 30_000
BEAT_SECONDS = 2.0
_ROUNDS = 6  # of seeding or finding Redis emptied, before a request gives up
_REMEMBERED = 100_000


class RedisState:
    """`workers`: how many there are, as far as is known before Redis was ever reached.

    `healed` is called when Redis counts again after a time without it, told whether it was emptied; `behind`
    says for how many milliseconds rows of this worker have waited for the ledger.
    """

    def __init__(
        self,
        address: Address,
        *,
        workers: int = 1,
        healed: Callable[[bool], None] = lambda emptied: None,
        behind: Callable[[], int] = lambda: 0,
    ) -> None:
        self._link = Link(address, self._begin)
        self._healed = healed
        self._behind = behind
        self._run = ""
        self._workers = workers
        self._worker = uuid4().hex
        self._numbers = itertools.count()
        self._generation = ""
        self._outage: Outage | None = None
        self._open: dict[str, Ticket] = {}
        # Settlements that Redis has not confirmed: sent again until it does.
        self._unconfirmed: dict[str, bytes] = {}
        self._known: dict[str, tuple[int, int]] = {}  # counter -> (time, used), of the last answers
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def available(self) -> bool:
        """Whether Redis counts, and not this worker alone."""
        return self._link.connection is not None

    @property
    def workers(self) -> int:
        """As Redis last counted them."""
        return self._workers

    async def start(self) -> None:
        """Connect, or begin alone; then go on trying."""
        await self._link.start()
        self._keep(self._beat_for_ever())

    async def stop(self) -> None:
        """Wait a moment for what was settled last, and say good-bye."""
        self._link.stopping = True
        for _ in range(20):
            if not self._unconfirmed or not self.available:
                break
            await asyncio.sleep(0.05)
        for task in self._tasks:
            task.cancel()
        with suppress(Disconnected, RedisError):
            await self._call("leave", self._worker)
        self._link.close()

    # --- a request -----------------------------------------------------------------------------

    async def admit(self, ask: Ask) -> Ticket | Refusal | Full:
        if not ask.demands and _counts_nothing(ask.candidates):
            return Ticket("", ask.candidates[0].id, (), (), (), now_ms())
        for _ in range(_ROUNDS):
            if self._link.connection is None:
                if (alone := await self._alone(ask)) is not None:
                    return alone
                continue
            try:
                verdict = await self._ask(self._link.connection, ask)
            except Disconnected:
                continue
            except RedisError as error:
                self._link.refused(error)
                continue
            match verdict:
                case NeedsSeeds():
                    await self._seed(ask.seed, verdict.counters)
                case Lost():
                    await self._resume()
                case Void():
                    raise AssertionError("a request gives itself up only once")
                case _:
                    return verdict
        raise StateUnavailable("the counters of limits could not be read")

    async def _ask(
        self, connection: Connection, ask: Ask
    ) -> Ticket | Refusal | Full | NeedsSeeds | Lost | Void:
        id = f"{self._worker}{next(self._numbers)}"
        order = packed(
            "admit", self._generation, self._worker, id, ask.lost_tokens, ask.demands, ask.candidates
        )
        try:
            told: Verdict = verdict_of(await connection.send(order))
        except (Disconnected, RedisError, asyncio.CancelledError):
            self._settle(id, Settlement(sent=False), void=True)
            raise
        match told:
            case Admitted():
                ticket = Ticket(
                    id, told.slot, ask.demands, told.granted, told.used, told.now, told.holds,
                    ask.lost_tokens, told.lost_cost,
                )  # fmt: skip
                self._open[id] = ticket
                self._remember(ask.demands, told)
                return ticket
            case Refused():
                demand = ask.demands[told.index]
                self._known[demand.counter] = (told.now, told.used)
                return Refusal(demand, told.used, told.held, told.resets_at or None, told.now)
            case AllFull():
                return Full(told.resets_at or None, told.frees)
            case other:
                return other

    def _remember(self, demands: Sequence[Demand], told: Admitted) -> None:
        known = self._known
        for demand, used in zip(demands, told.used, strict=True):
            known[demand.counter] = (told.now, used)
        if len(known) > _REMEMBERED:
            for counter in list(itertools.islice(known, _REMEMBERED // 2)):
                del known[counter]

    async def move(self, ticket: Ticket, candidates: Sequence[Candidate], settled: Settlement) -> bool:
        if not ticket.id:
            ticket.slot = candidates[0].id if candidates and _counts_nothing(candidates[:1]) else 0
            return ticket.slot != 0
        outage = self._outage
        if outage is not None and outage.has(ticket):
            ticket.slot = outage.move(ticket, candidates, settled)
            return ticket.slot != 0
        try:
            told = moved_of(await self._call("move", ticket.id, candidates, settlement(settled)))
        except (Disconnected, RedisError):
            # Whether it has a slot cannot be known. One request more at a deployment is better than none.
            ticket.slot, ticket.doubtful = candidates[0].id if candidates else 0, True
        else:
            ticket.slot, ticket.holds = told.slot, told.holds
        return ticket.slot != 0

    def settle(self, ticket: Ticket, settled: Settlement) -> None:
        if ticket.closed or not ticket.id:
            return
        ticket.closed = True
        self._open.pop(ticket.id, None)
        if self._outage is not None and self._outage.has(ticket):
            self._outage.settle(ticket, settled)
        else:
            self._settle(ticket.id, settled, void=False)

    def _settle(self, id: str, settled: Settlement, *, void: bool) -> None:
        order = packed("settle", id, settlement(settled), void)
        self._unconfirmed[id] = order
        if self._link.connection is not None:
            self._send_settlement(self._link.connection, id, order)

    def _send_settlement(self, connection: Connection, id: str, order: bytes) -> None:
        def confirmed(answer: asyncio.Future[Any]) -> None:
            error = None if answer.cancelled() else answer.exception()
            if error is None:
                self._unconfirmed.pop(id, None)
            elif isinstance(error, RedisError) and connection is self._link.connection:
                self._link.refused(error)

        connection.send(order).add_done_callback(confirmed)

    async def peek(self, demands: Sequence[Demand], seed: Seeder) -> Sequence[int]:
        for _ in range(_ROUNDS):
            try:
                told = peeked_of(await self._call("peek", demands))
            except (Disconnected, RedisError) as error:
                raise StateUnavailable(str(error)) from None
            if isinstance(told, Peeked):
                return told.used
            await self._seed(seed, told.counters)
        raise StateUnavailable("the counters of limits could not be read")

    async def correct(self, seeds: Sequence[Seed], behind: int) -> Collection[str]:
        """What the ledger says of counters by now; see `Counters.correct`."""
        try:
            return corrected_of(await self._call("correct", seeds, behind)).restless
        except (Disconnected, RedisError) as error:
            raise StateUnavailable(str(error)) from None

    async def _seed(self, seed: Seeder, counters: Sequence[str]) -> None:
        seeds = [part for whole in await seed(counters) for part in parts(whole)]
        with suppress(Disconnected, RedisError):  # the next round sees it
            await self._call("seed", seeds)

    # --- alone ---------------------------------------------------------------------------------

    async def _alone(self, ask: Ask) -> Ticket | Refusal | Full | None:
        """None: Redis was told meanwhile what happened without it, so it must be asked."""
        if ask.closed and ask.demands:
            raise StateUnavailable("Redis is away")
        if self._outage is None:
            self._outage = Outage(self._known, self._workers)
        outage = self._outage
        verdict = await outage.admit(ask, f"{self._worker}{next(self._numbers)}")
        if self._outage is not outage:
            return None
        if isinstance(verdict, Ticket):
            verdict.doubtful = True
            self._open[verdict.id] = verdict
        return verdict

    async def _begin(self, connection: Connection) -> None:
        """Tell Redis what happened without it, before it counts again."""
        await connection.call("SCRIPT", "LOAD", SCRIPT)
        self._run = _run_of(await connection.call("INFO", "server"))
        self._catch_up(connection, await self._beat(connection))

    def _catch_up(self, connection: Connection, beat: Beat) -> None:
        """Send what Redis missed ahead of all further requests, so without a wait in between."""
        known = self._generation
        outage, self._outage = self._outage, None
        emptied = beat.generation != self._generation
        if emptied:  # what was settled is in the ledger, from which a Redis that was emptied learns all
            self._unconfirmed.clear()
            self._known.clear()
        elif outage is not None:
            id = f"{self._worker}{next(self._numbers)}"
            self._unconfirmed[id] = packed("charge", id, *outage.charges())
            self._known |= outage.heard()
        for id, order in self._unconfirmed.items():
            self._send_settlement(connection, id, order)
        self._generation = beat.generation
        for ticket in self._open.values():
            ticket.doubtful = True
        for some in itertools.batched(self._open.values(), 200):
            held = [(t.id, t.slot, t.lost_tokens, t.lost_cost, t.holds) for t in some]
            _forget(connection.send(packed("restore", self._worker, held, emptied)))
        self._healed(emptied and known != "")

    async def _resume(self) -> None:
        """Redis was emptied, or this worker was taken for dead."""
        connection = self._link.connection
        if connection is not None:
            with suppress(Disconnected, RedisError):
                self._catch_up(connection, await self._beat(connection))

    async def _beat(self, connection: Connection) -> Beat:
        beat = beat_of(
            await connection.send(
                packed("heartbeat", self._worker, LEASE_MS, uuid4().hex, self._run, self._behind())
            )
        )
        self._workers = max(1, beat.workers)
        return beat

    async def _beat_for_ever(self) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            if (connection := self._link.connection) is None:
                continue
            try:
                beat = await self._beat(connection)
                if beat.generation != self._generation:
                    self._catch_up(connection, beat)
            except Disconnected:
                pass  # the link sees to it
            except RedisError as error:
                self._link.refused(error)

    async def _call(self, operation: str, *arguments: Any) -> Any:
        if (connection := self._link.connection) is None:
            raise Disconnected("Redis is away")
        return await connection.send(packed(operation, *arguments))

    def _keep(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _forget(answer: asyncio.Future[Any]) -> None:
    """Nobody waits for it; the ledger corrects what goes wrong there."""
    answer.add_done_callback(lambda done: done.cancelled() or done.exception())


def _run_of(info: bytes) -> str:
    """What tells one start of a server from the next, in its own words about itself."""
    lines = (line.partition(":") for line in info.decode("utf-8", "replace").splitlines())
    return next((value.strip() for name, _, value in lines if name == "run_id"), "")


def _counts_nothing(candidates: Sequence[Candidate]) -> bool:
    return all(candidate.slots < 0 and not candidate.demands for candidate in candidates)
