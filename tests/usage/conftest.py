"""Both databases for the tests of the ledger, committed for real: its threads and children see them too."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import environ
import pytest
from django.core.management import call_command
from django.db import connection, connections

from keys.models import ApiKey, EndUser, Limit, Team
from tests.gateway_process import migrated
from usage.models import Attempt, DailyUsage, DirtyHour, DroppedHour, HourlyUsage, Rerating

_SQLITE = {
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
}
_POSTGRES = {"connect_timeout": 3, "options": "-c statement_timeout=30000"}


@contextmanager
def connected_to(url: str) -> Iterator[str]:
    """Every new connection of this process, in all threads, goes to the database of this URL."""
    config = environ.Env.db_url_config(url)
    config["OPTIONS"] = dict(_SQLITE if url.startswith("sqlite") else _POSTGRES)
    before = connections.settings["default"]
    connections.settings["default"] = connections.configure_settings({"default": config})["default"]
    held = connections["default"] if hasattr(connections._connections, "default") else None  # type: ignore[attr-defined]
    if held is not None:
        del connections["default"]
    try:
        yield url
    finally:
        connections["default"].close()
        connections.settings["default"] = before
        del connections["default"]
        if held is not None:
            connections["default"] = held


@pytest.fixture(scope="session")
def sqlite_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{shutil.copy(migrated(), tmp_path_factory.mktemp('ledger'))}"


@pytest.fixture(scope="session")
def migrated_postgres_url(postgres_url: str, django_db_blocker: Any) -> str:
    with django_db_blocker.unblock(), connected_to(postgres_url):
        call_command("migrate", verbosity=0)
    return postgres_url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def ledger_db(request: pytest.FixtureRequest, django_db_blocker: Any) -> Iterator[str]:
    """An empty ledger, once on SQLite and once on PostgreSQL; the URL of its database."""
    name = "sqlite_url" if request.param == "sqlite" else "migrated_postgres_url"
    with django_db_blocker.unblock(), connected_to(request.getfixturevalue(name)) as url:
        empty()
        yield url


@pytest.fixture
def sqlite_ledger(sqlite_url: str, django_db_blocker: Any) -> Iterator[str]:
    """An empty ledger on SQLite, where the database makes no difference."""
    with django_db_blocker.unblock(), connected_to(sqlite_url) as url:
        empty()
        yield url


@pytest.fixture
def postgres_ledger(migrated_postgres_url: str, django_db_blocker: Any) -> Iterator[str]:
    """An empty ledger on PostgreSQL."""
    with django_db_blocker.unblock(), connected_to(migrated_postgres_url) as url:
        empty()
        yield url


def empty() -> None:
    for model in (Attempt, HourlyUsage, DailyUsage, DirtyHour, DroppedHour, Rerating):
        model.objects.all().delete()
    for table in (Limit, ApiKey, Team, EndUser):
        table.objects.all().delete()


@pytest.fixture
def journal_root(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def eventually() -> Callable[..., None]:
    return wait_until


def wait_until(holds: Callable[[], bool], seconds: float = 5.0) -> None:
    """Return when it holds; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.02)


def ids_in_ledger() -> list[str]:
    connection.ensure_connection()
    return [str(found) for found in Attempt.objects.order_by("attempt_id").values_list("pk", flat=True)]
