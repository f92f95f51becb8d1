"""What tests may ask for: real PostgreSQL, Redis and Chromium, and a place for long tests' numbers."""

import json
import os
import signal
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from tests import services
from tests.gateway_process import migrate

# Who starts the tests in the background of a shell has it ignored, and so would all that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

TORTURE_RESULTS = Path(__file__).resolve().parent.parent / "var" / "torture"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first: at the end of a run all processes but one would wait for them."""
    items.sort(key=lambda item: item.get_closest_marker("early") is None)


@pytest.fixture(scope="session")
def _own_services() -> Iterator[None]:
    services.sweep()
    yield
    services.sweep()


@pytest.fixture(scope="session")
def postgres(_own_services: None) -> Iterator[services.Postgres]:
    """A PostgreSQL server of this test process alone, which a test may stop, kill and start again."""
    server = services.Postgres()
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def redis_server(_own_services: None) -> Iterator[services.Redis]:
    """A Redis server of this test process alone, which a test may stop, kill and start again."""
    server = services.Redis()
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def _postgres_base(request: pytest.FixtureRequest) -> str:
    given = os.environ.get("TEST_DATABASE_URL")
    return given or str(request.getfixturevalue("postgres").url("postgres"))


@pytest.fixture(scope="session")
def postgres_url(_postgres_base: str) -> Iterator[str]:
    """The URL of an empty database that the tests of this process share."""
    yield from _database(_postgres_base, f"switchyard_test_{services.worker_name()}_{uuid.uuid4().hex[:8]}")


@pytest.fixture
def postgres_database(_postgres_base: str) -> Iterator[str]:
    """The URL of an empty database of this test alone."""
    yield from _database(_postgres_base, f"switchyard_test_{uuid.uuid4().hex[:12]}")


@pytest.fixture(scope="session")
def _postgres_template(_postgres_base: str) -> Iterator[str]:
    """The name of a migrated database that is copied: to migrate takes many times as long."""
    name = f"switchyard_test_{services.worker_name()}_{uuid.uuid4().hex[:8]}_migrated"
    for url in _database(_postgres_base, name):
        migrate(url)
        yield name


@pytest.fixture
def migrated_postgres(_postgres_base: str, _postgres_template: str) -> Iterator[str]:
    """The URL of an empty migrated database of this test alone."""
    yield from _database(_postgres_base, f"switchyard_test_{uuid.uuid4().hex[:12]}", _postgres_template)


@pytest.fixture(scope="session")
def redis_url(request: pytest.FixtureRequest) -> str:
    """The URL of a Redis database that the tests of this process share."""
    given = os.environ.get("TEST_REDIS_URL")
    if not given:
        return str(request.getfixturevalue("redis_server").url)
    digits = "".join(filter(str.isdigit, services.worker_name()))
    return urlunsplit(urlsplit(given)._replace(path=f"/{(int(digits or 0) + 1) % 16}"))


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium that Playwright can start: `launch(executable_path=chromium)`."""
    return services.chromium()


@pytest.fixture
def torture_result(request: pytest.FixtureRequest) -> Callable[[dict[str, object]], None]:
    """Writes the numbers of a long test to `var/torture/<name of the test>.json`."""
    name = request.node.name.removeprefix("test_")

    def write(numbers: dict[str, object]) -> None:
        TORTURE_RESULTS.mkdir(parents=True, exist_ok=True)
        (TORTURE_RESULTS / f"{name}.json").write_text(json.dumps(numbers, indent=2) + "\n")

    return write


def _database(base: str, name: str, template: str = "template1") -> Iterator[str]:
    names = sql.Identifier(name), sql.Identifier(template)
    _administer(base, sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*names))
    yield urlunsplit(urlsplit(base)._replace(path=f"/{name}"))
    _administer(base, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _administer(base: str, statement: sql.Composed) -> None:
    with psycopg.connect(base, autocommit=True) as connection:
        connection.execute(statement)
