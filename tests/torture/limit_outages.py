"""Redis stopped, killed and emptied, and everything restarted: what limits and counters are worth then."""

import signal
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.gateway_process import Gateway, config_of
from tests.path.client import Client
from tests.torture.crowd import HELLO, Answer, Load, Order, order, volley
from tests.torture.hosts import Hosts, entry
from tests.torture.limit_faults import CAP, HALF, admitted, both, spec
from tests.torture.rig import eventually
from tests.upstream import Behaviour, Upstream

# --- Redis does not answer ---------------------------------------------------------------------


@dataclass(frozen=True)
class Times:
    """Milliseconds of answers, from their request to their last byte."""

    answers: int
    p50: float
    p99: float
    slowest: float


@dataclass
class Silence:
    """`failed`: neither whole nor refused by a limit. `meanwhile` leaves the first second out.

    `tight`: admitted of the limit that is reached meanwhile. `closed`: of a key that wants no guesses, how
    many were served, answered 503 with a wait, or neither.
    """

    seconds: float
    rate: int
    tight_limit: int
    asked: int = 0
    refused: int = 0
    failed: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    tight: int = 0
    before: Times | None = None
    first_second: Times | None = None
    meanwhile: Times | None = None
    after: Times | None = None
    closed_meanwhile: tuple[int, int, int] = (0, 0, 0)
    closed_after: tuple[int, int, int] = (0, 0, 0)
    held_free_after: float = 0.0
    exact_after: float = 0.0
    drift: dict[str, int] = field(default_factory=dict)

    @property
    def success(self) -> float:
        return 1 - self.failed / max(1, self.asked - self.refused)


