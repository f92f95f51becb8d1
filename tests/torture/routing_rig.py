"""Two hosts between clients and providers, of which some are bad as their upstream model is told."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import product

import psycopg

from tests.gateway_process import Entry, Row
from tests.torture.crowd import Answer, Order, order
from tests.torture.hosts import Hosts, entry
from tests.torture.hosts import hosts as made
from tests.torture.rig import eventually
from tests.upstream import Upstream, refused_port

IDLE = 2.0
TIMEOUTS = {"IDLE_TIMEOUT": f"{IDLE:g}", "FIRST_BYTE_TIMEOUT": "4", "TOTAL_TIMEOUT": "4"}
SILENT_FOR = 1.0  # of a provider that hangs before its headers
SLOTS = 10
STORM = "storm"
BAD_OF_THREE = ("refuses", "resets", "503", "hangs")
PAIRS = 34


def bad(model: str) -> str:
    """The upstream model of the deployment of three that is bad."""
    return f"bad-{model}"


def _entries(upstream: Upstream, spare: Upstream, refused: int) -> Iterator[Entry]:
    for case, number in product(BAD_OF_THREE, range(4)):
        model = f"three-{case}-{number}"
        base = f"http://127.0.0.1:{refused}/v1" if case == "refuses" else upstream.url
        yield entry(model, base, bad(model), timeout=SILENT_FOR)
        yield entry(model, spare.url, f"second-{model}")
        yield entry(model, spare.url, f"third-{model}")
    for number in range(3):
        yield entry(STORM, upstream.url, f"{STORM}-{number}")
    for number in range(PAIRS):
        yield entry(pair(number), upstream.url, order=1)
        yield entry(pair(number), spare.url, order=2)
    for number in range(8):
        yield entry(f"alone-{number}", upstream.url)
    for number in range(4):
        yield entry(f"even-{number}", upstream.url)
        yield entry(f"even-{number}", spare.url)
    for name in ("short", "short-alone"):  # a second deployment of the same would not do better
        yield entry(name, upstream.url, order=1)
        yield entry(name, spare.url, f"second-{name}", order=2)
    yield entry("large", spare.url)
    yield entry("slots", upstream.url, max_parallel_requests=SLOTS)


def pair(number: int) -> str:
    """A model with a first deployment on `upstream` and a second one, of a further tier, on `spare`."""
    return f"pair-{number}"


_PREPARE = """
from providers.models import Fallback, Model
short, large = (Model.objects.get(name=name) for name in ("short", "large"))
Fallback.objects.create(model=short, to=large, on=Fallback.On.CONTEXT_WINDOW)
"""


class Models:
    """Models that no scenario of this run has used yet."""

    def __init__(self) -> None:
        self._next: Counter[str] = Counter()

    def take(self, kind: str) -> str:
        """`pair`; `alone`: one deployment; `even`: two in one tier; `three-CASE`: three, one of them bad."""
        name = f"{kind}-{self._next[kind]}"
        self._next[kind] += 1
        return name


@contextmanager
def routing_hosts(database: str) -> Iterator[Hosts]:
    """Everything started on this empty database, and ended with the block."""
    with refused_port() as port:

        def entries(upstream: Upstream, spare: Upstream) -> Iterable[Entry]:
            return _entries(upstream, spare, port)

        with made(database, entries, _PREPARE, TIMEOUTS) as running:
            yield running


def mixed(hosts: Hosts, key: str, model: str, count: int, **fields: object) -> list[Order]:
    """Requests that go to the two hosts in turn, and every second pair of them is a stream."""
    return [
        order(hosts.ports[number % 2], key, model, stream=number % 4 > 1, **fields) for number in range(count)
    ]


def streams(hosts: Hosts, key: str, model: str, count: int) -> list[Order]:
    return [order(hosts.ports[number % 2], key, model, stream=True) for number in range(count)]


def wholes(hosts: Hosts, key: str, model: str, count: int) -> list[Order]:
    return [order(hosts.ports[number % 2], key, model) for number in range(count)]


def rows_of(hosts: Hosts, models: Sequence[str], requests: int) -> list[Row]:
    """The rows of these models, in order, once so many requests have theirs and no more come."""

    def count() -> tuple[int, int]:
        query = "SELECT count(DISTINCT request_id), count(*) FROM usage_attempt WHERE model = ANY(%s)"
        with psycopg.connect(hosts.database) as connection:
            found = connection.execute(query, [list(models)]).fetchone()
        assert found, "counts are one row"
        return found[0], found[1]

    eventually(lambda: count()[0] >= requests, 20, f"rows of {requests} requests for {models}")
    before = (0, 0)
    while (now := count()) != before:
        before = now
        time.sleep(0.5)
    return [row for row in hosts.rows() if row["model"] in models]


def requests_of(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Request -> its attempts, in order."""
    found: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: row["attempt_number"]):
        found.setdefault(row["request_id"], []).append(row)
    return found


def failures(answers: Iterable[Answer]) -> dict[str, int]:
    """What clients got in place of a whole answer: "status code" -> how often."""
    return dict(Counter(_told(answer) for answer in answers if not answer.whole))


def _told(answer: Answer) -> str:
    return "cut" if answer.status == 200 else f"{answer.status} {answer.code}".strip()
