"""The state of one process."""

import itertools
import time
from collections.abc import Collection, Sequence

from providers.state import Ask, Candidate, Demand, Full, Refusal, Seed, Seeder, Settlement, Ticket, Unseeded
from providers.state.counters import Counters

_WORKER = "this process"


def now_ms() -> int:
    return int(time.time() * 1000)


class MemoryState:
    """Counters and slots in this process: exact for one worker, rebuilt from the ledger when it starts."""

    def __init__(self) -> None:
        self._counters = Counters()
        self._numbers = itertools.count()

    @property
    def workers(self) -> int:
        return 1

    async def admit(self, ask: Ask) -> Ticket | Refusal | Full:
        while True:
            verdict = self._counters.admit(
                now_ms(), str(next(self._numbers)), _WORKER, ask.demands, ask.candidates, ask.lost_tokens
            )
            if not isinstance(verdict, Unseeded):
                return verdict
            self._counters.seed(now_ms(), await ask.seed(verdict.counters))

    async def move(self, ticket: Ticket, candidates: Sequence[Candidate], settled: Settlement) -> bool:
        ticket.slot = self._counters.move(now_ms(), ticket.id, candidates, settled)
        ticket.holds = self._counters.holds(ticket.id)
        return ticket.slot != 0

    def settle(self, ticket: Ticket, settled: Settlement) -> None:
        if not ticket.closed:
            ticket.closed = True
            self._counters.settle(now_ms(), ticket.id, settled)

    async def peek(self, demands: Sequence[Demand], seed: Seeder) -> Sequence[int]:
        while True:
            found = self._counters.peek(now_ms(), demands)
            if not isinstance(found, Unseeded):
                return found
            self._counters.seed(now_ms(), await seed(found.counters))

    async def correct(self, seeds: Sequence[Seed], behind: int) -> Collection[str]:
        return self._counters.correct(now_ms(), seeds, behind)

    async def start(self) -> None:
        """There is nothing to connect to."""

    async def stop(self) -> None:
        """Its counts go with the process."""
