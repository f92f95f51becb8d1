"""A gateway of two workers whose PostgreSQL is away when it starts, or goes while it serves."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from keys.tokens import generate
from tests.path.client import Client
from tests.path.house import House, until
from tests.torture.crowd import Answer, Load, Order, order

MODEL = "llm"
# Both workers have answered rightly when so many requests on connections of their own did.
_IN_A_ROW = 12

type How = Literal["stopped", "killed", "silent", "hung"]


@contextmanager
def away(house: House, how: How) -> Iterator[None]:
    """PostgreSQL is away until the end of the block.

    silent: connections are taken, and nothing is said; hung: so are all its processes, by SIGSTOP.
    """
    ways: dict[How, tuple[Callable[[], None], Callable[[], None]]] = {
        "stopped": (house.server.stop, house.server.start),
        "killed": (house.server.kill, house.server.start),
        "silent": (house.proxy.freeze, house.proxy.thaw),
        "hung": (lambda: _signal(house, signal.SIGSTOP), lambda: _signal(house, signal.SIGCONT)),
    }
    go, come = ways[how]
    go()
    try:
        yield
    finally:
        come()


def _signal(house: House, number: signal.Signals) -> None:
    server = house.server.pid
    children = Path(f"/proc/{server}/task/{server}/children").read_text().split()
    for pid in (server, *map(int, children)):
        os.kill(pid, number)


@dataclass
class Boot:
    """Seconds since `serve` was started, and since the database was back."""

    how: How
    keys: int
    served_after: float = 0.0
    served: int = 0
    strangers: dict[str, int] = field(default_factory=dict)
    ready: dict[str, object] = field(default_factory=dict)
    healed_after: float = 0.0


def boot(house: House, how: How, *, keys: int, strangers: int) -> Boot:
    """Start without the database: known keys, strangers, and what was changed while nobody served."""
    told = Boot(how, keys)
    known = [house.client(f"{how} {number}", "--limit", "requests=100000/day") for number in range(keys)]
    disabled = house.client(f"{how} disabled")
    until(house.copied, "copies of all that there is", 60)
    house.gateway.kill()
    house.disable(f"{how} disabled")
    new = house.client(f"{how} new")
    with away(house, how):
        began = time.monotonic()
        house.gateway.start()
        told.served = sum(client.chat(MODEL).status == 200 for client in known)
        told.served_after = round(time.monotonic() - began, 1)
        for _ in range(strangers):
            answer = Client(house.gateway, generate()).chat(MODEL)
            said = f"{answer.status} {answer.error['code']}"
            told.strangers[said] = told.strangers.get(said, 0) + 1
        told.ready = known[0].get("/health/ready").json
    told.healed_after = round(_until_fresh(disabled, new, known[0]), 1)
    return told


def _until_fresh(disabled: Client, new: Client, known: Client) -> float:
    """Seconds until every worker knows what was changed meanwhile, and says that the database is there."""

    def fresh() -> bool:
        asked = [client.chat(MODEL).status for client in (disabled, new, known)]
        return asked == [401, 200, 200] and known.get("/health/ready").json["database"] == "ok"

    began = time.monotonic()
    last_wrong = began
    in_a_row = 0
    while in_a_row < _IN_A_ROW:
        in_a_row = in_a_row + 1 if fresh() else 0
        if not in_a_row:
            last_wrong = time.monotonic()
            assert last_wrong - began < 60, "it did not heal"
    return last_wrong - began


@dataclass
class Outage:
    """Requests of known keys before and during; seconds."""

    how: How
    seconds: float
    asked: int = 0
    failed: int = 0
    p99_before: float = 0.0
    p99_meanwhile: float = 0.0
    slowest_meanwhile: float = 0.0


def outage(house: House, how: How, *, seconds: float, rate: float, before: float, name: str) -> Outage:
    """It goes while requests come at this rate, also of a key that neither worker has met."""
    told = Outage(how, seconds)
    met, unmet = house.client(name), house.client(f"{name} unmet")
    until(house.copied, "copies of all that there is", 60)
    clients = [met] * 9 + [unmet]
    gone = back = float("inf")

    def make(number: int) -> Order:
        client = clients[number % 10] if time.monotonic() > gone else met
        return order(house.gateway.port, client.key, MODEL)

    with Load(rate, make) as load:
        time.sleep(before)
        with away(house, how):
            gone = time.monotonic()
            time.sleep(seconds)
            back = time.monotonic()
    answers = [answer for _, answer in load.answers]
    meanwhile = [answer for answer in answers if gone <= answer.at < back]
    told.asked, told.failed = len(answers), sum(not answer.whole for answer in answers)
    told.p99_before = _p99([answer for answer in answers if answer.at < gone])
    told.p99_meanwhile = _p99(meanwhile)
    told.slowest_meanwhile = round(max(answer.seconds for answer in meanwhile), 3)
    return told


def _p99(answers: list[Answer]) -> float:
    return round(sorted(answer.seconds for answer in answers)[int(len(answers) * 0.99)], 3)
