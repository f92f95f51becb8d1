"""The faults of the ledger, each as one function of its size; what they return is judged by tests."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tests.path.client import Client, Reply
from tests.torture.rig import Rig, ask, doubled, eventually, grow, memory_mb, whole, workers
from tests.upstream import Behaviour

PROMPT, TOKENS = 7, 10
EXACT = (PROMPT, TOKENS, False)


# --- kill -9 -----------------------------------------------------------------------------------


@dataclass
class Kills:
    """`never_sent`: written down, and killed before a byte of it reached the provider."""

    requests: int
    kills: int
    of_groups: int
    served: int = 0
    rows: int = 0
    answered: int = 0
    died: int = 0
    lost: int = 0
    doubled: int = 0
    phantom: int = 0
    never_sent: int = 0
    inexact: int = 0
    not_ok: int = 0
    interrupted: int = 0
    without_estimate: int = 0
    examples: list[str] = field(default_factory=list)


def kills(rig: Rig, requests: int, kills: int, seed: int = 1, clients: int = 16) -> Kills:
    """kill -9 of random workers, and now and then of the whole group, during mixed requests."""
    dice = random.Random(seed)
    rig.upstream.behave(Behaviour(tokens=TOKENS, delay=0.005), model="kills")
    alice = rig.client("alice-kills")
    progress = threading.Semaphore(0)
    answers: list[tuple[bool, Reply | None]] = []

    def one(number: int) -> None:
        stream = number % 2 == 0
        reply = ask(alice, "kills", stream=stream)
        answers.append((whole(reply, stream=stream), reply))
        progress.release()

    of_groups = 0
    grow(rig.gateway)
    with ThreadPoolExecutor(clients) as pool:
        asking = [pool.submit(one, number) for number in range(requests)]
        for _ in range(kills):
            for _ in range(requests // (kills + 1)):
                progress.acquire()
            of_groups += _kill(rig, dice)
        for each in asking:
            each.result()
    return _judged(rig, Kills(requests, kills, of_groups), answers)


def _kill(rig: Rig, dice: random.Random) -> bool:
    """One random kill; whether it was of the whole group."""
    time.sleep(dice.random() * 0.05)
    if dice.random() < 0.3:
        rig.gateway.kill()
        rig.gateway.start()
        grow(rig.gateway)
        return True
    eventually(lambda: len(workers(rig.gateway)) == 2, 30, "two workers")
    os.kill(dice.choice(workers(rig.gateway)), signal.SIGKILL)
    return False


def _judged(rig: Rig, told: Kills, answers: list[tuple[bool, Reply | None]]) -> Kills:
    served = {seen.request_id: seen for seen in rig.served("kills")}
    rows = rig.rows_of("kills", len(served))
    by_attempt = {row["attempt_id"]: row for row in rows}
    by_request = {row["request_id"]: row for row in rows}
    unknown = [row for row in rows if row["attempt_id"] not in served]
    finished = [row for row in rows if row["status"] == "ok"]
    killed = [row for row in rows if row["status"] == "interrupted"]
    seen_whole = [reply.request_id for good, reply in answers if good and reply]
    wrong = [row for row in finished if _told(row) != EXACT]
    not_ok = [id for id in seen_whole if by_request.get(id, {}).get("status") != "ok"]
    told.served, told.rows = len(served), len(rows)
    told.answered, told.died = len(seen_whole), len(answers) - len(seen_whole)
    told.lost = len(served.keys() - by_attempt.keys())
    told.doubled = doubled(rows) + len(rig.served("kills")) - len(served)
    told.never_sent = sum(row["status"] == "interrupted" for row in unknown)
    told.phantom = len(unknown) - told.never_sent
    told.inexact, told.not_ok = len(wrong), len(not_ok)
    told.interrupted = len(killed)
    told.without_estimate = sum(not (row["estimated"] and row["prompt_tokens"] > 0) for row in killed)
    told.examples = [str(row) for row in wrong[:2]] + [str(by_request.get(id, id)) for id in not_ok[:3]]
    return told


def _told(row: dict[str, Any]) -> tuple[int, int, bool]:
    return row["prompt_tokens"], row["completion_tokens"], row["estimated"]


# --- the database is away ----------------------------------------------------------------------


@dataclass(frozen=True)
class Outage:
    """`rows_after`: seconds from the database's return until every row was in it."""

    seconds: float
    rate: int
    asked: int
    failures: int
    rows: int
    lost: int
    doubled: int
    rows_after: float
    memory_before_mb: float
    memory_grown_mb: float


