"""Every kind of request against every kind of fault: whatever happened, counters are what rows say."""

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.gateway_process import Entry
from tests.torture.crowd import Answer, Order, crowd, order
from tests.torture.hosts import Hosts, entry
from tests.torture.hosts import hosts as made
from tests.torture.rig import eventually
from tests.upstream import BEFORE_HEADERS, Behaviour, Upstream, error, refused_port

TIMEOUTS = {"FIRST_BYTE_TIMEOUT": "1", "IDLE_TIMEOUT": "1", "TOTAL_TIMEOUT": "2"}
GOOD = Behaviour(tokens=10, delay=0.002)
_FAILED = 'data: {"error":{"message":"overloaded","code":503}}\n\n'
FAULTS: dict[str, Behaviour] = {
    "refused": GOOD,  # nobody listens at its address
    "reset": Behaviour(fault="reset", fault_after=BEFORE_HEADERS),
    "reset-midway": Behaviour(fault="reset", fault_after=4, delay=0.002),
    "closed": Behaviour(fault="close", fault_after=BEFORE_HEADERS),
    "closed-midway": Behaviour(fault="close", fault_after=4, framing="close"),
    "cut-midway": Behaviour(fault="close", fault_after=4),
    "hangs": Behaviour(fault="hang", fault_after=BEFORE_HEADERS),
    "hangs-midway": Behaviour(fault="hang", fault_after=4),
    "only-comments": Behaviour(fault="comments", fault_after=0, delay=0.05),
    "500": error(500),
    "502-html": error(502, "<html>bad gateway</html>"),
    "503": error(503, headers=[("retry-after", "1")]),
    "529": error(529),
    "429": error(429, headers=[("retry-after", "1")]),
    "408": error(408),
    "401": error(401),
    "404": error(404),
    "400": error(400),
    "422": error(422),
    "redirect": error(302, headers=[("location", "http://127.0.0.1:9/")]),
    "error-in-200": error(200, {"error": {"message": "overloaded", "code": 503}}),
    "html-in-200": error(200, "<html>hello</html>"),
    "empty": error(200, ""),
    "no-choices": error(200, {"choices": []}),
    "truncated": Behaviour(tokens=10, truncate=5),
    "error-first": Behaviour(first=_FAILED, tokens=0),
    "no-usage": Behaviour(tokens=10, usage="none"),
    "negative-usage": Behaviour(tokens=10, usage="negative"),
    "usage-as-text": Behaviour(tokens=10, usage="text"),
    "usage-twice": Behaviour(tokens=10, usage="twice"),
    "absurd-usage": Behaviour(tokens=10, usage="none", chunk={"usage": {"prompt_tokens": 2**70}}),
    "stops-midway": Behaviour(tokens=10, finish=None, done=False, usage="none"),
    "talks-on": Behaviour(tokens=10, after_done='data: {"choices":[]}\n\n'),
    "stray-bytes": Behaviour(tokens=10, stray="HTTP/1.1 200 OK\r\n\r\n"),
    "dies-on-reuse": Behaviour(tokens=10, dies_on_reuse=True),
    "slow": Behaviour(tokens=20, delay=0.02, head_delay=0.05),
    "big": Behaviour(tokens=3, big=100_000),
}
# Of these every second model has a second deployment, at a provider that is well.
PAIRED = set(list(FAULTS)[::2]) | {"dies-on-reuse", "reset", "hangs", "429"}


@contextmanager
def mixed_hosts(database: str) -> Iterator[Hosts]:
    """Two hosts with a model for each fault, and limits for a team, for everyone and for all deployments."""
    with (
        refused_port() as nobody,
        made(database, lambda a, b: _entries(a, b, nobody), _PREPARE, TIMEOUTS) as hosts,
    ):
        yield hosts


def _entries(upstream: Upstream, spare: Upstream, nobody: int) -> Iterable[Entry]:
    for name in FAULTS:
        base = f"http://127.0.0.1:{nobody}/v1" if name == "refused" else upstream.url
        yield entry(name, base, order=1)
        if name in PAIRED:
            yield entry(name, spare.url, "ok", order=2)


_PREPARE = """
from keys.models import Limit, Team
from providers.models import Deployment, Model
most = 10**12
red = Team.objects.create(name="red")
for metric, window in (("requests", "total"), ("tokens", "day"), ("cost", "total")):
    Limit.objects.create(team=red, metric=metric, amount=most, window=window)
    Limit.objects.create(metric=metric, amount=most, window=window)
for number, model in enumerate(Model.objects.all()):
    metric = ("requests", "tokens", "cost")[number % 3]
    Limit.objects.create(model=model, metric=metric, amount=most, window=("day", "total")[number % 2])
for deployment in Deployment.objects.all():
    for metric, window in (("requests", "total"), ("tokens", "total"), ("cost", "day")):
        Limit.objects.create(deployment=deployment, metric=metric, amount=most, window=window)
"""


def _keys(hosts: Hosts, requests: int) -> list[str]:
    """Of keys with many limits; about a third run into one of them on the way."""
    share = requests // 8
    wide = ("requests=1M/total", "requests=1M/day", "tokens=1G/total", "tokens=1G/day", "cost=1000/total")
    rolling = ("requests=1M/minute", "tokens=100M/minute", "cost=1000/hour")
    stamp = time.time_ns()

    def key(name: str, *limits: str, team: str = "") -> str:
        return hosts.key(f"{name}-{stamp}", *limits, team=team)

    return [
        key("alice", *wide, *rolling, team="red"),
        key("bob", *wide, "cost=1000/day", team="red"),
        key("carol", *rolling, "tokens=1G/total@no-usage", "requests=1M/day@reset"),
        key("dave", *wide, "parallel=4"),
        key("erin", *wide, f"requests={share // 2}/total", team="red"),
        key("frank", *wide, f"tokens={share * 15}/day"),
        key("grace", *wide, f"cost={share * 4e-6:.9f}/total"),
        key("heidi", *wide, f"requests={max(1, share // 40)}/minute", "parallel=500"),
    ]


