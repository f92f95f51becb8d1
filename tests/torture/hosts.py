"""Two gateways as two hosts: data of their own, one PostgreSQL and one Redis, which a test may stop."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
import psycopg
from redis import Redis as Plain

from tests.gateway_process import Entry, Gateway, Row, config_of
from tests.services import Redis
from tests.upstream import Upstream

PROMPT_DOLLARS, OUTPUT_DOLLARS = 150, 600  # nano-dollars a token
PRICES = {"input_cost_per_token": 0.00000015, "output_cost_per_token": 0.0000006}
_OPEN = 1  # the state of a ticket; others are marks of what ended, and go by themselves
# What changed is known to every worker within two seconds.
KNOWN_EVERYWHERE = 2.0


@dataclass(frozen=True, slots=True)
class Count:
    """A counter as Redis has it. `flying`: open tickets that have something of it."""

    epoch: int
    spent: int
    held: int
    flying: int = 0

    @property
    def used(self) -> int:
        return self.spent + self.held


@dataclass(frozen=True, slots=True)
class Held:
    """A limit by its counter, and which rows it counts; "" does not narrow."""

    counter: str
    metric: str
    amount: int
    window: str
    key_id: str
    team: str
    model: str
    deployment: str

    def counts(self, row: Row) -> bool:
        wanted = (("key_id", self.key_id), ("team", self.team), ("model", self.model))
        named = (*wanted, ("deployment", self.deployment))
        return all(not value or row[name] == value for name, value in named)

    def sum(self, rows: Iterable[Row]) -> int:
        """What the rows say was used; requests without their retries, but at a deployment each attempt."""
        today = datetime.now(UTC).date().isoformat() if self.window == "day" else ""
        mine = [
            row
            for row in rows
            if row["status"] not in ("refused", "cached")
            and self.counts(row)
            and row["started_at"].startswith(today)
        ]
        if self.metric == "requests":
            return sum(bool(self.deployment) or row["attempt_number"] == 1 for row in mine)
        if self.metric == "tokens":
            return sum(row["prompt_tokens"] + row["completion_tokens"] for row in mine)
        return sum(row["cost_nano"] for row in mine)


_TELL = """
import json
from keys.entries import rule_of
from keys.models import Limit
rules = [rule_of(limit) for limit in Limit.objects.filter(each_end_user=False).order_by("pk")]
print(json.dumps([
    dict(counter=r.demand.counter, metric=r.metric, amount=r.amount, window=r.window, key_id=r.scope.key_id,
         team=r.scope.team, model=r.scope.model, deployment=r.scope.deployment)
    for r in rules
]))
"""


@dataclass(frozen=True)
class Hosts:
    """The parts. `a` has imported the configuration; `spare` is the provider of second deployments."""

    a: Gateway
    b: Gateway
    upstream: Upstream
    spare: Upstream
    redis: Redis
    database: str

    @property
    def ports(self) -> tuple[int, int]:
        return self.a.port, self.b.port

    def key(self, name: str, *limits: str, team: str = "") -> str:
        options = [word for limit in limits for word in ("--limit", limit)]
        return self.a.create_key(name, *options, *(["--team", team] if team else []))

    def shell(self, code: str) -> str:
        return self.a.manage("shell", "--no-imports", "-c", code)

    def change_key(self, name: str, **fields: object) -> None:
        """Of a key that nobody has used yet."""
        self.shell(
            f"from keys.models import ApiKey; ApiKey.objects.filter(name={name!r}).update(**{fields!r})"
        )

    def limits(self) -> list[Held]:
        """All that are not for each end user apart."""
        return [Held(**row) for row in json.loads(self.shell(_TELL))]

    def limits_of(self, key: str) -> list[Held]:
        """The key's own, in the order of `create_key`."""
        return [held for held in self.limits() if held.key_id and held.key_id in key]

    def count(self, held: Held) -> Count:
        found = self.counts().get(held.counter)
        assert found is not None, f"nothing was counted of {held}"
        return found

    def counts(self) -> dict[str, Count]:
        """Every counter that Redis has now."""
        with self.client() as client:
            names = list(client.scan_iter("sy:c:*", count=1000))
            values = client.mget(names) if names else []
        found = zip(names, values, strict=True)
        return {name.decode()[5:]: _count(value) for name, value in found if value is not None}

    def slots(self) -> dict[str, int]:
        """Slots in use, by the deployment's id."""
        with self.client() as client:
            return {name.decode()[5:]: int(client.get(name) or 0) for name in client.scan_iter("sy:s:*")}

    def open_tickets(self) -> int:
        """Admitted requests that have not ended, as far as Redis knows."""
        with self.client() as client:
            names = list(client.scan_iter("sy:t:*", count=1000))
            values = client.mget(names) if names else []
        return sum(msgspec.msgpack.decode(value)[0] == _OPEN for value in values if value is not None)

    def client(self) -> Plain:
        """A plain client of the Redis that the gateways count in."""
        return Plain.from_url(self.redis.url, socket_timeout=5)

    def signal_redis(self, how: signal.Signals) -> None:
        os.kill(self.redis.pid, how)

    def rows(self) -> list[Row]:
        """All usage, as `export_usage` tells it, each row with its `attempt_number`."""
        rows = self.a.exported()
        with psycopg.connect(self.database) as connection:
            found = connection.execute("SELECT attempt_id::text, attempt_number FROM usage_attempt")
            numbers: dict[str, int] = dict(found.fetchall())
        return [row | {"attempt_number": numbers[row["attempt_id"]]} for row in rows]

    def drift(self, limits: Sequence[Held], rows: Sequence[Row]) -> dict[str, int]:
        """Limit -> spent beyond what the rows say, where the two differ."""
        counts = self.counts()
        found = {}
        for held in limits:
            spent = counts[held.counter].spent if held.counter in counts else 0
            if spent != held.sum(rows):
                found[f"{held.counter} {held.metric}/{held.window} of {_of(held)}"] = spent - held.sum(rows)
        return found

    def drift_free_after(self, limits: Sequence[Held], seconds: float) -> tuple[float, dict[str, int]]:
        """Seconds until every counter was the sum of its rows, or the drift that stayed."""
        begun = time.monotonic()
        while drift := self.drift(limits, self.rows()):
            if time.monotonic() - begun > seconds:
                break
            time.sleep(0.3)
        return round(time.monotonic() - begun, 1), drift

    def held(self) -> int:
        """What is held of all counters and slots together."""
        return sum(count.held for count in self.counts().values()) + sum(self.slots().values())


