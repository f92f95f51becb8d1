"""Workers whose `Health`s are joined through a real Redis, which comes and goes."""

import asyncio
import itertools
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from dataclasses import replace

import pytest
import redis

from providers.health import Health
from providers.state.sharing import Sharing
from providers.state.wire import address_of
from tests import services

pytestmark = pytest.mark.redis
LLAMA, QWEN, PHI = 1, 2, 3  # deployments
ALL = (LLAMA, QWEN, PHI)
# What is promised is a second; a busy machine gets more before a test gives up.
PATIENCE = 5.0


@pytest.fixture
def server() -> Iterator[services.Redis]:
    """A Redis of this test alone, which it may stop."""
    server = services.Redis()
    server.start()
    yield server
    server.kill()


class Worker:
    """One worker's health."""

    def __init__(self, sharing: Sharing, health: Health) -> None:
        self.sharing, self.health = sharing, health

    def fails(self, id: int, times: int) -> None:
        for _ in range(times):
            self.health.failed(id, time.monotonic())

    def succeeds(self, id: int) -> None:
        self.health.succeeded(id, time.monotonic())

    def out(self) -> set[int]:
        return self.health.ejected(ALL, time.monotonic())

    def has_heard(self, marks: Collection[int]) -> bool:
        return len(self.health.resting(marks, time.monotonic())) == len(marks)

    def resting(self) -> dict[int, float]:
        """Deployment -> seconds to come."""
        now = time.monotonic()
        return {id: until - now for id, until in self.health.resting(ALL, now).items()}


class Workers:
    """All are stopped at the end of the test."""

    def __init__(self, server: services.Redis) -> None:
        self.server = server
        self.all: list[Worker] = []

    async def one(self, database: int = 0) -> Worker:
        health = Health(jitter=lambda: 0.0)
        address = replace(address_of(self.server.url), database=database)
        worker = Worker(Sharing(address, health), health)
        self.all.append(worker)
        await worker.sharing.start()
        return worker


@pytest.fixture
async def workers(server: services.Redis) -> AsyncIterator[Workers]:
    made = Workers(server)
    yield made
    for worker in made.all:
        worker.sharing.stop()
    await asyncio.sleep(0)


async def until(condition: Callable[[], object], *, within: float = PATIENCE) -> None:
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110  another worker decides: no event tells of it
            await asyncio.sleep(0.002)


def kept(server: services.Redis) -> set[bytes]:
    """What is kept for workers that come late."""
    with redis.Redis.from_url(server.url) as client:
        found: dict[bytes, bytes] = client.hgetall("sy:health")
    return set(found)


_marks = itertools.count(1000)


async def all_hear(*workers: Worker) -> None:
    """Wait until all that was told so far has arrived: a worker's messages keep their order."""
    marks = [next(_marks) for _ in workers]
    for mark, teller in zip(marks, workers, strict=True):
        teller.health.rest(mark, time.monotonic() + 60)
    await until(lambda: all(hearer.has_heard(marks) for hearer in workers))


async def test_failures_count_together(workers: Workers) -> None:
    anna, ben = await workers.one(), await workers.one()
    anna.fails(LLAMA, 2)
    ben.fails(LLAMA, 2)
    await all_hear(anna, ben)
    assert anna.out() == ben.out() == set()
    ben.fails(LLAMA, 1)
    assert ben.out() == {LLAMA}
    await until(lambda: anna.out() == {LLAMA})


async def test_the_fifth_failure_counts_also_when_nobody_saw_five(workers: Workers) -> None:
    anna, ben = await workers.one(), await workers.one()
    anna.fails(LLAMA, 3)
    ben.fails(LLAMA, 2)  # before either has heard of the other
    await until(lambda: anna.out() == ben.out() == {LLAMA})


async def test_a_success_ends_the_row_for_all(workers: Workers) -> None:
    anna, ben = await workers.one(), await workers.one()
    anna.fails(LLAMA, 4)
    await all_hear(anna, ben)
    ben.succeeds(LLAMA)
    await all_hear(anna, ben)
    anna.fails(LLAMA, 4)
    await all_hear(anna, ben)
    assert anna.out() == ben.out() == set()
    ben.fails(LLAMA, 1)
    await until(lambda: anna.out() == ben.out() == {LLAMA})


