"""A gateway on real PostgreSQL and Redis between clients and a provider that keeps its own list."""

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

from tests.gateway_process import Entry, Gateway, Row, config_of
from tests.path.client import Client, Reply
from tests.torture.postgres_proxy import PostgresProxy
from tests.upstream import NAMED, Seen, Upstream

# Models of one scenario each, so that several can share a rig.
MODELS = ("kills", "outage", "silence", "cuts", "leaves", "probe", "odd")
DOLLARS = {"input_cost_per_token": 0.00000015, "output_cost_per_token": 0.0000006}


@dataclass(frozen=True)
class Rig:
    """The parts; `database` is PostgreSQL's own URL, the gateway goes through `proxy`."""

    gateway: Gateway
    upstream: Upstream
    proxy: PostgresProxy
    database: str

    def client(self, name: str, *limits: str) -> Client:
        options = [word for limit in limits for word in ("--limit", limit)]
        return Client(self.gateway, self.gateway.create_key(name, *options))

    def rows(self, model: str) -> list[Row]:
        """This model's rows as `export_usage` has them now."""
        return [row for row in self.gateway.exported() if row["model"] == model]

    def count(self, model: str) -> int:
        with psycopg.connect(self.database) as connection:
            found = connection.execute("SELECT count(*) FROM usage_attempt WHERE model = %s", [model])
            (count,) = found.fetchone() or (0,)
        return int(count)

    def rows_of(self, model: str, count: int, seconds: float = 20.0) -> list[Row]:
        """The rows once there are `count`, or after so many seconds whatever is there; and a moment more."""
        deadline = time.monotonic() + seconds
        while self.count(model) < count and time.monotonic() < deadline:
            time.sleep(0.2)
        time.sleep(3.0)
        return self.rows(model)

    def served(self, model: str) -> list[Seen]:
        return self.upstream.log(model)


@contextmanager
def rig(postgres: str, redis: str) -> Iterator[Rig]:
    """Everything started on this empty database, and ended with the block."""
    port = urlsplit(postgres).port
    assert port, "the tests' servers have one"
    with Upstream() as upstream, PostgresProxy(port) as proxy:
        entries = [Entry(name, upstream.url, params=DOLLARS) for name in (*MODELS, *NAMED)]
        env = {"DATABASE_URL": _through(postgres, proxy.port), "REDIS_URL": redis}
        with Gateway(config_of(entries), env) as gateway:
            yield Rig(gateway, upstream, proxy, postgres)


def _through(url: str, port: int) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{parts.username}@127.0.0.1:{port}"))


# --- processes ---------------------------------------------------------------------------------


def processes(gateway: Gateway) -> dict[int, int]:
    """Process -> parent, of the gateway's group."""
    assert gateway.process, "it runs"
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(") ")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[2]) == gateway.process.pid and fields[0] != "Z":
            found[int(stat.parent.name)] = int(fields[1])
    return found


def workers(gateway: Gateway) -> list[int]:
    """serve -> gunicorn's arbiter -> these."""
    assert gateway.process, "it runs"
    parents = processes(gateway)
    arbiters = {pid for pid, parent in parents.items() if parent == gateway.process.pid}
    return [pid for pid, parent in parents.items() if parent in arbiters]


def grow(gateway: Gateway) -> None:
    """Have gunicorn start a second worker, as an operator may with SIGTTIN."""
    assert gateway.process, "it runs"
    arbiter = next(pid for pid, parent in processes(gateway).items() if parent == gateway.process.pid)
    os.kill(arbiter, signal.SIGTTIN)
    eventually(lambda: len(workers(gateway)) == 2, 30, "two workers")


def memory_mb(gateway: Gateway) -> float:
    """Resident memory of the whole group."""
    pages = 0
    for pid in processes(gateway):
        try:
            pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


# --- asking ------------------------------------------------------------------------------------


def ask(client: Client, model: str, *, stream: bool) -> Reply | None:
    """One request, once it finds someone to listen; None when its connection died."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return client.chat(model, stream=stream)
        except ConnectionRefusedError:
            assert time.monotonic() < deadline, "nobody listens"
            time.sleep(0.02)
        except (OSError, HTTPException):
            return None


def whole(reply: Reply | None, *, stream: bool) -> bool:
    """Whether the client got all of a good answer."""
    if reply is None or reply.cut or reply.status != 200:
        return False
    return reply.body.endswith(b"data: [DONE]\n\n") if stream else reply.body.endswith(b"}")


def eventually(holds: Callable[[], bool], seconds: float, what: str) -> float:
    """Seconds until it held. AssertionError when it never does."""
    begun = time.monotonic()
    while not holds():
        assert time.monotonic() - begun < seconds, f"not within {seconds} s: {what}"
        time.sleep(0.02)
    return time.monotonic() - begun


def doubled(rows: Sequence[Row]) -> int:
    """Rows beyond the first of one attempt, or of one request as the provider numbers them."""
    attempts = [row["attempt_id"] for row in rows]
    numbers = [row["upstream_request_id"] for row in rows if row["upstream_request_id"]]
    return len(attempts) - len(set(attempts)) + len(numbers) - len(set(numbers))