def silence(hosts: Hosts, seconds: float, rate: int, around: float) -> Silence:
    """SIGSTOP of Redis for so long while two keys that may be counted alone, and one that may not, ask."""
    hosts.upstream.behave(HALF, model="outage")
    told = Silence(seconds, rate, tight_limit=int(rate / 2 * (around + seconds / 2)))
    stamp = time.time_ns()
    usual = ("requests=1M/total", "tokens=1G/total", "cost=1000/day", "requests=1M/minute")
    large = hosts.key(f"alice-outage-{stamp}", *usual)
    tight = hosts.key(f"bob-outage-{stamp}", f"requests={told.tight_limit}/total", "tokens=1G/day")
    careful = hosts.key(f"carol-outage-{stamp}", "requests=1M/total")
    hosts.change_key(f"carol-outage-{stamp}", without_redis="closed")

    def next_of(*keys: str) -> Any:
        return lambda n: order(hosts.ports[n % 2], keys[n // 2 % len(keys)], "outage", max_tokens=CAP)

    with Load(rate, next_of(large, tight)) as load, Load(4, next_of(careful)) as closed:
        time.sleep(around)
        hosts.signal_redis(signal.SIGSTOP)
        stopped = time.monotonic()
        try:
            time.sleep(seconds)
        finally:
            hosts.signal_redis(signal.SIGCONT)
        back = time.monotonic()
        time.sleep(around)
    told.held_free_after = round(eventually(lambda: hosts.held() == 0, 90, "held = 0"), 1)
    mine = [held for key in (large, tight, careful) for held in hosts.limits_of(key)]
    calendar = [held for held in mine if held.window in ("total", "day")]
    told.exact_after, told.drift = hosts.drift_free_after(calendar, 60)
    _judge(told, load.answers, tight)
    _measure(told, [answer for _, answer in load.answers if answer.status == 200], stopped, back)
    told.closed_meanwhile = _closed(closed.answers, stopped + 1, back - 0.2)
    told.closed_after = _closed(closed.answers, back + 1, float("inf"))
    return told


def _judge(told: Silence, answers: Sequence[tuple[Order, Answer]], tight: str) -> None:
    refused = [answer for each, answer in answers if answer.status == 429 and each.key == tight]
    failed = [answer for each, answer in answers if not answer.whole and answer not in refused]
    told.asked, told.refused, told.failed = len(answers), len(refused), len(failed)
    told.failures = dict(Counter(f"{answer.status} {answer.code}" for answer in failed))
    told.tight = sum(answer.status == 200 for each, answer in answers if each.key == tight)


def _measure(told: Silence, served: Sequence[Answer], stopped: float, back: float) -> None:
    told.before = _times([a for a in served if a.at < stopped - a.seconds])
    told.first_second = _times([a for a in served if stopped <= a.at < stopped + 1])
    told.meanwhile = _times([a for a in served if stopped + 1 <= a.at < back])
    told.after = _times([a for a in served if back + 1 <= a.at])


def _times(answers: Sequence[Answer]) -> Times:
    took = sorted(answer.seconds * 1000 for answer in answers) or [0.0]
    p50, p99 = (round(took[int(part * (len(took) - 1))], 1) for part in (0.5, 0.99))
    return Times(len(answers), p50, p99, round(took[-1], 1))


def _closed(answers: Sequence[tuple[Order, Answer]], begin: float, end: float) -> tuple[int, int, int]:
    told = [answer for _, answer in answers if begin <= answer.at < end]
    served = sum(answer.whole for answer in told)
    wait = sum(answer.status == 503 and int(answer.headers.get("retry-after", 0)) > 0 for answer in told)
    return served, wait, len(told) - served - wait


# --- what was counted is gone ------------------------------------------------------------------


@dataclass
class Kept:
    """Of each budget, per window: used before, told by `GET /v1/usage` after, admitted after, and due."""

    used: dict[str, int] = field(default_factory=dict)
    told: dict[str, int] = field(default_factory=dict)
    admitted: dict[str, int] = field(default_factory=dict)
    due: dict[str, int] = field(default_factory=dict)
    drift: dict[str, int] = field(default_factory=dict)


BUDGETS = {
    "requests in total": "requests=12/total",
    "tokens per month": spec("tokens", 6, "month"),
    "cost in total": spec("cost", 6),
    "requests per day": "requests=12/day",
}
USED = 6


def emptied(hosts: Hosts) -> Kept:
    """Budgets are half used, then Redis is killed and starts empty."""

    def lose() -> None:
        hosts.redis.kill()
        hosts.redis.start()

    return _kept(hosts, lose)


def restarted(hosts: Hosts) -> Kept:
    """Budgets are half used, then everything but the database is killed and starts again."""

    def lose() -> None:
        for gateway in (hosts.a, hosts.b):
            gateway.kill()
        hosts.redis.kill()
        hosts.redis.start()
        for gateway in (hosts.a, hosts.b):
            gateway.start()

    return _kept(hosts, lose)


def _kept(hosts: Hosts, lose: Any) -> Kept:
    hosts.upstream.behave(Behaviour(prompt_tokens=HALF.prompt_tokens, tokens=CAP // 2), model="kept")
    told = Kept()
    stamp = time.time_ns()
    keys = {
        name: hosts.key(f"alice-{number}-{stamp}", limit)
        for number, (name, limit) in enumerate(BUDGETS.items())
    }
    for name, key in keys.items():
        answers = [volley([each])[0] for each in both(hosts, key, "kept", USED, max_tokens=CAP)]
        told.used[name] = admitted(answers)
    limits = {name: hosts.limits_of(key)[0] for name, key in keys.items()}
    hosts.drift_free_after(list(limits.values()), 10)  # all rows are there
    lose()
    for name, key in keys.items():
        # the other host too: alone it would let its own part through beside
        told.told[name], told.told[f"{name}, other host"] = (
            _told(Client(host, key)) for host in (hosts.b, hosts.a)
        )
        hosts.upstream.behave(
            Behaviour(head_delay=0.3, prompt_tokens=HALF.prompt_tokens, tokens=CAP // 2), model="kept"
        )
        told.due[name] = _due(name)
        told.admitted[name] = admitted(volley(both(hosts, key, "kept", 20, max_tokens=CAP)))
    _, told.drift = hosts.drift_free_after(list(limits.values()), 30)
    return told


def _due(name: str) -> int:
    """Half of 12 requests are left; of six estimates three, as six halves were used."""
    return 6 if name.startswith("requests") else 3


def _told(client: Client) -> int:
    """Used of the key's only limit, in its hundredth, once it is counted again: 50 is the half."""
    deadline = time.monotonic() + 20
    while True:
        [limit] = [each for each in client.get("/v1/usage").json["limits"] if each["of"].startswith("key")]
        if limit["used"] is not None:
            return round(100 * float(limit["used"]) / float(limit["limit"]))
        assert time.monotonic() < deadline, f"nobody counts: {limit}"
        time.sleep(0.05)


# --- without Redis -----------------------------------------------------------------------------


def embedded() -> Kept:
    """One gateway on SQLite is killed in the middle of a request and starts again."""
    told = Kept()
    with Upstream() as upstream, Gateway(config_of([entry("kept", upstream.url)])) as gateway:
        upstream.behave(HALF)
        keys = {
            name: gateway.create_key(f"alice-{number}", "--limit", limit)
            for number, (name, limit) in enumerate(BUDGETS.items())
        }
        for name, key in keys.items():
            alice = Client(gateway, key)
            replies = [alice.chat("kept", messages=HELLO, max_tokens=CAP) for _ in range(USED)]
            told.used[name] = sum(reply.status == 200 for reply in replies)
        gateway.kill()  # rows of the last half second are in the journal alone
        gateway.start()
        upstream.behave(Behaviour(head_delay=0.3, prompt_tokens=HALF.prompt_tokens, tokens=HALF.tokens))
        for name, key in keys.items():
            told.told[name] = _told(Client(gateway, key))
            told.due[name] = _due(name)
            orders = [order(gateway.port, key, "kept", max_tokens=CAP) for _ in range(20)]
            told.admitted[name] = admitted(volley(orders))
    return told