def _of(held: Held) -> str:
    return held.key_id or held.team or held.deployment or held.model or "everyone"


def _count(value: bytes) -> Count:
    epoch, spent, held, _, _, flying, *_ = msgspec.msgpack.decode(value)
    return Count(int(epoch), int(spent), int(held), int(flying))


def entry(model: str, base: str, upstream_model: str = "", **params: object) -> Entry:
    """A priced deployment."""
    return Entry(model, base, upstream_model, PRICES | params)


@contextmanager
def hosts(
    database: str,
    entries: Callable[[Upstream, Upstream], Iterable[Entry]],
    prepare: str,
    env: dict[str, str] | None = None,
) -> Iterator[Hosts]:
    """Everything started on this empty database, and ended with the block; `prepare` runs in Django."""
    server = Redis()
    server.start()
    try:
        with Upstream("a") as upstream, Upstream("b") as spare:
            given = {"DATABASE_URL": database, "REDIS_URL": server.url, **(env or {})}
            with Gateway(config_of(entries(upstream, spare)), given) as a:
                if prepare:
                    a.manage("shell", "--no-imports", "-c", prepare)
                known = time.monotonic() + KNOWN_EVERYWHERE
                with Gateway("", given) as b:
                    time.sleep(max(0.0, known - time.monotonic()))
                    yield Hosts(a, b, upstream, spare, server, database)
    finally:
        server.stop()
