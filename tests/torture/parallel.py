"""Ten requests at once and not one more, however many ask and whichever worker dies; judged by tests."""

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.torture.crowd import Answer, ask, order
from tests.torture.hosts import Hosts
from tests.torture.rig import eventually, workers
from tests.torture.routing_rig import SLOTS
from tests.upstream import Behaviour, Seen

HOLD = Behaviour(head_delay=0.3, tokens=10, delay=0.02)  # about half a second


@dataclass
class Parallel:
    """`most`: at once at the provider; `dead_slots`: held by the worker at its death; times are seconds.

    `full_again`: from the kill on until all places were in use again; `broken`: what clients of that worker
    heard, `broken_later` of them asked long after it was dead.
    """

    clients: int
    served: int = 0
    served_meanwhile: int = 0
    refused: int = 0
    broken: dict[str, int] = field(default_factory=dict)
    broken_later: int = 0
    most: int = 0
    most_before: int = 0
    most_after: int = 0
    dead_slots: int = 0
    full_again: float = 0.0
    slots_left: int = -1


async def _client(hosts: Hosts, key: str, number: int, over: asyncio.Event, answers: list[Answer]) -> None:
    """Asks again as soon as it was served, and a moment later where it was not."""
    dice = random.Random(number)
    while not over.is_set():
        answer = await ask(order(hosts.ports[number % 2], key, "slots", stream=number % 4 > 1), 60)
        answers.append(answer)
        if not answer.whole:
            await asyncio.sleep(0.3 + 0.4 * dice.random())


async def _crowd(
    hosts: Hosts, key: str, clients: int, before: float, after: float, kill: "_Kill"
) -> list[Answer]:
    over, answers = asyncio.Event(), list[Answer]()
    running = [asyncio.create_task(_client(hosts, key, n, over, answers)) for n in range(clients)]
    await asyncio.sleep(before)
    await asyncio.to_thread(kill.now)
    await asyncio.sleep(after)
    over.set()
    await asyncio.gather(*running)
    return answers


class _Kill:
    """kill -9 of the worker of the first host; `hurry`: its lease is cut short, as if its 30 s were over."""

    def __init__(self, hosts: Hosts, worker: bytes, *, hurry: bool) -> None:
        self._hosts, self._worker, self._hurry = hosts, worker, hurry
        self.at, self.slots = 0.0, 0

    def now(self) -> None:
        [process] = workers(self._hosts.a)
        with self._hosts.client() as client:
            # some but not all: what is left must serve meanwhile
            eventually(
                lambda: 0 < client.scard(b"sy:w:" + self._worker) < SLOTS, 10, "places of both workers"
            )
            os.kill(process, signal.SIGKILL)
            self.at = time.time()
            self.slots = client.scard(b"sy:w:" + self._worker)
            if self._hurry:
                time.sleep(2.0)
                client.zadd("sy:workers", {self._worker: 1})


def parallel(hosts: Hosts, key: str, clients: int, before: float, after: float, *, hurry: bool) -> Parallel:
    """So many clients ask for ten places all the time; after a while one of the two workers is killed."""
    told = Parallel(clients)
    kill = _Kill(hosts, _worker_of_first(hosts, key), hurry=hurry)
    hosts.upstream.behave(HOLD, model="slots")
    answers = asyncio.run(_crowd(hosts, key, clients, before, after, kill))
    eventually(lambda: not hosts.slots(), 40, "free slots")
    told.slots_left = sum(hosts.slots().values())
    told.dead_slots = kill.slots
    log = hosts.upstream.log("slots")
    levels = _levels(log)
    told.most = max(level for _, level in levels)
    told.most_before = max(level for at, level in levels if at < kill.at)
    later = [(at, level) for at, level in levels if at > kill.at + 0.2]
    told.most_after = max(level for _, level in later)
    full = [at for at, level in later if level == SLOTS]
    told.full_again = round(min(full, default=float("inf")) - kill.at, 1)
    told.served = sum(answer.whole for answer in answers)
    told.served_meanwhile = sum(
        seen.ended == "complete" and kill.at < (seen.ended_at or 0) < kill.at + told.full_again
        for seen in log
    )
    _count_broken(told, answers, kill.at)
    return told


def _count_broken(told: Parallel, answers: Sequence[Answer], killed_at: float) -> None:
    told.refused = sum(answer.status == 429 for answer in answers)
    broken = [answer for answer in answers if not answer.whole and answer.status != 429]
    told.broken = dict(Counter(str(answer.status) for answer in broken))
    # its successor is there a few seconds later
    later = time.monotonic() - (time.time() - killed_at) + 5
    told.broken_later = sum(answer.at > later for answer in broken)


def _worker_of_first(hosts: Hosts, key: str) -> bytes:
    """The name in Redis of the first host's worker: the one that holds a place while it serves a request."""
    hosts.upstream.behave(Behaviour(head_delay=1.0), model="slots")
    with hosts.client() as client:
        eventually(lambda: not list(client.scan_iter("sy:w:*")), 40, "no tickets")

        async def held() -> bytes:
            asked = asyncio.create_task(ask(order(hosts.a.port, key, "slots")))
            await asyncio.sleep(0.5)
            [name] = client.scan_iter("sy:w:*")
            assert (await asked).whole
            return bytes(name).removeprefix(b"sy:w:")

        return asyncio.run(held())


def _levels(log: Sequence[Seen]) -> list[tuple[float, int]]:
    """How many requests the provider had at once, at every moment at which that changed."""
    changes = [(seen.arrived, 1) for seen in log]
    changes += [(seen.ended_at, -1) for seen in log if seen.ended_at is not None]
    level, levels = 0, []
    for at, change in sorted(changes):
        level += change
        levels.append((at, level))
    return levels
