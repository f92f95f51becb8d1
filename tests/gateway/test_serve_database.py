"""Serving while PostgreSQL is away, and several hosts that migrate at once."""

import signal
import sqlite3
from contextlib import closing

import psycopg
import pytest

from tests.gateway.serving import Program, until
from tests.services import Postgres

MASTER = {"SWITCHYARD_MASTER_KEY": "sk-of-the-operator"}
KEYS = "SELECT name, is_admin, source FROM keys_apikey WHERE enabled"


def rows(url: str) -> list[tuple[str, bool, str]]:
    """The enabled keys, or [] while the database or the table is not there."""
    try:
        with psycopg.connect(url, connect_timeout=2) as connection:
            return connection.execute(KEYS).fetchall()
    except (psycopg.OperationalError, psycopg.errors.UndefinedTable):
        return []


def test_the_environments_master_key_is_a_row_when_it_serves() -> None:
    with Program("manage.py", "serve", "--only", "gateway", env=MASTER) as serve:
        serve.start().ready()
        with closing(sqlite3.connect(serve.data / "var" / "switchyard.sqlite3")) as database:
            assert database.execute(KEYS).fetchall() == [("master", 1, "environment")]


@pytest.mark.postgres
def test_hosts_that_start_together_migrate_one_after_the_other(postgres_database: str) -> None:
    env = {"DATABASE_URL": postgres_database, **MASTER}
    command = ("manage.py", "serve", "--only", "gateway")
    with Program(*command, env=env) as one, Program(*command, env=env) as two:
        one.start()
        two.start()
        one.ready()
        two.ready()
        assert ("migrating the database" in one.err) != ("migrating the database" in two.err)
        assert "Traceback" not in one.err + two.err
    assert rows(postgres_database) == [("master", True, "environment")]


@pytest.mark.postgres
def test_it_serves_without_its_database_and_migrates_when_it_is_back() -> None:
    server = Postgres()
    server.start()
    url = server.url("postgres")
    server.stop()
    try:
        with Program("manage.py", "serve", "--only", "gateway", env={"DATABASE_URL": url, **MASTER}) as serve:
            serve.start().ready()
            assert "the database is away" in serve.err
            server.start()
            until(lambda: rows(url), "a migrated database with the master key")
            until(lambda: "the database is back and up to date" in serve.err, "the line that says so")
            serve.signal(signal.SIGTERM)
            assert serve.exit_code(15) == 0
    finally:
        server.stop()
