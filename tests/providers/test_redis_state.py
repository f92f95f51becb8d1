"""The state in Redis, as several workers use it: shared, bounded in time, and healed after an outage."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence

import msgspec
import pytest
import redis

from providers.state import (
    Ask,
    Candidate,
    Demand,
    Full,
    How,
    Refusal,
    Seed,
    Settlement,
    StateUnavailable,
    Ticket,
)
from providers.state.redis import RedisState
from providers.state.wire import address_of
from tests import services

pytestmark = pytest.mark.redis
SLOT = (Candidate(1, 10),)


async def nothing_before(counters: Collection[str]) -> Sequence[Seed]:
    """A ledger without rows."""
    return [Seed(counter, 0) for counter in counters]


def budget(limit: int, amount: int = 1, name: str = "budget") -> Demand:
    return Demand(name, How.TOKENS, limit, amount, amount, seeded=True)


def ask(*demands: Demand, at: Sequence[Candidate] = SLOT, closed: bool = False) -> Ask:
    return Ask(demands, at, nothing_before, lost_tokens=3, closed=closed)


async def admitted(state: RedisState, *demands: Demand, at: Sequence[Candidate] = SLOT) -> Ticket:
    ticket = await state.admit(ask(*demands, at=at))
    assert isinstance(ticket, Ticket), ticket
    return ticket


async def until(condition: Callable[[], bool], *, within: float = 10.0) -> None:
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110  another process decides: no event tells of it
            await asyncio.sleep(0.01)


@pytest.fixture
def server() -> Iterator[services.Redis]:
    """A Redis of this test alone, which it may stop."""
    server = services.Redis()
    server.start()
    yield server
    server.kill()


def freeze(server: services.Redis) -> None:
    os.kill(server.pid, signal.SIGSTOP)


def thaw(server: services.Redis) -> None:
    os.kill(server.pid, signal.SIGCONT)


def empty(server: services.Redis) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.flushall()


class Workers:
    """Workers of one gateway; all are stopped at the end of the test."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.all: list[RedisState] = []

    async def one(self, **options: object) -> RedisState:
        state = RedisState(address_of(self._url), **options)  # type: ignore[arg-type]
        self.all.append(state)
        await state.start()
        return state


@pytest.fixture
async def workers(server: services.Redis) -> AsyncIterator[Workers]:
    made = Workers(server.url)
    yield made
    for state in made.all:
        await state.stop()


async def test_two_workers_share_one_limit(workers: Workers) -> None:
    anna, ben = await workers.one(), await workers.one()
    asked = [state.admit(ask(budget(50), at=[Candidate(1)])) for state in (anna, ben) * 50]
    told = await asyncio.gather(*asked)
    assert sum(isinstance(each, Ticket) for each in told) == 50
    assert sum(isinstance(each, Refusal) for each in told) == 50


async def test_settling_gives_back_what_was_not_used(workers: Workers) -> None:
    anna = await workers.one()
    ticket = await admitted(anna, budget(10, 10))
    assert isinstance(await anna.admit(ask(budget(10))), Refusal)
    anna.settle(ticket, Settlement(tokens=4, slot_tokens=4))
    assert await anna.peek([budget(10)], nothing_before) == [4]
    anna.settle(ticket, Settlement(tokens=4))  # twice is once
    assert await anna.peek([budget(10)], nothing_before) == [4]


async def test_slots_hold_across_workers(workers: Workers) -> None:
    anna, ben = await workers.one(), await workers.one()
    tickets = [await admitted(state, at=[Candidate(7, 3)]) for state in (anna, ben, anna)]
    assert isinstance(await ben.admit(ask(at=[Candidate(7, 3)])), Full)
    anna.settle(tickets[0], Settlement())
    await anna.peek([], nothing_before)  # answered after it
    await admitted(ben, at=[Candidate(7, 3)])


async def test_a_request_that_nothing_counts_needs_no_redis(workers: Workers, server: services.Redis) -> None:
    anna = await workers.one()
    freeze(server)
    ticket = await admitted(anna, at=[Candidate(1)])
    assert (ticket.id, ticket.slot) == ("", 1)
    thaw(server)


async def test_the_past_is_read_once_and_counts(workers: Workers) -> None:
    anna = await workers.one()
    asked: list[str] = []

    async def ledger(counters: Collection[str]) -> Sequence[Seed]:
        asked.extend(counters)
        return [Seed(counter, 0, 8) for counter in counters]

    told = [await anna.admit(Ask([budget(10)], SLOT, ledger)) for _ in range(3)]
    assert [type(each) for each in told] == [Ticket, Ticket, Refusal]
    assert asked == ["budget"]


