"""What counters know of the time before them: the ledger's sums, asked for once, and corrected later."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError

from gateway import seeding as module
from gateway.counted import Counted, counted
from gateway.seeding import Seeding
from keys.limits import Need, Rule, Scope, demand_of, end_users_demand, member_of
from providers.reach import Reach
from providers.state import Ask, Candidate, Refusal, Seed, StateUnavailable, Ticket
from providers.state.memory import MemoryState, now_ms
from tests.usage.rows import settled
from usage import ledger, spent
from usage.journal import Journal
from usage.shipper import Shipper

pytestmark = pytest.mark.django_db(transaction=True)
ALICE = Scope(key_id="id-alice")
NEED = Need(1, 1, 1, 1)


def rule(metric: str, window: str, *, amount: int = 1000, reset_at: int = 0, each: bool = False) -> Rule:
    return Rule(1, "key 'alice'", metric, amount, window, "UTC", False, None, ALICE, each, reset_at)


def asked(limit: Rule, end_user: str = "") -> Counted:
    return counted(limit, demand_of(limit, NEED, end_user, now_ms()), end_user)


@pytest.fixture
def shipper(tmp_path: Path) -> Iterator[Shipper]:
    journal = Journal(tmp_path / "journal")
    made = Shipper(journal)
    made.adopted.set()
    yield made
    journal.close()


@pytest.fixture
async def seeding(shipper: Shipper, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Seeding]:
    monkeypatch.setattr(module, "_AGAIN_AFTER", (0.05, 0.1))
    made = Seeding(shipper, Reach(), shared=True)
    made.attach(MemoryState())
    yield made
    made.close()


async def seed_of(seeding: Seeding, each: Counted, *, closed: bool = False) -> Seed:
    [seed] = await seeding.seeds([each], {each.demand.counter}, closed=closed)
    return seed


@sync_to_async
def write(*values: dict[str, Any]) -> None:
    ledger.write([settled(**each) for each in values])


@pytest.mark.parametrize(("metric", "amount"), [("requests", 2), ("tokens", 34), ("cost", 12)])
async def test_a_total_has_all_that_was_used(seeding: Seeding, metric: str, amount: int) -> None:
    await write({"cost_nano": 5}, {"cost_nano": 7}, {"key": "bob", "cost_nano": 9})
    assert (await seed_of(seeding, asked(rule(metric, "total")))).spent == amount


async def test_a_window_has_what_was_used_in_it(seeding: Seeding) -> None:
    await write({}, {"at": datetime.now(UTC) - timedelta(days=40)})
    each = asked(rule("requests", "month"))
    seed = await seed_of(seeding, each)
    assert (seed.spent, seed.epoch) == (1, each.demand.epoch)


async def test_what_was_used_before_a_reset_is_not_in_it(seeding: Seeding) -> None:
    await write({"at": datetime.now(UTC) - timedelta(minutes=5)}, {})
    seed = await seed_of(seeding, asked(rule("requests", "total", reset_at=now_ms() - 60_000)))
    assert seed.spent == 1


async def test_a_rolling_window_has_when_it_was_used(seeding: Seeding) -> None:
    now = datetime.now(UTC)
    await write({"at": now - timedelta(seconds=30)}, {"at": now - timedelta(seconds=90)})
    [(at, amount)] = (await seed_of(seeding, asked(rule("requests", "minute")))).buckets
    assert amount == 1
    assert abs(at - now.timestamp() * 1000 + 30_000) < 1000


async def test_each_end_user_has_a_past_of_their_own(seeding: Seeding) -> None:
    await write({"end_user": "bob"}, {"end_user": "carol"}, {})
    limit = rule("requests", "total", each=True)
    found = [(await seed_of(seeding, asked(limit, name))).spent for name in ("bob", "dave", "")]
    assert found == [1, 0, 1]


async def test_the_end_users_of_a_key_are_named(seeding: Seeding) -> None:
    await write({"end_user": "bob"}, {"end_user": ""})
    each = Counted(end_users_demand("id-alice", 5, "x"), Scope(), "id-alice")
    assert set((await seed_of(seeding, each)).members) == {"", member_of("bob")}


def noted_reads(monkeypatch: pytest.MonkeyPatch) -> list[Counted]:
    """What the ledger is asked for from now on."""
    reads: list[Counted] = []
    read = module.read

    def noted(each: Counted) -> Seed:
        reads.append(each)
        return read(each)

    monkeypatch.setattr(module, "read", noted)
    return reads


async def test_many_who_wait_for_one_counter_ask_once(
    seeding: Seeding, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = noted_reads(monkeypatch)
    each = asked(rule("requests", "total"))
    await asyncio.gather(*(seed_of(seeding, each) for _ in range(20)))
    assert len(reads) == 1


def away(*_: object) -> None:
    raise OperationalError("the database is away")


async def test_without_the_ledger_a_closed_key_waits_and_others_begin_at_nothing(
    seeding: Seeding, monkeypatch: pytest.MonkeyPatch
) -> None:
    await write({}, {}, {})
    each = asked(rule("requests", "total"))
    with monkeypatch.context() as patched:
        patched.setattr(spent, "spent", away)
        with pytest.raises(StateUnavailable):
            await seed_of(seeding, each, closed=True)
        assert (await seed_of(seeding, each)).spent == 0


async def test_what_the_ledger_could_not_say_is_corrected_when_it_can(
    seeding: Seeding, monkeypatch: pytest.MonkeyPatch
) -> None:
    await write({}, {}, {})
    limit = rule("requests", "total", amount=3)
    each = asked(limit)
    state = MemoryState()
    seeding.attach(state)

    async def past(names: Any) -> list[Seed]:
        return await seeding.seeds([each], names, closed=False)

    ask = Ask([each.demand], [Candidate(1)], past)
    with monkeypatch.context() as patched:
        patched.setattr(spent, "spent", away)
        assert isinstance(await state.admit(ask), Ticket)
    async with asyncio.timeout(10):
        while not isinstance(await state.admit(ask), Refusal):  # noqa: ASYNC110  nothing tells of a correction
            await asyncio.sleep(0.02)


async def test_what_dead_workers_left_is_waited_for(seeding: Seeding, shipper: Shipper) -> None:
    shipper.adopted.clear()
    waiting = asyncio.create_task(seed_of(seeding, asked(rule("requests", "total"))))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await write({})
    shipper.adopted.set()
    assert (await waiting).spent == 1


async def test_a_shared_state_that_comes_and_goes_asks_the_ledger_no_more_often_than_it_answers(
    seeding: Seeding, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = noted_reads(monkeypatch)
    await seed_of(seeding, asked(rule("requests", "total")))
    for _ in range(50):
        seeding.correct_all(False)
        await asyncio.sleep(0.002)
    await asyncio.sleep(0.3)
    assert len(reads) <= 15  # each heal by itself: 103
    so_far = len(reads)
    seeding.correct_all(False)
    await asyncio.sleep(0.3)
    assert len(reads) > so_far


async def test_many_other_questions_do_not_keep_a_limit_waiting(seeding: Seeding) -> None:
    await write({})
    answered = threading.Event()
    questions = [asyncio.create_task(seeding.run(answered.wait)) for _ in range(9)]
    await asyncio.sleep(0)  # so that they are asked first
    try:
        assert (await seed_of(seeding, asked(rule("requests", "total")))).spent == 1
        assert not any(question.done() for question in questions)
    finally:
        answered.set()
    await asyncio.gather(*questions)
