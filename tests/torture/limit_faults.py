"""What limits must hold against, each as one function of its size; what they return is judged by tests."""

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import psycopg

from gateway import calls
from tests.gateway_process import Entry, Row
from tests.path.client import Client
from tests.torture.crowd import HELLO, Answer, Order, body, crowd, order, volley
from tests.torture.hosts import OUTPUT_DOLLARS, PROMPT_DOLLARS, Count, Held, Hosts, entry
from tests.torture.rig import eventually, workers
from tests.upstream import Behaviour, Upstream

SLOTS = 10
PROMPT = calls.read(body("x")).prompt_tokens
CAP = 100 - PROMPT
# What a request reserves, and what it uses in the end: of either the half.
TOKENS, COST = PROMPT + CAP, PROMPT * PROMPT_DOLLARS + CAP * OUTPUT_DOLLARS
HALF = Behaviour(prompt_tokens=PROMPT // 2, tokens=CAP // 2)
assert (PROMPT % 2, CAP % 2) == (0, 0)
ESTIMATES = {"tokens": TOKENS, "cost": COST}


def entries(upstream: Upstream, spare: Upstream) -> Iterator[Entry]:
    for name in ("budget", "newborn", "kill-free", "refused", "everyone", "outage", "kept"):
        yield entry(name, upstream.url)
    yield entry("kill-slots", upstream.url, max_parallel_requests=SLOTS)
    # whoever waits for one of these two waits in vain
    impatient = {"switchyard_queue_seconds": 0.5}
    yield replace(entry("one-slot", upstream.url, max_parallel_requests=1), info=impatient)
    yield replace(entry("deployment", upstream.url), info=impatient)


PREPARE = """
from keys.models import Limit, Team
from providers.models import Deployment, Model
team = Team.objects.create(name="red")
Limit.objects.create(team=team, metric="requests", amount=2, window="total")
Limit.objects.create(team=team, metric="tokens", amount=10**9, window="month")
everyone = Model.objects.get(name="everyone")
Limit.objects.create(model=everyone, metric="cost", amount=10**15, window="day")
Limit.objects.create(model=everyone, metric="requests", amount=2, window="total")
deployment = Deployment.objects.get(model__name="deployment")
Limit.objects.create(deployment=deployment, metric="requests", amount=2, window="total")
Limit.objects.create(deployment=deployment, metric="tokens", amount=10**9, window="day")
"""


def spec(metric: str, estimates: int, window: str = "total") -> str:
    """A limit that so many estimates fit into exactly."""
    amount = ESTIMATES[metric] * estimates
    return f"{metric}={amount}/{window}" if metric == "tokens" else f"cost={amount / 10**9:.9f}/{window}"


def both(hosts: Hosts, key: str, model: str, count: int, **fields: object) -> list[Order]:
    """Requests that go to the two hosts in turn."""
    return [order(hosts.ports[number % 2], key, model, **fields) for number in range(count)]


def admitted(answers: Sequence[Answer]) -> int:
    return sum(answer.status == 200 for answer in answers)


# --- a budget is asked by many at once ---------------------------------------------------------


class Watch:
    """Looks at counters in Redis all the time while a block runs."""

    def __init__(self, hosts: Hosts, limits: Sequence[Held]) -> None:
        self._hosts, self._limits = hosts, limits
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.most_used = {held.metric: 0 for held in limits}
        self.most_held = {held.metric: 0 for held in limits}

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.01):
            counts = self._hosts.counts()
            for held in self._limits:
                count = counts.get(held.counter, Count(0, 0, 0))
                self.most_used[held.metric] = max(self.most_used[held.metric], count.used)
                self.most_held[held.metric] = max(self.most_held[held.metric], count.held)


@dataclass
class Budgets:
    """`excess`: beyond the limit at any moment, spent and held; `together`: in flight at once, at least."""

    requests: int
    budget: int
    rounds: int
    admitted: list[int] = field(default_factory=list)
    refused: int = 0
    excess: int = 0
    together: int = 10**9
    drift: int = 0


