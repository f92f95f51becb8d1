"""On PostgreSQL an attempt lands in the partition of its month, which is made when it is missing."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime

import pytest
from django.db import connection, connections

from tests.usage.rows import settled
from usage import ledger, retention
from usage.models import Attempt, HourlyUsage
from usage.partitions import ensure_partitions, months_from
from usage.records import Settled
from usage.rollup import roll_up
from usage.tasks import make_partitions

pytestmark = pytest.mark.postgres
LONG_AGO = datetime(2019, 2, 28, 23, 59, 59, tzinfo=UTC)


def _partition_of(row: Settled) -> str:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tableoid::regclass::text FROM usage_attempt WHERE attempt_id = %s", [row.attempt_id]
        )
        (name,) = cursor.fetchone()
    return str(name)


def _drop(*months: str) -> None:
    with connection.cursor() as cursor:
        for month in months:
            cursor.execute(f"DROP TABLE IF EXISTS usage_attempt_{month}")


def _partitions() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'usage_attempt'::regclass"
        )
        return {name for (name,) in cursor.fetchall()}


def test_a_migrated_database_has_this_month_and_the_next_three(postgres_ledger: str) -> None:
    months = months_from(datetime.now(UTC).date(), 4)
    assert {f"usage_attempt_{month:%Y_%m}" for month in months} <= _partitions()


def test_a_row_of_this_month_lands_in_this_months_partition(postgres_ledger: str) -> None:
    row = settled()
    ledger.write([row])
    assert _partition_of(row) == f"usage_attempt_{datetime.now(UTC):%Y_%m}"


def test_the_partition_of_an_unknown_month_is_made(postgres_ledger: str) -> None:
    _drop("2019_02")
    row = settled(at=LONG_AGO)
    ledger.write([row])
    assert _partition_of(row) == "usage_attempt_2019_02"


def test_a_partition_that_was_dropped_since_is_made_again(postgres_ledger: str) -> None:
    ledger.write([settled(at=LONG_AGO)])
    _drop("2019_02")
    ledger.write([settled(at=LONG_AGO)])
    assert Attempt.objects.count() == 1


def test_workers_that_find_the_same_month_missing_make_it_once(postgres_ledger: str) -> None:
    _drop("2018_01", "2018_02")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(_ensure_apart, [[date(2018, 1, 1), date(2018, 2, 1)]] * 4))
    assert {"usage_attempt_2018_01", "usage_attempt_2018_02"} <= _partitions()


def test_making_a_partition_waits_for_no_reader(postgres_ledger: str) -> None:
    _drop("2018_03")
    with ThreadPoolExecutor(1) as pool, connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT count(*) FROM usage_attempt")
        pool.submit(_ensure_apart, [date(2018, 3, 1)]).result(timeout=5)
        cursor.execute("ROLLBACK")
    assert "usage_attempt_2018_03" in _partitions()


def test_a_partition_has_the_indexes_of_its_table(postgres_ledger: str) -> None:
    ensure_partitions([date(2018, 4, 1)])
    with connection.cursor() as cursor:
        cursor.execute("SELECT indexdef FROM pg_indexes WHERE tablename = 'usage_attempt_2018_04'")
        columns = sorted(definition.split("btree ")[1] for (definition,) in cursor.fetchall())
    odd = "(attempt_id) WHERE (NOT ((anomaly)::text = ''::text))"
    chat = "(chat_id, attempt_id) WHERE (chat_id IS NOT NULL)"
    plain = ["(key_id, attempt_id)", "(model, attempt_id)", "(request_id)"]
    assert columns == ["(attempt_id)", odd, chat, *plain]


def test_the_task_that_makes_partitions_ahead_may_run_again(postgres_ledger: str) -> None:
    before = _partitions()
    make_partitions()
    assert _partitions() == before


def test_a_month_that_retention_drops_while_a_row_is_written_takes_the_row(
    postgres_ledger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure_partitions([LONG_AGO.date().replace(day=1)])
    with ThreadPoolExecutor(1) as pool:

        def slowly(months: list[date]) -> None:
            ensure_partitions(months)
            pool.submit(_drop_apart)
            time.sleep(0.5)

        monkeypatch.setattr("usage.partitions.ensure_partitions", slowly)
        ledger.write([settled(at=LONG_AGO)])
    roll_up()
    assert HourlyUsage.objects.get().requests == 1


def _drop_apart() -> None:
    try:
        retention.apply(retention.Keep(attempt_days=100, hour_days=0))
    finally:
        connections.close_all()


def _ensure_apart(months: list[date]) -> None:
    try:
        ensure_partitions(months)
    finally:
        connections.close_all()
