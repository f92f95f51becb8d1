"""Sums stay right when their worker is killed, and quick when there are many attempts."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from celery import Celery
from django.core.management import call_command
from django.db import connection

from bench import attempts
from tests.usage.conftest import connected_to, wait_until
from tests.usage.rows import settled
from tests.usage.tallies import NOON, by_day, by_hour, days, hours
from usage import ledger
from usage.models import DailyUsage, DirtyHour, HourlyUsage
from usage.records import Settled
from usage.rollup import roll_up

pytestmark = pytest.mark.postgres
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def database(postgres_database: str, django_db_blocker: Any) -> Iterator[str]:
    with django_db_blocker.unblock(), connected_to(postgres_database) as url:
        call_command("migrate", verbosity=0)
        yield url


@pytest.mark.redis
def test_a_worker_killed_in_mid_roll_up(database: str, redis_url: str, tmp_path: Path) -> None:
    _kill_workers(database, redis_url, tmp_path, kills=1, rows_a_time=300, span=6)


@pytest.mark.redis
@pytest.mark.torture
@pytest.mark.timeout(900)
def test_workers_killed_in_mid_roll_up_many_times(
    database: str, redis_url: str, tmp_path: Path, torture_result: Callable[[dict[str, object]], None]
) -> None:
    torture_result(_kill_workers(database, redis_url, tmp_path, kills=30, rows_a_time=3000, span=72))


def test_sums_and_exports_of_many_attempts(database: str) -> None:
    found = attempts.measure(database, rows=20_000, days=3, hour_rows=2_000)
    _judge(found)


@pytest.mark.torture
@pytest.mark.timeout(7200)
def test_sums_and_exports_of_ten_million_attempts(
    database: str, torture_result: Callable[[dict[str, object]], None]
) -> None:
    found = attempts.measure(database, rows=10_000_000, days=90, hour_rows=20_000)
    torture_result(found)
    _judge(found)


def _judge(found: dict[str, Any]) -> None:
    assert found["new_hour_roll_up_seconds"] <= 2
    assert found["day_export"]["rows"] == found["rows_of_last_day"]
    assert found["day_export"]["peak_mb"] - found["hour_export"]["peak_mb"] <= 16
    assert found["drift"] == []


def _kill_workers(
    url: str, redis_url: str, data: Path, *, kills: int, rows_a_time: int, span: int
) -> dict[str, object]:
    """With rows of `span` hours. Every second time it is between the sums of hours and those of days."""
    dice = random.Random(7)
    rows: list[Settled] = []
    halfway = 0
    for number in range(kills):
        some = _rows(dice, rows_a_time, span)
        ledger.write(some)
        rows += some
        with _worker(url, redis_url, data) as kill:
            _ask(redis_url)
            if number % 2 == 0:
                with _days_held(url):
                    wait_until(lambda: _is_waiting(url), 60)
                    kill()
                    halfway += 1
            else:
                wait_until(lambda: _sessions(url) > 0, 60)
                time.sleep(dice.uniform(0, 1))
                kill()
        wait_until(lambda: _sessions(url) == 0, 60)
        _nothing_is_wrong(rows)
    with _worker(url, redis_url, data):
        _ask(redis_url, times=3)
        wait_until(lambda: not DirtyHour.objects.exists(), 120)
    assert (hours(), days()) == (by_hour(rows), by_day(rows))
    _ten_more_times()
    return {"kills": kills, "killed_before_the_days": halfway, "rows": len(rows), "drift": 0}


def _rows(dice: random.Random, count: int, span: int) -> list[Settled]:
    """Of the same hours each time, so that these get late rows again and again."""
    return [
        settled(
            f"key-{dice.randrange(20)}",
            at=NOON + timedelta(minutes=dice.randrange(span * 60)),
            end_user=f"user-{dice.randrange(50)}",
            cost_nano=dice.randrange(10**9),
            ttft_ms=dice.choice([None, 30]),
        )
        for _ in range(count)
    ]


def _nothing_is_wrong(rows: list[Settled]) -> None:
    """Hours without a mark have the sums of their rows, and days those of their hours."""
    dirty = set(DirtyHour.objects.values_list("hour", flat=True))
    clean = [row for row in rows if ledger.hour_of(row.attempt_id) not in dirty]
    assert {bucket: sums for bucket, sums in hours().items() if bucket[0] not in dirty} == by_hour(clean)
    assert _per_day(HourlyUsage.objects.values_list("hour", "requests", "cost_nano")) == _per_day(
        DailyUsage.objects.values_list("day", "requests", "cost_nano")
    )


def _per_day(found: Any) -> dict[object, list[int]]:
    totals: dict[object, list[int]] = {}
    for when, requests, cost in found:
        total = totals.setdefault(when.date() if isinstance(when, datetime) else when, [0, 0])
        total[0] += requests
        total[1] += cost
    return totals


def _ten_more_times() -> None:
    before = [list(model.objects.order_by("pk").values_list()) for model in (HourlyUsage, DailyUsage)]
    for _ in range(10):
        ledger.mark([row.hour for row in HourlyUsage.objects.order_by("hour").distinct("hour")])
        assert roll_up() > 0
    assert [list(model.objects.order_by("pk").values_list()) for model in (HourlyUsage, DailyUsage)] == before


@contextmanager
def _worker(url: str, redis_url: str, data: Path) -> Iterator[Callable[[], None]]:
    """A Celery worker with its children; what is yielded kills them all at once."""
    command = [sys.executable, "-m", "celery", "-A", "gateway.celery", "--quiet", "worker", "-c", "3"]
    environment = {
        **os.environ,
        "DATABASE_URL": url,
        "REDIS_URL": redis_url,
        "SWITCHYARD_DATA": str(data),
        "SECRET_KEY": "tests",
    }
    with (data / "worker.log").open("ab") as log:
        worker = subprocess.Popen(
            command, cwd=ROOT, env=environment, stderr=log, stdout=log, start_new_session=True
        )

    def kill() -> None:
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()

    try:
        yield kill
    finally:
        if worker.poll() is None:
            kill()


def _ask(redis_url: str, times: int = 1) -> None:
    with Celery(broker=redis_url) as app:
        for _ in range(times):
            app.send_task("usage.tasks.roll_up")


@contextmanager
def _days_held(url: str) -> Iterator[None]:
    """Nobody can write a day's sums meanwhile: who makes an hour's gets no further."""
    with psycopg.connect(url) as session:
        session.execute("LOCK TABLE usage_dailyusage IN EXCLUSIVE MODE")
        yield


def _is_waiting(url: str) -> bool:
    return _count(url, "wait_event_type = 'Lock' AND query LIKE 'INSERT INTO usage_dailyusage%%'") > 0


def _sessions(url: str) -> int:
    """Of workers; the server may still have some of a killed one."""
    connection.close()
    return _count(url, "TRUE")


def _count(url: str, condition: str) -> int:
    with psycopg.connect(url) as session:
        found = session.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            f"AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND {condition}"
        ).fetchone()
    assert found is not None, "a count"
    return int(found[0])
