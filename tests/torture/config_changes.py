"""Changes of configuration under load: every request goes by one version, all of it.

A change gives one number to the names of provider, deployment and upstream model, to a price and to a limit.
What a request says of each must be the same number.
"""

import json
import threading
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field

import psycopg

from tests.path.house import House
from tests.torture.crowd import Answer, Load, Order, order

MODEL = "llm"
_BASE = 10**9  # the limit of requests, beyond what anybody asks
_CODE = """
import json, time
from decimal import Decimal
from keys.models import Limit
from providers.changes import ConfigVersion, change
from providers.models import Deployment, Price, Provider
told = []
for n in range({first}, {last} + 1):
    with change():
        Provider.objects.update(name=f"p-{{n}}")
        Deployment.objects.update(name=f"d-{{n}}", upstream_model=f"m-{{n}}")
        Price.objects.update(per_request=Decimal(n) / 10**6)
        Limit.objects.update(amount={base} + n)
    told.append((n, ConfigVersion.current(), time.monotonic()))
    time.sleep({pause})
print(json.dumps(told))
"""
_PREPARE = """
from providers.changes import change
from providers.models import Deployment, Price
with change():
    for deployment in Deployment.objects.all():
        Price.objects.create(deployment=deployment, effective_from="2020-01-01T00:00Z")
"""
_ROWS = (
    "SELECT request_id, attempt_id::text, deployment, provider, cost_nano, config_version FROM usage_attempt"
)


@dataclass
class Told:
    """`late`: the longest time, in seconds, for which a version was asked by after the next one was there."""

    changes: int
    requests: int = 0
    answered: int = 0
    versions_seen: int = 0
    mixed: list[str] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)
    late: float = 0.0


def changes(house: House, *, count: int, pause: float, rate: float) -> Told:
    """So many changes while requests come at this rate."""
    house.shell(_PREPARE)
    key = house.gateway.create_key("alice", "--limit", f"requests={_BASE}/day")
    commits = _change(house, 0, 0, 0.0)
    with Load(rate, lambda number: _order(house, key)) as load:
        _wait_for(load, 10)
        commits += _change(house, 1, count, pause)
        _wait_for(load, len(load.answers) + 10)
    house.gateway.usage(rows=sum(answer.status == 200 for _, answer in load.answers))
    return _judged(house, commits, [answer for _, answer in load.answers])


def _order(house: House, key: str) -> Order:
    return order(house.gateway.port, key, MODEL)


def _wait_for(load: Load, count: int) -> None:
    enough = threading.Event()
    while len(load.answers) < count:
        enough.wait(0.05)


type Commit = tuple[int, int, float]  # number, version, when on the monotonic clock


def _change(house: House, first: int, last: int, pause: float) -> list[Commit]:
    said = house.gateway.manage(
        "shell", "--no-imports", "-c", _CODE.format(first=first, last=last, pause=pause, base=_BASE)
    )
    return [(number, version, at) for number, version, at in json.loads(said)]


def _judged(house: House, commits: list[Commit], answers: list[Answer]) -> Told:
    number_of = {version: number for number, version, _ in commits}
    told = Told(changes=len(commits) - 1, requests=len(answers))
    rows = _rows(house)
    times = [at for _, _, at in commits]
    seen = set()
    for answer in answers:
        if answer.status != 200:
            code = answer.code if answer.status else "no answer"
            told.refused[code] = told.refused.get(code, 0) + 1
            continue
        told.answered += 1
        row = rows[answer.headers["x-request-id"]]
        numbers = {
            "limit": int(answer.headers["x-ratelimit-limit-requests"]) - _BASE,
            "version": number_of.get(row.version, -1),
            **row.numbers,
        }
        if len(set(numbers.values())) > 1:
            told.mixed.append(str(numbers))
            continue
        number = numbers["version"]
        seen.add(number)
        known = bisect_right(times, answer.at) - 1  # the newest that was committed when it was asked
        if known > number:
            told.late = max(told.late, answer.at - times[number + 1])
    told.versions_seen = len(seen)
    told.late = round(told.late, 2)
    return told


@dataclass(frozen=True)
class _Row:
    version: int
    numbers: Mapping[str, int]


def _rows(house: House) -> dict[str, _Row]:
    upstreams = {seen.header("x-request-id"): seen.model for seen in house.upstream.log()}
    with psycopg.connect(house.server.url("postgres")) as connection:
        found = connection.execute(_ROWS).fetchall()
    return {
        request: _Row(
            version,
            {
                "deployment": _number(deployment),
                "provider": _number(provider),
                "price": cost // 1000,
                "upstream": _number(upstreams[attempt]),
            },
        )
        for request, attempt, deployment, provider, cost, version in found
    }


def _number(name: str) -> int:
    return int(name.rpartition("-")[2]) if name[1:2] == "-" else -1