def outage(
    rig: Rig, model: str, stop: Callable[[], None], back: Callable[[], None], seconds: float, rate: int
) -> Outage:
    """The database is away for `seconds` while a known key asks at a steady rate."""
    rig.upstream.behave(Behaviour(tokens=TOKENS), model=model)
    alice = rig.client(f"alice-{model}")
    around = min(5.0, seconds / 2)
    asking = Steady(alice, model, rate)
    asking.start()
    time.sleep(around)
    usual = memory_mb(rig.gateway)
    stop()
    most, ends = usual, time.monotonic() + seconds
    while time.monotonic() < ends:
        time.sleep(0.5)
        most = max(most, memory_mb(rig.gateway))
    back()
    returned = time.monotonic()
    # what was asked until now must be there soon, though more keeps coming
    eventually(lambda: rig.count(model) >= asking.asked_before(returned), 60, "rows of the outage")
    rows_after = time.monotonic() - returned
    time.sleep(around)
    most = max(most, memory_mb(rig.gateway))
    asking.stop()
    served = {seen.request_id for seen in rig.served(model)}
    rows = rig.rows_of(model, len(served))
    exact = [row for row in rows if _told(row) == EXACT and row["status"] == "ok"]
    return Outage(
        seconds=seconds,
        rate=rate,
        asked=asking.asked,
        failures=asking.failures + len(rows) - len(exact),
        rows=len(rows),
        lost=len(served - {row["attempt_id"] for row in rows}),
        doubled=doubled(rows),
        rows_after=round(rows_after, 1),
        memory_before_mb=round(usual, 1),
        memory_grown_mb=round(most - usual, 1),
    )


class Steady:
    """Asks at a fixed rate, however long answers take; half of it streams."""

    def __init__(self, client: Client, model: str, rate: int) -> None:
        self._client, self._model, self._rate = client, model, rate
        self._ended: list[tuple[float, bool]] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.asked = 0

    @property
    def failures(self) -> int:
        return sum(not good for _, good in self._ended)

    def asked_before(self, moment: float) -> int:
        """Requests that had ended by then."""
        return sum(at <= moment for at, _ in list(self._ended))

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        begun = time.monotonic()
        with ThreadPoolExecutor(32) as pool:
            while not self._stopping.wait(max(0.0, begun + self.asked / self._rate - time.monotonic())):
                pool.submit(self._one, self.asked % 2 == 0)
                self.asked += 1

    def _one(self, stream: bool) -> None:
        reply = ask(self._client, self._model, stream=stream)
        self._ended.append((time.monotonic(), whole(reply, stream=stream)))


# --- the answer to a COMMIT is lost ------------------------------------------------------------


@dataclass(frozen=True)
class Cuts:
    cuts: int
    asked: int
    failures: int
    rows: int
    lost: int
    doubled: int
    phantom: int


def cuts(rig: Rig, count: int, rate: int, patience: float) -> Cuts:
    """The connection is cut between COMMIT and its answer, `count` times, while rows keep coming."""
    rig.upstream.behave(Behaviour(tokens=TOKENS), model="cuts")
    asking = Steady(rig.client("alice-cuts"), "cuts", rate)
    before = rig.proxy.cuts
    rig.proxy.cut_commits(count)
    asking.start()
    try:
        eventually(lambda: rig.proxy.cuts >= before + count, patience, f"{count} cuts")
    finally:
        asking.stop()
    served = {seen.request_id for seen in rig.served("cuts")}
    rows = rig.rows_of("cuts", len(served))
    there = {row["attempt_id"] for row in rows}
    return Cuts(
        cuts=rig.proxy.cuts - before,
        asked=asking.asked,
        failures=asking.failures,
        rows=len(rows),
        lost=len(served - there),
        doubled=doubled(rows),
        phantom=len(there - served),
    )


# --- the client leaves -------------------------------------------------------------------------


@dataclass(frozen=True)
class Leaves:
    """`off`: the largest distance of counted tokens from delivered ones; `freed_after` in seconds."""

    left: int
    rows: int
    off: int
    not_cancelled: int
    not_estimated: int
    slowest_freed_after: float
    slowest_tokens_freed_after: float
    refused_meanwhile: int


