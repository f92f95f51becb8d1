"""Counters that may differ from their rows: the ledger is asked again, until they were quiet meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from pathlib import Path

import pytest
from django.db import OperationalError

from gateway.correcting import Correcting
from gateway.counted import Counted
from keys.limits import Scope
from providers.state import Demand, How, Seed, StateUnavailable
from providers.state.memory import MemoryState, now_ms
from usage.journal import Journal
from usage.shipper import Shipper


class Told(MemoryState):
    """Notes what it is told. `restless`: how many times it answers so. `away`: how many times it is."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []
        self.turns: list[int] = []
        self.restless = self.away = 0

    async def correct(self, seeds: Sequence[Seed], behind: int) -> Collection[str]:
        if self.away:
            self.away -= 1
            raise StateUnavailable("Redis is away")
        self.turns.append(len(seeds))
        self.told += [seed.counter for seed in seeds]
        if not self.restless:
            return []
        self.restless -= 1
        return [seed.counter for seed in seeds]


@pytest.fixture
def state() -> Told:
    return Told()


class Ledger:
    """Has nothing. `away`: how many times it cannot be asked."""

    away = 0

    def read(self, each: Counted) -> Seed:
        if self.away:
            self.away -= 1
            raise OperationalError("the database is away")
        return Seed(each.demand.counter, 0)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def shipper(tmp_path: Path) -> Iterator[Shipper]:
    journal = Journal(tmp_path / "journal")
    yield Shipper(journal)
    journal.close()


@pytest.fixture
async def correcting(shipper: Shipper, state: Told, ledger: Ledger) -> AsyncIterator[Correcting]:
    made = Correcting(shipper, ledger.read, (0.01, 0.02))
    made.attach(state)
    yield made
    made.close()


def counter(name: str = "total", *, how: How = How.TOKENS, window: int = 0, ends: int = 0) -> Counted:
    return Counted(Demand(name, how, 9, window=window, ends=ends, seeded=True), Scope())


async def done(correcting: Correcting) -> None:
    """Until nobody is left to be asked for."""
    async with asyncio.timeout(10):
        assert correcting._working is not None
        await correcting._working


async def test_a_counter_is_asked_for_twice_however_many_want_it(correcting: Correcting, state: Told) -> None:
    for _ in range(60):
        correcting.ask(counter())
    await done(correcting)
    assert state.told == ["total", "total"]


async def test_a_counter_is_asked_for_until_it_was_quiet(correcting: Correcting, state: Told) -> None:
    state.restless = 4
    correcting.ask(counter())
    await done(correcting)
    assert len(state.told) == 5


async def test_one_that_is_never_quiet_is_asked_for_at_growing_intervals(
    correcting: Correcting, state: Told
) -> None:
    state.restless = 10**6
    correcting.ask(counter())
    await asyncio.sleep(0.5)
    assert 2 < len(state.told) < 12  # every 0.02 s: 25


@pytest.mark.parametrize("away", ["state", "ledger"])
async def test_what_cannot_be_asked_or_told_is_tried_again(
    correcting: Correcting, state: Told, ledger: Ledger, away: str
) -> None:
    if away == "state":
        state.away = 3
    else:
        ledger.away = 3
    correcting.ask(counter())
    await done(correcting)
    assert state.told[-1:] == ["total"]


async def test_counters_are_corrected_a_few_at_a_time(correcting: Correcting, state: Told) -> None:
    names = {f"total {number}" for number in range(100)}
    for name in names:
        correcting.ask(counter(name))
    await done(correcting)
    assert set(state.told) == names
    assert max(state.turns) == 16


async def test_all_that_were_asked_for_once_are_asked_for_again(correcting: Correcting, state: Told) -> None:
    for name in ("ever", "today"):
        correcting.ask(counter(name))
    await done(correcting)
    state.told.clear()
    correcting.ask_all()
    await done(correcting)
    assert sorted(state.told) == ["ever", "ever", "today", "today"]


async def test_what_has_no_rows_or_no_past_is_left_alone(correcting: Correcting, state: Told) -> None:
    correcting.ask(counter("minute", window=60_000))
    correcting.ask(counter("names", how=How.MEMBER))
    correcting.ask(counter("parallel", how=How.HOLD))
    assert correcting._working is None
    correcting.ask(counter("yesterday", ends=now_ms() - 1))
    await done(correcting)
    assert state.told == []
    assert correcting._watched == {}