def _orders(hosts: Hosts, requests: int, dice: random.Random) -> Iterator[Order]:
    keys, models = _keys(hosts, requests), list(FAULTS)
    for number in range(requests):
        fields: dict[str, object] = {"stream": dice.random() < 0.5}
        if dice.random() < 0.7:
            fields["max_tokens"] = dice.choice((1, 20, 64, 500))
        if dice.random() < 0.1:
            fields["n"] = 2
        if dice.random() < 0.3:
            fields["user"] = f"user-{dice.randrange(20)}"
        made = order(hosts.ports[number % 2], dice.choice(keys), dice.choice(models), **fields)
        yield _leaving(made, dice)


def _leaving(made: Order, dice: random.Random) -> Order:
    chance = dice.random()
    if chance < 0.1:
        return Order(made.port, made.key, made.body, leaves_after=dice.random() * 0.05)
    if chance < 0.2:
        return Order(made.port, made.key, made.body, leaves_at=dice.choice((b'"w1 "', b"data:", b"HTTP")))
    return made


@dataclass
class Mix:
    """`held_free_after`: seconds until nothing was held. `flying_left`: counters that wait for a ticket.

    `drift`: counters that are not their rows; `exact_after`: seconds until none differed, `drift_at_last`:
    those that still did. `beyond`: limits of requests that were passed. `refused_rows`: what clients were
    told, and the rows of it.
    """

    requests: int
    faults: int
    statuses: dict[str, int] = field(default_factory=dict)
    left: int = 0
    seconds: float = 0.0
    stops: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    retries: int = 0
    limits: int = 0
    tickets_left: int = 0
    flying_left: dict[str, int] = field(default_factory=dict)
    held_free_after: float = 0.0
    drift: dict[str, int] = field(default_factory=dict)
    exact_after: float = 0.0
    drift_at_last: dict[str, int] = field(default_factory=dict)
    beyond: dict[str, int] = field(default_factory=dict)
    refused_rows: tuple[int, int] = (0, 0)


def mix(hosts: Hosts, requests: int, most: int, *, stopping: float = 0.0, seed: int = 1) -> Mix:
    """So many requests, `most` at a time, of which a fifth is left by its client.

    Redis stops once a second for `stopping` seconds.
    """
    dice = random.Random(seed)
    _misbehave(hosts, requests, dice)
    told = Mix(requests, len(FAULTS))
    begun = time.monotonic()
    with _stopping(hosts, stopping, told):
        answers = crowd(_orders(hosts, requests, dice), most)
    told.seconds = round(time.monotonic() - begun, 1)
    told.held_free_after = round(eventually(lambda: hosts.held() == 0, 90, "held = 0"), 1)
    told.statuses = dict(sorted(Counter(str(a.status) for a in answers if not a.left).items()))
    told.left = sum(answer.left for answer in answers)
    _judge(hosts, told, answers)
    return told


@contextmanager
def _stopping(hosts: Hosts, seconds: float, told: Mix) -> Iterator[None]:
    over = threading.Event()

    def stop_and_go() -> None:
        while seconds and not over.wait(1.0):
            hosts.signal_redis(signal.SIGSTOP)
            time.sleep(seconds)
            hosts.signal_redis(signal.SIGCONT)
            told.stops += 1

    thread = threading.Thread(target=stop_and_go)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _misbehave(hosts: Hosts, requests: int, dice: random.Random) -> None:
    """Three of five requests of a model meet its fault."""
    hosts.spare.behave(GOOD)
    for name, fault in FAULTS.items():
        some = [fault if dice.random() < 0.6 else GOOD for _ in range(requests // len(FAULTS) * 2 + 10)]
        hosts.upstream.behave(*some, GOOD, model=name)


def _judge(hosts: Hosts, told: Mix, answers: list[Answer]) -> None:
    rows = _quiet(hosts.rows)
    limits = [held for held in hosts.limits() if held.window in ("day", "total")]
    told.limits = len(limits)
    told.drift = hosts.drift(limits, rows)
    told.rows = dict(sorted(Counter(row["status"] for row in rows).items()))
    told.retries = sum(row["attempt_number"] > 1 for row in rows)
    told.tickets_left = hosts.open_tickets()
    counts = hosts.counts()
    told.flying_left = {name: count.flying for name, count in counts.items() if count.flying}
    told.beyond = {
        held.counter: counts[held.counter].spent - held.amount
        for held in limits
        if held.metric == "requests" and held.counter in counts and counts[held.counter].spent > held.amount
    }
    codes = ("insufficient_quota", "rate_limit_exceeded", "deployments_full")
    refused = sum(answer.status == 429 and answer.code in codes for answer in answers if not answer.left)
    told.refused_rows = (refused, told.rows.get("refused", 0))
    told.exact_after, told.drift_at_last = hosts.drift_free_after(limits, 60)


def _quiet[T](look: Callable[[], list[T]]) -> list[T]:
    """What is there once no more came for a second."""
    found = look()
    while True:
        time.sleep(1.0)
        now = look()
        if len(now) == len(found):
            return now
        found = now
