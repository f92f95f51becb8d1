"""The servers that tests lean on: they come back after a crash, and never outlive the tests."""

import signal
import subprocess
import sys
import time

import psycopg
import pytest
import redis

from tests import services

ORPHAN = """
import os, signal
from tests import services
server = services.{server}()
server.start()
print(server.port, server.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def _answers(url: str) -> int:
    with psycopg.connect(url, connect_timeout=2) as connection:
        row = connection.execute("SELECT 1").fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.postgres
def test_postgresql_stops_and_starts_with_its_data(postgres: services.Postgres, postgres_url: str) -> None:
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (id int)")
    postgres.stop()
    with pytest.raises(psycopg.OperationalError):
        _answers(postgres.url("postgres"))
    postgres.start()
    with psycopg.connect(postgres.url("postgres")) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)


@pytest.mark.postgres
def test_postgresql_comes_back_after_a_kill(postgres: services.Postgres) -> None:
    postgres.kill()
    postgres.start()
    assert _answers(postgres.url("postgres")) == 1


@pytest.mark.postgres
def test_a_test_gets_an_empty_database_of_its_own(postgres_database: str, postgres_url: str) -> None:
    assert postgres_database != postgres_url
    with psycopg.connect(postgres_database) as connection:
        tables = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        assert tables.fetchone() == (0,)


@pytest.mark.redis
def test_redis_stops_and_starts_empty(redis_server: services.Redis) -> None:
    client = redis.Redis.from_url(redis_server.url)
    client.set("colour", "blue")
    redis_server.stop()
    with pytest.raises(redis.ConnectionError):
        client.ping()
    redis_server.start()
    assert client.get("colour") is None
    client.close()


@pytest.mark.postgres
@pytest.mark.redis
@pytest.mark.parametrize("server", ["Postgres", "Redis"])
def test_a_server_dies_with_a_killed_test_process(
    server: str, postgres: services.Postgres, redis_server: services.Redis
) -> None:
    child = subprocess.run(
        [sys.executable, "-c", ORPHAN.format(server=server)], capture_output=True, text=True, timeout=60
    )
    assert child.returncode == -signal.SIGKILL
    _, pid = child.stdout.split()
    deadline = time.monotonic() + 10
    while services._is_alive(int(pid)):
        assert time.monotonic() < deadline, f"{server} outlived the tests"
        time.sleep(0.05)


def test_a_missing_server_fails_on_ci_and_is_skipped_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="Redis"):
        services.Redis()
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception, match="NOT TESTED: Redis"):
        services.Redis()