async def test_successes_elsewhere_weigh_against_failures_here(workers: Workers) -> None:
    anna, ben = await workers.one(), await workers.one()
    for _ in range(100):
        anna.succeeds(LLAMA)
    for _ in range(20):  # more than half of what ben sees, a sixth of all
        ben.fails(LLAMA, 1)
        await all_hear(anna, ben)
        anna.succeeds(LLAMA)
        await all_hear(anna, ben)
    assert anna.out() == ben.out() == set()


async def test_half_of_what_all_see_together_ejects(workers: Workers) -> None:
    anna, ben = await workers.one(), await workers.one()
    for _ in range(5):
        for worker in (anna, ben):
            worker.fails(LLAMA, 1)
            worker.succeeds(LLAMA)
            await all_hear(anna, ben)
    worker.fails(LLAMA, 1)  # the 21st attempt, of which 11 failed
    await until(lambda: anna.out() == ben.out() == {LLAMA})


def half_open(worker: Worker, id: int) -> None:
    """As this worker sees it, the deployment failed a while ago, and its pause has just ended."""
    for _ in range(5):
        worker.health.failed(id, time.monotonic() - 10)


async def test_one_request_probes_for_all(workers: Workers) -> None:
    anna, ben = await workers.one(), await workers.one()
    half_open(anna, LLAMA)
    await all_hear(anna, ben)
    assert anna.out() == ben.out() == set()
    anna.health.asked(LLAMA)
    await until(lambda: ben.out() == {LLAMA})
    anna.health.undecided(LLAMA)
    await until(lambda: ben.out() == set())


async def test_a_recovery_begins_a_small_share_everywhere(workers: Workers) -> None:
    anna, ben = await workers.one(), await workers.one()
    half_open(anna, LLAMA)
    anna.health.asked(LLAMA)
    await until(lambda: ben.out() == {LLAMA})
    anna.succeeds(LLAMA)
    await until(lambda: ben.out() == set())
    assert 0.1 <= ben.health.share(LLAMA, time.monotonic()) < 1.0


async def test_a_probe_that_failed_is_a_longer_pause_everywhere(workers: Workers) -> None:
    anna, ben = await workers.one(), await workers.one()
    half_open(anna, LLAMA)
    await all_hear(anna, ben)
    ben.health.asked(LLAMA)
    ben.fails(LLAMA, 1)
    await until(lambda: anna.out() == {LLAMA})
    now = time.monotonic()
    assert anna.health.ejected(ALL, now + 8) == {LLAMA}  # not five seconds, but ten
    assert anna.health.ejected(ALL, now + 12) == set()


async def test_a_rest_is_known_to_all(workers: Workers) -> None:
    anna, ben = await workers.one(), await workers.one()
    anna.health.rest(LLAMA, time.monotonic() + 2)
    await until(ben.resting)
    assert 1.0 < ben.resting()[LLAMA] <= 2.05


async def test_who_starts_later_learns_what_holds(workers: Workers) -> None:
    anna = await workers.one()
    anna.fails(LLAMA, 5)
    anna.health.rest(QWEN, time.monotonic() + 60)
    await until(lambda: len(kept(workers.server)) == 2)
    ben = await workers.one()
    assert ben.out() == {LLAMA}
    assert list(ben.resting()) == [QWEN]


async def test_what_is_over_is_kept_no_longer(workers: Workers) -> None:
    anna = await workers.one()
    anna.health.rest(LLAMA, time.monotonic() + 0.2)
    await until(lambda: kept(workers.server) == {b"r1"})
    await until(lambda: kept(workers.server) == set())


async def test_what_another_version_left_is_swept(workers: Workers) -> None:
    with redis.Redis.from_url(workers.server.url) as client:
        client.hset("sy:health", "s9", "written by a stranger")
        client.publish("sy:health:0", "said by a stranger")
    anna, ben = await workers.one(), await workers.one()
    with redis.Redis.from_url(workers.server.url) as client:
        assert client.publish("sy:health:0", "said by a stranger") == 2
    await until(lambda: not kept(workers.server))
    anna.fails(LLAMA, 5)
    await until(lambda: ben.out() == {LLAMA})


