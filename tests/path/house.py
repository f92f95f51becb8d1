"""A gateway with a PostgreSQL of its own behind a proxy: it may stop, fall silent, and come back."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import msgspec
import psycopg

from keys.tokens import generate
from providers.copies import Head, Kind
from tests.gateway_process import Entry, Gateway, config_of
from tests.path.client import Client
from tests.services import Postgres
from tests.torture.postgres_proxy import PostgresProxy
from tests.upstream import Upstream

# What is promised of a start without the database, and of its return.
PROMISED = 10.0
# A key that nobody made.
STRANGER = generate()


@dataclass(frozen=True)
class House:
    """`stranger` has a key that nobody made."""

    gateway: Gateway
    server: Postgres
    proxy: PostgresProxy
    upstream: Upstream

    @property
    def stranger(self) -> Client:
        return Client(self.gateway, STRANGER)

    def client(self, name: str, *options: str) -> Client:
        return Client(self.gateway, self.gateway.create_key(name, *options))

    def shell(self, code: str) -> None:
        """Run this in Django, as an operator's command would."""
        self.gateway.manage("shell", "--no-imports", "-c", code)

    def disable(self, name: str) -> None:
        self.shell(
            f"from keys.models import ApiKey; key = ApiKey.objects.get(name={name!r}); "
            "key.enabled = False; key.save()"
        )

    def head(self, kind: Kind) -> Head | None:
        """What the copy of this kind says of itself."""
        try:
            line = (self.gateway.data / "copies" / kind).read_bytes().partition(b"\n")[0]
        except FileNotFoundError:
            return None
        return msgspec.json.decode(line, type=Head)

    def copied(self) -> bool:
        """Whether the copies know all that the database knows now."""
        keys, configuration = self.head("keys"), self.head("configuration")
        with psycopg.connect(self.server.url("postgres")) as connection:
            (change,) = connection.execute("SELECT max(id) FROM keys_keychange").fetchone() or (0,)
            (version,) = connection.execute("SELECT number FROM providers_configversion").fetchone() or (0,)
        return bool(keys and configuration and change in keys.seen and configuration.version == version)

    def is_away(self) -> bool:
        """Whether the gateway says that its database is."""
        return bool(self.stranger.get("/health/ready").json.get("database") == "away")


def until(holds: Callable[[], bool], what: str, within: float = PROMISED) -> float:
    """Seconds until it held."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < within, f"not within {within} s: {what}"
        time.sleep(0.05)
    return time.monotonic() - began


@contextmanager
def house(models: Iterable[str], env: Mapping[str, str] | None = None) -> Iterator[House]:
    """Everything started, and ended with the block."""
    server = Postgres()
    server.start()
    try:
        with Upstream() as upstream, PostgresProxy(server.port) as proxy:
            parts = urlsplit(server.url("postgres"))
            url = urlunsplit(parts._replace(netloc=f"{parts.username}@127.0.0.1:{proxy.port}"))
            config = config_of(Entry(name, upstream.url) for name in models)
            with Gateway(config, {"DATABASE_URL": url, **(env or {})}) as gateway:
                yield House(gateway, server, proxy, upstream)
    finally:
        server.stop()
