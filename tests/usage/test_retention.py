"""What is past its time goes, its sums stay, and what comes late is counted once."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from django.db import connection
from django.test import override_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.usage.conftest import empty
from tests.usage.rows import asked, settled
from tests.usage.tallies import NOON, by_day, by_hour, days, hours, rows_of_two_days
from usage import ledger, retention, tasks
from usage.models import Attempt, DailyUsage, DirtyHour, DroppedHour, HourlyUsage, RatedBefore, Rerating
from usage.records import Settled
from usage.retention import Keep
from usage.rollup import roll_up, roll_up_hour

YEAR_LATER = NOON + timedelta(days=366)
ROWS_ONLY = Keep(attempt_days=30, hour_days=400)
ALL = Keep(attempt_days=30, hour_days=60)


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_PAUSE", 0)


def test_rows_past_their_time_go_and_their_sums_stay(ledger_db: str) -> None:
    rows = [settled(key, at=NOON, cost_nano=7) for key in ("alice", "bob", "alice")]
    ledger.write(rows)
    retention.apply(ROWS_ONLY, YEAR_LATER)
    assert Attempt.objects.count() == 0
    assert (hours(), days()) == (by_hour(rows), by_day(rows))


def test_rows_within_their_time_stay(ledger_db: str) -> None:
    ledger.write([settled(at=NOON)])
    retention.apply(ROWS_ONLY, NOON + timedelta(days=29))
    assert Attempt.objects.count() == 1


def test_old_costs_go_with_their_rows_and_reratings_stay(
    ledger_db: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    old = [settled(at=NOON + timedelta(minutes=minute)) for minute in range(5)]
    new = settled(at=YEAR_LATER - timedelta(days=1))
    ledger.write([*old, new])
    run = Rerating.objects.create(who="alice", model="llm", since=NOON, until=YEAR_LATER, config_version=1)
    RatedBefore.objects.bulk_create(
        RatedBefore(rerating=run, attempt_id=row.attempt_id, cost_nano=3) for row in [*old, new]
    )
    retention.apply(ROWS_ONLY, YEAR_LATER)
    assert RatedBefore.objects.get().attempt_id == Attempt.objects.get().attempt_id == new.attempt_id
    assert Rerating.objects.get() == run


def test_old_costs_stay_as_long_as_their_rows(ledger_db: str) -> None:
    row = settled(at=NOON)
    ledger.write([row])
    run = Rerating.objects.create(who="alice", model="llm", since=NOON, until=YEAR_LATER, config_version=1)
    RatedBefore.objects.create(rerating=run, attempt_id=row.attempt_id, cost_nano=3)
    retention.apply(ROWS_ONLY, NOON + timedelta(days=29))
    assert RatedBefore.objects.count() == 1


@pytest.mark.parametrize("days", [0, -1, 10**9])
def test_no_number_of_days_is_for_ever(ledger_db: str, days: int) -> None:
    ledger.write([settled(at=NOON)])
    roll_up()
    retention.apply(Keep(days, days), YEAR_LATER)
    assert (Attempt.objects.count(), HourlyUsage.objects.count()) == (1, 1)


def test_rows_that_nobody_summed_yet_are_summed_before_they_go(ledger_db: str) -> None:
    rows = [settled(at=NOON + timedelta(hours=number)) for number in range(3)]
    ledger.write(rows)
    assert DirtyHour.objects.count() == 3
    retention.apply(ROWS_ONLY, YEAR_LATER)
    assert (Attempt.objects.count(), DirtyHour.objects.count()) == (0, 0)
    assert (hours(), days()) == (by_hour(rows), by_day(rows))


def test_a_row_that_comes_after_its_hour_went_is_added_to_its_sums(ledger_db: str) -> None:
    early, late, later = (settled(at=NOON, prompt_tokens=count) for count in (1, 20, 300))
    for arrived in (early, late, later):
        ledger.write([arrived])
        for _ in range(2):
            roll_up()
            DirtyHour.objects.get_or_create(hour=NOON)
        roll_up()
        retention.apply(ROWS_ONLY, YEAR_LATER)
    assert Attempt.objects.count() == 0
    assert (hours(), days()) == (by_hour([early, late, later]), by_day([early, late, later]))


def test_a_row_that_comes_after_its_hourly_sums_went_is_in_its_day(ledger_db: str) -> None:
    rows = [settled(at=NOON + timedelta(hours=number)) for number in (0, 3, 3)]
    for arrived in rows:
        ledger.write([arrived])
        roll_up()
        retention.apply(ALL, YEAR_LATER)
        assert HourlyUsage.objects.count() == 0
    assert days() == by_day(rows)
    assert set(DailyUsage.objects.values_list("pruned", flat=True)) == {True}


def test_hours_stay_as_long_as_their_rows(ledger_db: str) -> None:
    ledger.write([settled(at=NOON)])
    roll_up()
    retention.apply(Keep(attempt_days=0, hour_days=1), YEAR_LATER)
    assert (Attempt.objects.count(), HourlyUsage.objects.count()) == (1, 1)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=rows_of_two_days, data=st.data())
def test_the_sums_are_those_of_all_rows_ever_whenever_which_of_them_went(
    ledger_db: str, rows: list[Settled], data: st.DataObject
) -> None:
    empty()
    for row in rows:
        ledger.write([row])
        match data.draw(st.sampled_from(["write", "roll up", "remove rows", "remove hours"])):
            case "roll up":
                roll_up()
            case "remove rows":
                retention.apply(
                    ROWS_ONLY, data.draw(st.sampled_from([NOON + timedelta(days=30.5), YEAR_LATER]))
                )
            case "remove hours":
                retention.apply(ALL, YEAR_LATER)
    roll_up()
    assert days() == by_day(rows)


def test_sqlite_removes_an_hour_in_batches_and_is_right_between_them(
    sqlite_ledger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [settled(f"key-{number % 3}", at=NOON + timedelta(seconds=number)) for number in range(25)]
    ledger.write(rows)
    monkeypatch.setattr(retention, "BATCH", 10)
    left: list[int] = []

    def look(seconds: float) -> None:
        left.append(Attempt.objects.count())
        late = asked("late", at=NOON + timedelta(minutes=len(left))).settled()
        if len(left) == 2:
            ledger.write([late])
            rows.append(late)
            roll_up()
        assert (hours(), days()) == (by_hour(rows), by_day(rows))

    monkeypatch.setattr("usage.retention.time.sleep", look)
    retention.apply(ROWS_ONLY, YEAR_LATER)
    assert left == [15, 5, 0]


@pytest.mark.postgres
def test_postgresql_drops_months_whose_last_moment_is_past(postgres_ledger: str) -> None:
    ledger.write([settled(at=datetime(2026, month, 20, tzinfo=UTC)) for month in (9, 10)])
    retention.apply(ROWS_ONLY, datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC))
    assert _months() == {"2026_10"}
    retention.apply(ROWS_ONLY, datetime(2026, 12, 1, tzinfo=UTC))
    assert _months() == set()


@pytest.mark.postgres
def test_rows_that_come_while_a_month_is_dropped_are_not_lost(
    postgres_ledger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    early, late = settled(at=NOON), settled(at=NOON)
    ledger.write([early])

    def summed_then_late(hour: datetime) -> bool:
        summed = roll_up_hour(hour)
        ledger.write([late])
        return summed

    monkeypatch.setattr(retention, "roll_up_hour", summed_then_late)
    retention.apply(ROWS_ONLY, YEAR_LATER)
    assert Attempt.objects.count() == 2
    monkeypatch.undo()
    retention.apply(ROWS_ONLY, YEAR_LATER)
    assert Attempt.objects.count() == 0
    assert hours() == by_hour([early, late])


@pytest.mark.postgres
def test_a_reader_who_takes_long_puts_the_drop_off(
    postgres_ledger: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(retention, "_PATIENCE", "100ms")
    ledger.write([settled(at=NOON)])
    roll_up()
    with _reading(postgres_ledger):
        retention.apply(ROWS_ONLY, YEAR_LATER)
        assert Attempt.objects.count() == 1
    retention.apply(ROWS_ONLY, YEAR_LATER)
    assert Attempt.objects.count() == 0
    assert caplog.text.count("attempts_not_dropped month=2026-11-01") == 1


@pytest.mark.postgres
def test_dropping_a_month_writes_none_of_its_sums(postgres_ledger: str) -> None:
    ledger.write([settled(at=NOON)])
    retention.apply(ROWS_ONLY, YEAR_LATER)
    assert HourlyUsage.objects.get().pruned is False
    assert DroppedHour.objects.filter(hour=NOON).exists()
    ledger.write([settled(at=NOON)])
    roll_up()
    assert sorted(HourlyUsage.objects.values_list("pruned", flat=True)) == [False, True]


def test_what_takes_too_long_goes_the_next_time(ledger_db: str) -> None:
    ledger.write([settled(at=NOON)])
    retention.apply(ALL, YEAR_LATER, within=-1)
    assert Attempt.objects.count() == 1
    roll_up()
    retention.apply(ALL, YEAR_LATER)
    assert (Attempt.objects.count(), HourlyUsage.objects.count()) == (0, 0)


def test_the_task_keeps_what_the_settings_say(ledger_db: str) -> None:
    this_month, last_year = settled(), settled(at=datetime.now(UTC) - timedelta(days=365))
    ledger.write([this_month, last_year])
    with override_settings(ATTEMPT_RETENTION_DAYS=100, HOURLY_RETENTION_DAYS=100):
        tasks.apply_retention()
    assert [row.attempt_id for row in Attempt.objects.all()] == [this_month.attempt_id]
    roll_up()
    assert days() == by_day([this_month, last_year])
    assert HourlyUsage.objects.count() == 1


@contextmanager
def _reading(url: str) -> Iterator[None]:
    """Somebody reads attempts in a transaction that does not end."""
    with psycopg.connect(url) as reader:
        reader.execute("SELECT count(*) FROM usage_attempt")
        yield


def _months() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT tableoid::regclass::text FROM usage_attempt")
        return {name.removeprefix("usage_attempt_") for (name,) in cursor.fetchall()}