async def test_databases_of_one_redis_do_not_hear_each_other(workers: Workers) -> None:
    anna, ben, eve = await workers.one(), await workers.one(), await workers.one(database=3)
    anna.fails(LLAMA, 5)
    await until(lambda: ben.out() == {LLAMA})
    await all_hear(eve)
    await asyncio.sleep(1.1)  # a beat of hers
    assert eve.out() == set()


async def test_without_redis_each_goes_on_alone_and_joins_when_it_is_there(workers: Workers) -> None:
    workers.server.stop()
    anna, ben = await workers.one(), await workers.one()
    anna.fails(LLAMA, 5)
    ben.health.rest(QWEN, time.monotonic() + 60)
    assert (anna.out(), ben.out()) == ({LLAMA}, set())
    workers.server.start()
    await until(lambda: ben.out() == {LLAMA} and QWEN in anna.resting())


async def test_what_happened_while_redis_was_away_is_told_afterwards(workers: Workers) -> None:
    anna, ben = await workers.one(), await workers.one()
    half_open(ben, PHI)
    await all_hear(anna, ben)
    workers.server.kill()
    await until(lambda: not anna.sharing.joined and not ben.sharing.joined)
    anna.fails(LLAMA, 5)
    anna.health.asked(PHI)
    anna.succeeds(PHI)
    ben.health.rest(QWEN, time.monotonic() + 60)
    workers.server.start()  # it has forgotten all
    await until(lambda: ben.out() == {LLAMA} and QWEN in anna.resting())
    await until(lambda: ben.health.share(PHI, time.monotonic()) < 1.0)
    await until(lambda: {b"s1", b"r2", b"s3"} <= kept(workers.server))


async def test_a_redis_that_was_emptied_is_told_again(workers: Workers) -> None:
    anna = await workers.one()
    anna.fails(LLAMA, 5)
    await until(lambda: kept(workers.server))
    with redis.Redis.from_url(workers.server.url) as client:
        client.flushall()
    await until(lambda: kept(workers.server) == {b"s1"})


async def test_a_silent_redis_delays_nobody_and_is_heard_again(workers: Workers) -> None:
    anna, ben = await workers.one(), await workers.one()
    os.kill(workers.server.pid, signal.SIGSTOP)
    try:
        anna.fails(LLAMA, 5)
        assert anna.out() == {LLAMA}
        await until(lambda: not anna.sharing.joined)
        anna.health.rest(QWEN, time.monotonic() + 60)
    finally:
        os.kill(workers.server.pid, signal.SIGCONT)
    await until(lambda: ben.out() == {LLAMA} and QWEN in ben.resting())


async def test_cut_connections_are_made_again(workers: Workers) -> None:
    anna, ben = await workers.one(), await workers.one()
    with redis.Redis.from_url(workers.server.url) as client:
        for row in client.client_list():
            if row["resp"] == "3":
                client.client_kill_filter(_id=row["id"])
    anna.fails(LLAMA, 5)
    await until(lambda: ben.out() == {LLAMA})


async def test_a_refused_channel_is_no_half_shared_health(workers: Workers) -> None:
    with redis.Redis.from_url(workers.server.url) as client:
        client.execute_command("ACL", "SETUSER", "default", "resetchannels")
        anna = await workers.one()
        anna.fails(LLAMA, 5)
        assert anna.out() == {LLAMA}
        assert not anna.sharing.joined
        client.execute_command("ACL", "SETUSER", "default", "allchannels")
    await until(lambda: anna.sharing.joined)


async def test_however_much_fails_few_messages_are_sent(workers: Workers) -> None:
    anna, ben = await workers.one(), await workers.one()
    await all_hear(anna, ben)
    with redis.Redis.from_url(workers.server.url) as client:
        before = client.info("commandstats")["cmdstat_publish"]["calls"]
        began = time.monotonic()
        for _ in range(200):
            anna.fails(LLAMA, 10)
            anna.succeeds(LLAMA)
            await asyncio.sleep(0)
        await all_hear(anna, ben)
        sent = client.info("commandstats")["cmdstat_publish"]["calls"] - before
    assert sent <= (time.monotonic() - began) / 0.01 + 10  # of 2,200 attempts