def leaves(rig: Rig, tokens: list[int], threads: int = 4) -> Leaves:
    """Clients leave a stream after so many tokens; each has a key whose only slot the stream holds."""
    rig.upstream.behave(Behaviour(tokens=150, delay=0.02), model="leaves")
    rig.upstream.behave(Behaviour(tokens=1), model="probe")
    bobs = [rig.client(f"bob-{number}", "parallel=1") for number in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        shares = pool.map(_leave_in_turn, [rig] * threads, bobs, [tokens[i::threads] for i in range(threads)])
        found = [each for share in shares for each in share]
    reserved = [_reservation(rig, number, after) for number, after in enumerate(tokens[:: len(tokens) // 4])]
    rows = {row["request_id"]: row for row in rig.rows_of("leaves", len(found) + len(reserved))}
    mine = [(rows[id], delivered) for id, delivered, _, _ in found if id in rows]
    return Leaves(
        left=len(found),
        rows=len(mine),
        off=max(abs(row["completion_tokens"] - delivered) for row, delivered in mine),
        not_cancelled=sum(row["status"] != "cancelled" for row, _ in mine),
        not_estimated=sum(not row["estimated"] for row, _ in mine),
        slowest_freed_after=round(max(freed for _, _, freed, _ in found), 3),
        slowest_tokens_freed_after=round(max(reserved), 3),
        refused_meanwhile=sum(refused for _, _, _, refused in found),
    )


def _leave_in_turn(rig: Rig, bob: Client, tokens: list[int]) -> list[tuple[str, int, float, bool]]:
    return [_leave(rig, bob, after) for after in tokens]


def _leave(rig: Rig, bob: Client, after: int) -> tuple[str, int, float, bool]:
    """Request id, tokens delivered, seconds until the slot was free, and whether it was held before."""
    line = bob.open("leaves", stream=True)
    line.read_until(f'"w{after - 1} "'.encode())
    refused = bob.chat("probe").status == 429
    line.socket.setblocking(False)
    with suppress(BlockingIOError):  # all that was delivered is read
        while data := line.socket.recv(65536):
            line.received += data
    line.leave()
    freed = eventually(lambda: bob.chat("probe").status == 200, 10, "the slot")
    return line.request_id, line.received.count(b'"w'), freed, refused


def _reservation(rig: Rig, number: int, after: int) -> float:
    """Seconds until tokens that a stream had reserved are there for others again."""
    carol = rig.client(f"carol-{number}", "tokens=5000/minute")
    line = carol.open("leaves", stream=True, max_tokens=4000)
    line.read_until(f'"w{after - 1} "'.encode())
    assert carol.chat("probe", max_tokens=4000).status == 429, "the stream holds the tokens"
    line.leave()
    return eventually(lambda: carol.chat("probe", max_tokens=4000).status == 200, 10, "the tokens")


# --- odd usage ---------------------------------------------------------------------------------

USAGES: dict[str, object] = {
    "null": None,
    "empty": {},
    "list": [1, 2],
    "text": "lots",
    "negative completion": {"prompt_tokens": 7, "completion_tokens": -3},
    "float": {"prompt_tokens": 7.5, "completion_tokens": 3.5},
    "not finite": {"prompt_tokens": 1e308, "completion_tokens": 1},
    "beyond 64 bits": {"prompt_tokens": 7, "completion_tokens": 2**70},
    "booleans": {"prompt_tokens": True, "completion_tokens": False},
    "nested": {"prompt_tokens": {"a": 1}, "completion_tokens": [3]},
    "nulls": {"prompt_tokens": None, "completion_tokens": None},
    "details of text": {"prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details": "none"},
    "more cached than there is": {
        "prompt_tokens": 7,
        "completion_tokens": 3,
        "prompt_tokens_details": {"cached_tokens": 900},
    },
    "negative details": {
        "prompt_tokens": 7,
        "completion_tokens": 3,
        "prompt_tokens_details": {"cached_tokens": -5},
        "completion_tokens_details": {"reasoning_tokens": -5},
    },
    "totals only": {"total_tokens": 10},
}
STYLES = ("none", "negative", "text", "every", "twice", "finish", "asked")


@dataclass
class Odd:
    """`wrong`: rows that are neither the provider's true numbers nor flagged as an estimate."""

    asked: int = 0
    failures: int = 0
    rows: int = 0
    flagged: int = 0
    wrong: int = 0
    negative: int = 0
    examples: list[str] = field(default_factory=list)


def odd_usage(rig: Rig, times: int) -> Odd:
    """Every way in which a provider can be wrong about usage, streamed and whole."""
    alice = rig.client("alice-odd")
    told = Odd()
    behaviours = {style: Behaviour(tokens=3, usage=style) for style in STYLES}  # type: ignore[arg-type]
    behaviours |= {
        name: Behaviour(tokens=3, usage="none", chunk={"usage": usage}) for name, usage in USAGES.items()
    }
    names: dict[str, str] = {}
    for name, behaviour in behaviours.items():
        rig.upstream.behave(behaviour, model="odd")
        for stream in (True, False) * times:
            reply = ask(alice, "odd", stream=stream)
            told.asked += 1
            told.failures += not whole(reply, stream=stream)
            if reply is not None:
                names[reply.request_id] = f"{name}, {'stream' if stream else 'whole'}"
    _judge_odd(told, rig.rows_of("odd", told.asked), names)
    return told


def _judge_odd(told: Odd, rows: list[dict[str, Any]], names: dict[str, str]) -> None:
    told.rows = len(rows)
    for row in rows:
        right = (row["prompt_tokens"], row["completion_tokens"]) == (7, 3)
        told.flagged += row["estimated"]
        numbers = [value for key, value in row.items() if key.endswith(("_tokens", "_nano"))]
        told.negative += min(numbers) < 0
        bad = not (right or row["estimated"]) or row["status"] != "ok"
        bad = bad or row["cached_tokens"] > row["prompt_tokens"]
        told.wrong += bad
        if bad:
            told.examples.append(f"{names.get(row['request_id'])}: {row}")