def budgets(hosts: Hosts, requests: int, budget: int, rounds: int, hold: float) -> Budgets:
    """Every round a fresh key's budget for `budget` estimates is asked for by all at once, at both hosts."""
    told = Budgets(requests, budget, rounds)
    hosts.upstream.behave(Behaviour(head_delay=hold, prompt_tokens=PROMPT, tokens=CAP), model="budget")
    kinds = (("tokens",), ("cost",), ("tokens", "cost"))
    for number in range(rounds):
        metrics = kinds[number % len(kinds)]
        key = hosts.key(f"alice-budget-{time.time_ns()}", *(spec(metric, budget) for metric in metrics))
        limits = hosts.limits_of(key)
        with Watch(hosts, limits) as seen:
            answers = volley(both(hosts, key, "budget", requests, max_tokens=CAP))
        told.admitted.append(admitted(answers))
        told.refused += sum(answer.code == "insufficient_quota" for answer in answers)
        eventually(lambda: hosts.held() == 0, 10, "held = 0")
        for held in limits:
            told.excess = max(told.excess, seen.most_used[held.metric] - held.amount)
            told.together = min(told.together, seen.most_held[held.metric] // ESTIMATES[held.metric])
            told.drift += abs(hosts.count(held).spent - told.admitted[-1] * ESTIMATES[held.metric])
    return told


@dataclass
class Waves:
    """Admitted per wave, and how many had to be by the rule: as many estimates as still fit."""

    metric: str
    budget: int
    admitted: list[int] = field(default_factory=list)
    due: list[int] = field(default_factory=list)
    spent: int = 0
    limit: int = 0
    excess: int = 0


def waves(hosts: Hosts, metric: str, requests: int, budget: int, hold: float) -> Waves:
    """All at once, again and again, each settled at half its estimate, until nobody is admitted."""
    hosts.upstream.behave(
        Behaviour(head_delay=hold, prompt_tokens=HALF.prompt_tokens, tokens=HALF.tokens), model="budget"
    )
    key = hosts.key(f"alice-waves-{time.time_ns()}", spec(metric, budget))
    [held] = hosts.limits_of(key)
    told = Waves(metric, budget, limit=held.amount)
    while not told.admitted or told.admitted[-1]:
        told.due.append((held.amount - told.spent) // ESTIMATES[metric])
        with Watch(hosts, [held]) as seen:
            answers = volley(both(hosts, key, "budget", requests, max_tokens=CAP))
        told.admitted.append(admitted(answers))
        eventually(lambda: hosts.count(held).held == 0, 10, "held = 0")
        told.spent = hosts.count(held).spent
        told.excess = max(told.excess, seen.most_used[metric] - held.amount)
    return told


@dataclass
class Newborns:
    requests: int
    limit: int
    passed: list[int] = field(default_factory=list)
    refused: int = 0


def newborns(hosts: Hosts, requests: int, limit: int, rounds: int) -> Newborns:
    """A key is made and used at once by all, at both hosts."""
    told = Newborns(requests, limit)
    hosts.upstream.behave(Behaviour(head_delay=0.05), model="newborn")
    for _ in range(rounds):
        key = hosts.key(f"alice-newborn-{time.time_ns()}", f"requests={limit}/minute")
        answers = volley(both(hosts, key, "newborn", requests))
        told.passed.append(admitted(answers))
        told.refused += sum(answer.code == "rate_limit_exceeded" for answer in answers)
    return told


# --- a worker dies -----------------------------------------------------------------------------


@dataclass
class Kill:
    """Seconds since the kill, seen from the other host. `inexact`: rows that are not the estimate."""

    reservations: int
    held_before: int
    slots_before: int
    full_before: bool
    slot_free_after: float = 0.0
    held_free_after: float = 0.0
    slots_after: int = 0
    interrupted: int = 0
    inexact: int = 0
    tokens: tuple[int, int] = (0, 0)
    cost: tuple[int, int] = (0, 0)
    requests: tuple[int, int] = (0, 0)


def kill(hosts: Hosts, reservations: int, *, hurry: bool) -> Kill:
    """kill -9 of a worker with so many requests in flight, ten of them in all slots of a deployment.

    `hurry`: its lease is cut short, as if its 30 s were over.
    """
    hosts.upstream.behave(Behaviour(head_delay=120), model="kill-free")
    hosts.upstream.behave(*[Behaviour(head_delay=120)] * SLOTS, Behaviour(), model="kill-slots")
    limits = (spec("tokens", 1000), spec("cost", 1000), "requests=1000/total")
    alice, bob = hosts.key(f"alice-kill-{time.time_ns()}", *limits), hosts.key(f"bob-kill-{time.time_ns()}")
    tokens, cost, requests = hosts.limits_of(alice)
    dying = [
        order(hosts.a.port, alice, "kill-slots", max_tokens=CAP, stream=n % 2 == 0) for n in range(SLOTS)
    ]
    dying += [order(hosts.a.port, alice, "kill-free", max_tokens=CAP) for _ in range(reservations - SLOTS)]
    thread = threading.Thread(target=volley, args=(dying, 60.0))
    thread.start()
    eventually(lambda: _held(hosts, tokens) == reservations * TOKENS, 20, "all reservations")
    on_b = Client(hosts.b, bob)
    told = Kill(
        reservations,
        held_before=hosts.count(tokens).held,
        slots_before=sum(hosts.slots().values()),
        full_before=on_b.chat("kill-slots").status == 429,
    )
    killed = time.monotonic()
    [worker] = workers(hosts.a)
    os.kill(worker, signal.SIGKILL)
    if hurry:
        _end_lease(hosts, reservations)
    eventually(lambda: on_b.chat("kill-slots").status == 200, 60, "a free slot")
    told.slot_free_after = round(time.monotonic() - killed, 1)
    eventually(lambda: _held(hosts, tokens) + _held(hosts, cost) == 0, 60, "held = 0")
    told.held_free_after = round(time.monotonic() - killed, 1)
    thread.join()
    eventually(lambda: not hosts.slots(), 10, "all slots")
    told.slots_after = sum(hosts.slots().values())
    eventually(lambda: len(_of_key(hosts, alice)) >= reservations, 30, "rows of the dead worker")
    _judge_kill(hosts, told, alice, (tokens, cost, requests))
    return told


def _judge_kill(hosts: Hosts, told: Kill, key: str, limits: tuple[Held, Held, Held]) -> None:
    rows = _of_key(hosts, key)
    told.interrupted = sum(row["status"] == "interrupted" for row in rows)
    told.inexact = sum(
        (row["prompt_tokens"], row["completion_tokens"], row["cost_nano"]) != (PROMPT, CAP, COST)
        or not row["estimated"]
        for row in rows
    )
    tokens, cost, requests = limits
    told.tokens = (hosts.count(tokens).spent, tokens.sum(rows))
    told.cost = (hosts.count(cost).spent, cost.sum(rows))
    told.requests = (hosts.count(requests).spent, requests.sum(rows))


def _held(hosts: Hosts, held: Held) -> int:
    return hosts.counts().get(held.counter, Count(0, 0, 0)).held


def _of_key(hosts: Hosts, key: str) -> list[Row]:
    with psycopg.connect(hosts.database) as connection:
        found = connection.execute("SELECT count(*) FROM usage_attempt WHERE strpos(%s, key_id) > 0", [key])
        if found.fetchone() == (0,):
            return []
    return [row for row in hosts.rows() if row["key_id"] in key]


def _end_lease(hosts: Hosts, tickets: int) -> None:
    with hosts.client() as client:
        names = client.zrange("sy:workers", 0, -1)
        [dead] = [name for name in names if client.scard(b"sy:w:" + name) == tickets]
        client.zadd("sy:workers", {dead: 1})


# --- one limit refuses -------------------------------------------------------------------------


@dataclass
class Refusals:
    """`consumed`: counters, slots and names that differ after the refusals of a case."""

    times: int
    cases: int = 0
    refused: int = 0
    rows: int = 0
    consumed: list[str] = field(default_factory=list)


GENEROUS = ("requests=100000/day", "tokens=1G/total", "cost=1000/month", "parallel=500", "requests=100k/hour")
# case -> model, limits that are reached, whether a stream stays open meanwhile
CASES: dict[str, tuple[str, tuple[str, ...], bool]] = {
    "requests of the key": ("refused", ("requests=2/total",), False),
    "tokens of the key": ("refused", (f"tokens={2 * TOKENS - 1}/total",), False),
    "cost of the key": ("refused", (f"cost={(2 * COST - 1) / 10**9:.9f}/total",), False),
    "parallel of the key": ("refused", ("parallel=1",), True),
    "model on the key": ("refused", ("requests=2/hour@refused",), False),
    "team": ("refused", (), False),
    "everyone": ("everyone", (), False),
    "deployment": ("deployment", (), False),
    "slots": ("one-slot", (), True),
    "end users": ("refused", (), False),
}


def refusals(hosts: Hosts, times: int) -> Refusals:
    """One limit of many is reached; then all further requests, at both hosts, must consume nothing."""
    told = Refusals(times)
    hosts.upstream.behave(Behaviour(prompt_tokens=PROMPT, tokens=CAP), model=None)
    for case, (model, reached, streams) in CASES.items():
        name = f"alice-{case.replace(' ', '-')}-{time.time_ns()}"
        key = hosts.key(name, *GENEROUS, *reached, team="red" if case == "team" else "")
        if case == "end users":
            hosts.change_key(name, max_end_users=1)
        with _reached(hosts, key, model, streams=streams):
            before = _everything(hosts)
            answers = crowd(both(hosts, key, model, times, max_tokens=CAP, user=f"bob-{case}"), 8)
            after = _everything(hosts)
        told.cases += 1
        told.refused += sum(answer.status == 429 for answer in answers)
        told.consumed += [
            f"{case}: {name}" for name in before.keys() | after.keys() if before.get(name) != after.get(name)
        ]
    told.rows = _refused_rows(hosts, told.cases * times)
    return told


@contextmanager
def _reached(hosts: Hosts, key: str, model: str, *, streams: bool) -> Iterator[None]:
    """Use a key until a limit is reached, by its two first requests or by a stream that goes on."""
    client = Client(hosts.a, key)
    if streams:
        hosts.upstream.behave(Behaviour(tokens=10_000, delay=0.05), model=model)
        with client.open(model, messages=HELLO, stream=True, max_tokens=CAP, user="alice") as line:
            line.read_until(b'"w0 "')
            yield
        hosts.upstream.behave(Behaviour(), model=model)
        eventually(lambda: hosts.held() == 0, 10, "the stream to end")
        return
    for _ in range(2):
        client.chat(model, messages=HELLO, max_tokens=CAP, user="alice")
    eventually(lambda: hosts.held() == 0, 10, "all to be settled")
    yield


def _everything(hosts: Hosts) -> dict[str, object]:
    """All that counts: counters, slots, tickets, and how many names are known."""
    found: dict[str, object] = {**hosts.counts(), "tickets": hosts.open_tickets()}
    found |= {f"slot {id}": taken for id, taken in hosts.slots().items()}
    with hosts.client() as client:
        found |= {name.decode(): client.scard(name) for name in client.scan_iter("sy:m:*", count=1000)}
    return found


def _refused_rows(hosts: Hosts, count: int) -> int:
    """Rows of refusals whose numbers are all 0, once there are so many."""
    query = (
        "SELECT count(*) FROM usage_attempt WHERE status = 'refused' AND end_user LIKE 'bob-%' "
        "AND prompt_tokens + completion_tokens + cost_nano = 0"
    )

    def found() -> int:
        with psycopg.connect(hosts.database) as connection:
            return int((connection.execute(query).fetchone() or (0,))[0])

    eventually(lambda: found() >= count, 10, "rows of refusals")
    return found()