async def test_end_users_are_counted_by_name(workers: Workers) -> None:
    anna = await workers.one()

    async def ledger(counters: Collection[str]) -> Sequence[Seed]:
        return [Seed(counter, 0, members=("", *(str(n) for n in range(12_000)))) for counter in counters]

    def named(name: str) -> Ask:
        demand = Demand("end-users", How.MEMBER, 12_001, seeded=True, member=name)
        return Ask([demand], SLOT, ledger)

    told = [await anna.admit(named(name)) for name in ("7", "new", "new", "newer")]
    assert [type(each) for each in told] == [Ticket, Ticket, Ticket, Refusal]


async def test_a_client_that_leaves_while_redis_is_asked_holds_nothing(workers: Workers) -> None:
    anna = await workers.one()
    await admitted(anna, budget(10))
    for _ in range(20):
        asking = asyncio.create_task(anna.admit(ask(budget(10, 3))))
        await asyncio.sleep(0)
        asking.cancel()
    await asyncio.sleep(0.05)
    assert await anna.peek([budget(10)], nothing_before) == [1]


async def test_a_dead_workers_tickets_are_charged_at_the_estimate(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("providers.state.redis.LEASE_MS", 400)
    anna = await workers.one()
    ticket = await admitted(anna, budget(100, 40), at=[Candidate(5, 1)])
    monkeypatch.setattr("providers.state.redis.BEAT_SECONDS", 0.05)
    ben = await workers.one()  # Anna's next beat is two seconds away: too late
    assert isinstance(await ben.admit(ask(at=[Candidate(5, 1)])), Full)
    while isinstance(await ben.admit(ask(budget(100), at=[Candidate(5, 1)])), Full):  # noqa: ASYNC110  as above
        await asyncio.sleep(0.02)
    assert await ben.peek([budget(100)], nothing_before) == [3 + 1]  # the estimate, and Ben's own
    anna.settle(ticket, Settlement(tokens=30))  # she was only slow
    await asyncio.sleep(0.05)
    assert await ben.peek([budget(100)], nothing_before) == [30 + 1]


async def test_a_redis_that_does_not_answer_is_left_within_a_moment(
    workers: Workers, server: services.Redis
) -> None:
    anna = await workers.one()
    await admitted(anna, budget(100))
    freeze(server)
    loop = asyncio.get_running_loop()
    try:
        began = loop.time()
        await admitted(anna, budget(100), at=[Candidate(1)])
        first = loop.time() - began
        assert not anna.available
        for _ in range(50):
            await admitted(anna, budget(100), at=[Candidate(1)])
    finally:
        thaw(server)
    assert first >= 0.1  # it was given its time
    await until(lambda: anna.available)
    assert await anna.peek([budget(100)], nothing_before) == [52]


async def test_what_was_used_alone_is_counted_when_redis_is_back(
    workers: Workers, server: services.Redis
) -> None:
    anna = await workers.one()
    before = await admitted(anna, budget(100, 10))
    freeze(server)
    alone = [await admitted(anna, budget(100, 10)) for _ in range(3)]
    anna.settle(alone[0], Settlement(tokens=7, slot_tokens=7))
    anna.settle(before, Settlement(tokens=5, slot_tokens=5))
    thaw(server)
    await until(lambda: anna.available)
    assert await anna.peek([budget(100)], nothing_before) == [5 + 7 + 20]
    for ticket in alone[1:]:
        anna.settle(ticket, Settlement(tokens=1, slot_tokens=1))
    assert await anna.peek([budget(100)], nothing_before) == [5 + 7 + 2]


async def test_a_retry_alone_is_counted_at_both_deployments(workers: Workers, server: services.Redis) -> None:
    anna = await workers.one()
    first, second = (Demand(f"requests of {id}", How.COUNT, 9, seeded=True) for id in (1, 2))
    await anna.peek([first, second], nothing_before)
    freeze(server)
    ticket = await admitted(anna, at=[Candidate(1, demands=(first,))])
    assert await anna.move(ticket, [Candidate(2, demands=(second,))], Settlement())
    anna.settle(ticket, Settlement())
    thaw(server)
    await until(lambda: anna.available)
    assert await anna.peek([first, second], nothing_before) == [1, 1]


async def test_what_redis_may_have_missed_is_doubtful(workers: Workers, server: services.Redis) -> None:
    anna = await workers.one()
    counted = await admitted(anna, budget(100))
    anna.settle(counted, Settlement(tokens=1))
    in_flight, moved = await admitted(anna, budget(100)), await admitted(anna, budget(100))
    freeze(server)
    assert await anna.move(moved, [Candidate(2)], Settlement())
    alone = await admitted(anna, budget(100), at=[Candidate(1)])
    assert [ticket.doubtful for ticket in (counted, in_flight, moved, alone)] == [False, False, True, True]
    thaw(server)
    await until(lambda: anna.available)
    assert in_flight.doubtful
    assert not (await admitted(anna, budget(100))).doubtful


async def test_who_waits_for_the_past_until_redis_is_back_is_counted_there(
    workers: Workers, server: services.Redis
) -> None:
    anna, asked, told = await workers.one(), asyncio.Event(), asyncio.Event()

    async def slow(counters: Collection[str]) -> Sequence[Seed]:
        asked.set()
        await told.wait()
        return await nothing_before(counters)

    freeze(server)
    waiting = asyncio.create_task(anna.admit(Ask([budget(10)], SLOT, slow)))
    await asked.wait()
    thaw(server)
    await until(lambda: anna.available)
    told.set()
    ticket = await waiting
    assert isinstance(ticket, Ticket)
    anna.settle(ticket, Settlement(tokens=3))
    assert await anna.peek([budget(10)], nothing_before) == [3]


async def test_alone_each_worker_has_its_part_of_what_was_left(
    workers: Workers, server: services.Redis
) -> None:
    anna, ben = await workers.one(), await workers.one()
    for _ in range(2):  # each has heard of the other by now, and of what was used
        await admitted(anna, budget(40, 10, "shared"))
        await admitted(ben, budget(40, 1, "shared"))
    await until(lambda: anna._workers == 2, within=5)
    freeze(server)
    try:
        told = [
            await state.admit(ask(budget(40, 1, "shared"), at=[Candidate(1)])) for state in (anna, ben) * 30
        ]
    finally:
        thaw(server)
    served = sum(isinstance(each, Ticket) for each in told)
    assert 16 <= served <= 40 - 22


async def test_a_key_that_is_closed_is_refused_alone(workers: Workers, server: services.Redis) -> None:
    anna = await workers.one()
    freeze(server)
    try:
        with pytest.raises(StateUnavailable):
            await anna.admit(ask(budget(5), closed=True))
        await admitted(anna, at=SLOT)  # no limit of the key's: a slot alone is no reason
    finally:
        thaw(server)


async def test_a_redis_that_was_emptied_learns_what_is_in_flight(
    workers: Workers, server: services.Redis
) -> None:
    anna = await workers.one()
    ticket = await admitted(anna, budget(10, 6), at=[Candidate(3, 1)])
    empty(server)
    assert isinstance(await anna.admit(ask(budget(10, 6), at=[Candidate(4)])), Refusal)
    assert isinstance(await anna.admit(ask(at=[Candidate(3, 1)])), Full)
    anna.settle(ticket, Settlement(tokens=2, slot_tokens=2))
    assert await anna.peek([budget(10)], nothing_before) == [2]


async def test_a_redis_that_restarts_is_used_again(workers: Workers, server: services.Redis) -> None:
    healed: list[bool] = []
    anna = await workers.one(healed=healed.append)
    await admitted(anna, budget(10))
    server.kill()
    await admitted(anna, budget(10))
    server.start()
    await until(lambda: anna.available)
    await admitted(anna, budget(10))
    assert healed == [False, True]


async def test_a_worker_starts_without_redis(workers: Workers, server: services.Redis) -> None:
    server.kill()
    anna = await workers.one(workers=2)
    told = [await anna.admit(ask(budget(6), at=[Candidate(1)])) for _ in range(5)]
    assert sum(isinstance(each, Ticket) for each in told) == 3
    server.start()
    await until(lambda: anna.available)
    assert isinstance(await anna.admit(ask(budget(6))), Ticket)


async def test_a_ticket_moves_to_another_deployment(workers: Workers) -> None:
    anna = await workers.one()
    own = Demand("d1 tokens", How.TOKENS, 10, 4, 4)
    ticket = await admitted(anna, at=[Candidate(1, 1, 0, (own,))])
    assert await anna.move(ticket, [Candidate(2, 0), Candidate(3, 1)], Settlement(slot_tokens=1))
    assert ticket.slot == 3
    assert await anna.peek([own], nothing_before) == [1]
    await admitted(anna, at=[Candidate(1, 1)])
    anna.settle(ticket, Settlement(tokens=9, slot_tokens=8))
    await admitted(anna, at=[Candidate(3, 1)])


def requests(limit: int, name: str = "requests", window: int = 0) -> Demand:
    return Demand(name, How.COUNT, limit, window=window, seeded=True)


async def test_requests_in_flight_are_counted_in_a_redis_that_was_emptied(
    workers: Workers, server: services.Redis
) -> None:
    anna = await workers.one()
    tickets = [await admitted(anna, requests(3), at=[Candidate(1)]) for _ in range(3)]
    empty(server)
    assert isinstance(await anna.admit(ask(requests(3), at=[Candidate(1)])), Refusal)
    for ticket in tickets:
        anna.settle(ticket, Settlement(tokens=1))
    assert await anna.peek([requests(3)], nothing_before) == [3]


async def corrected(anna: RedisState, server: services.Redis, rows: int) -> int:
    """How many requests are counted after the ledger said what it has, an hour without a change later."""
    await anna.peek([], nothing_before)  # answered after what was settled
    with redis.Redis.from_url(server.url) as client:
        counter = msgspec.msgpack.decode(client.get("sy:c:requests") or b"")
        counter[4] -= 3_600_000
        client.set("sy:c:requests", msgspec.msgpack.encode(counter))
    await anna.correct([Seed("requests", 0, rows)], 0)
    [told] = await anna.peek([requests(9)], nothing_before)
    return told


async def test_the_ledger_never_lowers_requests_in_flight(workers: Workers, server: services.Redis) -> None:
    anna = await workers.one()
    ticket = await admitted(anna, requests(9), budget(10))
    await anna.correct([Seed("budget", 0, 0)], 0)
    assert await anna.peek([budget(10)], nothing_before) == [1]
    assert await corrected(anna, server, 0) == 1
    anna.settle(ticket, Settlement())
    assert await corrected(anna, server, 0) == 0
    assert await anna.correct([Seed("budget", 0, 0), Seed("requests", 0, 0)], 0) == ["budget"]


async def test_a_correction_that_redis_cannot_take_is_told_as_that(
    workers: Workers, server: services.Redis
) -> None:
    anna = await workers.one()
    server.kill()
    await until(lambda: not anna.available)
    with pytest.raises(StateUnavailable):
        await anna.correct([Seed("requests", 0, 0)], 0)
    server.start()


async def test_requests_in_flight_in_a_redis_that_was_emptied_are_not_lowered(
    workers: Workers, server: services.Redis
) -> None:
    anna = await workers.one()
    before = await admitted(anna, requests(9), at=[Candidate(1)])
    empty(server)
    after = await admitted(anna, requests(9), at=[Candidate(1)])
    for ticket in (before, after):
        assert await corrected(anna, server, 0) == 2
        anna.settle(ticket, Settlement())
    assert await corrected(anna, server, 1) == 1


async def test_requests_let_in_while_redis_was_away_are_not_lowered(
    workers: Workers, server: services.Redis
) -> None:
    anna = await workers.one()
    await anna.peek([requests(9)], nothing_before)
    freeze(server)
    alone = [await admitted(anna, requests(9), at=[Candidate(1)]) for _ in range(2)]
    anna.settle(alone[0], Settlement())
    thaw(server)
    await until(lambda: anna.available)
    assert await corrected(anna, server, 0) == 2
    anna.settle(alone[1], Settlement())
    assert await corrected(anna, server, 1) == 1


async def test_requests_of_a_worker_that_was_taken_for_dead_are_not_lowered(
    workers: Workers, server: services.Redis
) -> None:
    anna = await workers.one()
    ticket = await admitted(anna, requests(9), at=[Candidate(1)])
    with redis.Redis.from_url(server.url) as client:
        client.zadd("sy:workers", {anna._worker: 1})
    ben = await workers.one()
    await admitted(anna, budget(1), at=[Candidate(1)])  # she is heard again
    assert await corrected(ben, server, 0) == 1
    anna.settle(ticket, Settlement())
    assert await corrected(anna, server, 0) == 0


async def test_a_counter_of_an_earlier_release_counts_on(workers: Workers, server: services.Redis) -> None:
    anna = await workers.one()
    await anna.peek([requests(9), requests(9, "rolling", 60_000)], nothing_before)
    with redis.Redis.from_url(server.url) as client:
        now = int(client.time()[0]) * 1000
        for name, counter in (("requests", [0, 3, 0, 1, now]), ("rolling", [0, 4, 0, 1, now, now, 4])):
            client.set(f"sy:c:{name}", msgspec.msgpack.encode(counter))
    await admitted(anna, requests(9), requests(9, "rolling", 60_000))
    assert await anna.peek([requests(9), requests(9, "rolling", 60_000)], nothing_before) == [4, 5]


async def test_an_older_copy_of_redis_is_as_good_as_none(workers: Workers, server: services.Redis) -> None:
    anna = await workers.one()
    tickets = [await admitted(anna, budget(100, 10), at=[Candidate(1, 5)]) for _ in range(5)]
    with redis.Redis.from_url(server.url) as client:
        client.save()
    for ticket in tickets[1:]:
        anna.settle(ticket, Settlement(tokens=10, slot_tokens=10))
    await anna.peek([budget(100)], nothing_before)  # all of it is there
    server.kill()
    await until(lambda: not anna.available)
    server.start()
    await until(lambda: anna.available)
    assert await anna.peek([budget(100)], nothing_before) == [
        10
    ]  # in flight; the rest is the ledger's to tell
    for _ in range(4):
        await admitted(anna, at=[Candidate(1, 5)])


async def test_a_settlement_that_redis_refuses_is_sent_again(
    workers: Workers, server: services.Redis
) -> None:
    anna = await workers.one()
    ticket = await admitted(anna, budget(100, 50))
    with redis.Redis.from_url(server.url) as client:
        client.config_set("maxmemory", 1)
        anna.settle(ticket, Settlement(tokens=7, slot_tokens=7))
        await until(lambda: not anna.available)
        client.config_set("maxmemory", 0)
    await until(lambda: anna.available and not anna._unconfirmed)
    assert await anna.peek([budget(100)], nothing_before) == [7]


async def test_a_worker_that_was_taken_for_dead_holds_again_what_it_holds(
    workers: Workers, server: services.Redis
) -> None:
    anna = await workers.one()
    ticket = await admitted(anna, budget(100, 40), at=[Candidate(1, 1)])
    with redis.Redis.from_url(server.url) as client:
        client.zadd("sy:workers", {anna._worker: 1})
        ben = await workers.one()
        assert await ben.peek([budget(100)], nothing_before) == [3]  # the estimate
        await admitted(anna, budget(100, 1), at=[Candidate(2)])
        assert client.get("sy:s:1") == b"1"
    assert isinstance(await ben.admit(ask(at=[Candidate(1, 1)])), Full)
    assert await ben.peek([budget(100)], nothing_before) == [41]
    anna.settle(ticket, Settlement(tokens=9, slot_tokens=9))
    assert await anna.peek([budget(100)], nothing_before) == [10]


async def test_each_time_alone_begins_with_what_is_used_by_then(
    workers: Workers, server: services.Redis
) -> None:
    anna, served = await workers.one(), 0
    await anna.peek([budget(12)], nothing_before)
    for _ in range(3):
        freeze(server)
        for _ in range(10):
            told = await anna.admit(ask(budget(12), at=[Candidate(1)]))
            if isinstance(told, Ticket):
                served += 1
                anna.settle(told, Settlement(tokens=1, slot_tokens=1))
        thaw(server)
        await until(lambda: anna.available)
    assert served == 12
    assert await anna.peek([budget(12)], nothing_before) == [12]


async def test_old_use_of_a_rolling_window_is_old_when_redis_is_back(
    workers: Workers, server: services.Redis
) -> None:
    anna = await workers.one()
    await anna.peek([requests(5, "rolling", 1000)], nothing_before)
    freeze(server)
    for _ in range(3):
        await admitted(anna, requests(5, "rolling", 1000), at=[Candidate(1)])
    await asyncio.sleep(1.1)  # they leave the window meanwhile
    await admitted(anna, requests(5, "rolling", 1000), at=[Candidate(1)])
    thaw(server)
    await until(lambda: anna.available)
    assert await anna.peek([requests(5, "rolling", 1000)], nothing_before) == [1]


async def test_a_name_too_many_makes_no_counters(workers: Workers, server: services.Redis) -> None:
    anna = await workers.one()

    async def ledger(counters: Collection[str]) -> Sequence[Seed]:
        return [Seed(counter, 0, members=("",) if counter == "names" else ()) for counter in counters]

    for name in ("bob", "carol"):
        names = Demand("names", How.MEMBER, 1, seeded=True, member=name)
        told = await anna.admit(Ask([requests(9, f"each {name}"), names], SLOT, ledger))
        assert isinstance(told, Ticket if name == "bob" else Refusal)
    with redis.Redis.from_url(server.url) as client:
        assert set(client.scan_iter("sy:c:*")) == {b"sy:c:each bob"}


async def test_a_wrong_password_leaves_no_connections_behind(server: services.Redis) -> None:
    anna = RedisState(address_of(server.url.replace("redis://", "redis://:wrong@")))
    await anna.start()
    await asyncio.sleep(0.8)
    with redis.Redis.from_url(server.url) as client:
        assert len(client.client_list()) == 1  # this one
    await anna.stop()
