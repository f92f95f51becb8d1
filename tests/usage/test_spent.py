"""What a limit's scope used: the same as all rows added up one by one, whatever is summed up already."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keys.limits import Scope
from tests.usage.conftest import empty
from tests.usage.rows import settled
from tests.usage.tallies import NOON, rows_of_two_days
from usage import ledger, retention, rollup
from usage.ids import unix_ms
from usage.models import HourlyUsage
from usage.records import Settled
from usage.spent import Spent, by_model_and_day, named_end_users, recent, spent

SCOPES = [
    Scope(),
    Scope(key_id="id-alice"),
    Scope(team="readers"),
    Scope(end_user="u"),
    Scope(end_user=""),
    Scope(deployment="llm-a"),
    Scope(key_id="id-bob", model="llm", end_user="ü"),
    Scope(model="other"),
]


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_PAUSE", 0)


def matches(scope: Scope, row: Settled) -> bool:
    wanted = {
        "key_id": scope.key_id,
        "team": scope.team,
        "model": scope.model,
        "deployment": scope.deployment,
    }
    named = all(not value or getattr(row, name) == value for name, value in wanted.items())
    return named and scope.end_user in (None, row.end_user) and row.status not in ("refused", "cached")


def added_up(rows: Iterable[Settled], scope: Scope, since: datetime | None) -> Spent:
    found = [
        row
        for row in rows
        if matches(scope, row) and (since is None or unix_ms(row.attempt_id) >= since.timestamp() * 1000)
    ]
    return Spent(
        sum(row.attempt_number == 1 or bool(scope.deployment) for row in found),
        sum(row.prompt_tokens + row.completion_tokens for row in found),
        sum(row.cost_nano for row in found),
    )


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=rows_of_two_days,
    summed=st.integers(0, 12),
    minutes=st.none() | st.integers(-60, 25 * 60) | st.sampled_from([0, 60, 720, 12 * 60 + 330]),
)
def test_it_is_what_the_rows_add_up_to(
    ledger_db: str, rows: list[Settled], summed: int, minutes: int | None
) -> None:
    empty()
    ledger.write(rows[:summed])
    rollup.roll_up()
    ledger.write(rows[summed:])
    since = None if minutes is None else NOON + timedelta(minutes=minutes)
    for scope in SCOPES:
        assert spent(scope, since) == added_up(rows, scope, since), scope


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=rows_of_two_days, data=st.data())
def test_it_is_what_all_rows_ever_add_up_to_whichever_of_them_retention_removed(
    ledger_db: str, rows: list[Settled], data: st.DataObject
) -> None:
    empty()
    removals = {
        "remove rows": (retention.Keep(30, 400), NOON + timedelta(days=30.5)),
        "remove all rows": (retention.Keep(30, 400), NOON + timedelta(days=366)),
        "remove hours": (retention.Keep(30, 60), NOON + timedelta(days=366)),
    }
    for row in rows:
        ledger.write([row])
        match data.draw(st.sampled_from(["write", "roll up", *removals])):
            case "roll up":
                rollup.roll_up()
            case str() as removal if removal in removals:
                retention.apply(*removals[removal])
    midnight = NOON.replace(hour=0)
    for scope in SCOPES:
        for since in (None, midnight):
            assert spent(scope, since) == added_up(rows, scope, since), (scope, since)
    assert spent(Scope(), midnight + timedelta(days=2)) == Spent()


def test_where_only_sums_are_left_the_hour_or_day_of_the_beginning_counts_whole(ledger_db: str) -> None:
    ledger.write([settled(at=NOON), settled(at=NOON + timedelta(hours=1))])
    retention.apply(retention.Keep(30, 400), NOON + timedelta(days=366))
    assert spent(Scope(), NOON + timedelta(minutes=30)).requests == 2
    assert spent(Scope(), NOON + timedelta(minutes=90)).requests == 1
    retention.apply(retention.Keep(30, 60), NOON + timedelta(days=366))
    assert spent(Scope(), NOON + timedelta(minutes=90)).requests == 2
    assert spent(Scope(), NOON.replace(hour=0) + timedelta(days=1)).requests == 0


def test_what_was_refused_or_cached_used_nothing(ledger_db: str) -> None:
    ledger.write([settled(status=status) for status in ("refused", "cached", "failed")])
    assert spent(Scope(), None).requests == 1
    rollup.roll_up()
    assert spent(Scope(), None).requests == 1


def test_a_retry_is_no_request_of_its_own(ledger_db: str) -> None:
    ledger.write([settled(attempt_number=number) for number in (1, 2, 3)])
    for _ in range(2):
        assert spent(Scope(), None) == Spent(1, 3 * 17, 0)
        rollup.roll_up()


def test_a_retry_is_a_request_to_the_deployment_that_it_went_to(ledger_db: str) -> None:
    ledger.write([settled(attempt_number=number) for number in (1, 2)])
    since_ms = unix_ms(settled().attempt_id) - 60_000
    assert sum(bucket.requests for bucket in recent(Scope(deployment="llm-a"), since_ms, 1000)) == 2
    for _ in range(2):
        assert spent(Scope(deployment="llm-a"), None).requests == 2
        rollup.roll_up()


def test_what_retention_removed_still_counts(ledger_db: str) -> None:
    old = [settled(at=datetime(2020, 5, day, hour, 30, tzinfo=UTC)) for day in (1, 2) for hour in (0, 23)]
    ledger.write([*old, settled()])
    rollup.roll_up()
    retention.apply(retention.Keep(attempt_days=30, hour_days=60))
    assert not HourlyUsage.objects.filter(hour__year=2020).exists()
    assert spent(Scope(), None).requests == 5
    late = settled(at=datetime(2020, 5, 2, 23, 40, tzinfo=UTC))
    ledger.write([late])
    assert spent(Scope(), None).requests == 6
    rollup.roll_up()
    assert spent(Scope(), None).requests == 6
    assert spent(Scope(), datetime(2020, 5, 2, tzinfo=UTC)).requests == 4


def test_the_last_minute_comes_in_short_times(ledger_db: str) -> None:
    now = datetime(2026, 11, 3, 12, 0, 30, tzinfo=UTC)
    ms = int(now.timestamp() * 1000)

    def before(seconds: float, **values: Any) -> Settled:
        return settled(at=now - timedelta(seconds=seconds), latency_ms=0, **values)

    ledger.write(
        [
            before(61),
            before(40, prompt_tokens=100),
            before(39.999, prompt_tokens=100),
            before(10, attempt_number=2),
            before(5, status="refused"),
        ]
    )
    found = recent(Scope(key_id="id-alice"), ms - 60_000, 1000)
    assert sum(bucket.requests for bucket in found) == 2
    assert sum(bucket.tokens for bucket in found) == 105 + 105 + 17
    assert min(bucket.last_ms for bucket in found) == ms - 39_999  # both of one second
    assert all(ms - 60_000 < bucket.last_ms <= ms for bucket in found)
    assert recent(Scope(key_id="id-bob"), ms - 60_000, 1000) == []


def test_tokens_count_when_an_answer_ended(ledger_db: str) -> None:
    now = datetime(2026, 11, 3, 12, 0, 30, tzinfo=UTC)
    ledger.write([settled(at=now - timedelta(seconds=90), latency_ms=80_000)])
    [bucket] = recent(Scope(), int(now.timestamp() * 1000) - 60_000, 1000)
    assert (bucket.requests, bucket.tokens) == (0, 17)
    assert bucket.last_ms == int(now.timestamp() * 1000) - 10_000


def test_the_end_users_of_a_key_are_known_before_and_after_they_are_summed(ledger_db: str) -> None:
    ledger.write([settled(end_user=name) for name in ("u", "", "u")])
    rollup.roll_up()
    ledger.write([settled(end_user="new"), settled("bob", end_user="other")])
    assert named_end_users("id-alice") == {"u", "new"}


def test_the_key_holders_days_are_told_by_model(ledger_db: str) -> None:
    ledger.write([settled(at=NOON, cost_nano=5), settled(at=NOON + timedelta(days=1), cost_nano=6)])
    rollup.roll_up()
    ledger.write([settled(at=NOON + timedelta(days=1, minutes=1), cost_nano=7), settled("bob", at=NOON)])
    told = [
        (row.day.isoformat(), row.model, row.requests, row.tokens, row.cost_nano)
        for row in by_model_and_day("id-alice", NOON.date())
    ]
    assert told == [("2026-11-04", "llm", 2, 34, 13), ("2026-11-03", "llm", 1, 17, 5)]
    assert len(by_model_and_day("id-alice", (NOON + timedelta(days=1)).date())) == 1


@pytest.mark.parametrize("since", [NOON, NOON + timedelta(minutes=30)])
def test_a_month_is_read_from_its_sums(
    sqlite_ledger: str, since: datetime, django_assert_max_num_queries: Callable[..., object]
) -> None:
    ledger.write([settled(at=NOON + timedelta(hours=hour)) for hour in range(100)])
    rollup.roll_up()
    with django_assert_max_num_queries(2):  # type: ignore[attr-defined]
        assert spent(Scope(key_id="id-alice"), since).requests in (99, 100)


def test_many_hours_that_changed_here_and_there_count_too(ledger_db: str) -> None:
    rows = [settled(at=NOON + timedelta(hours=hour)) for hour in range(40)]
    ledger.write(rows[:30])
    rollup.roll_up()
    ledger.write(rows[30:])
    again = [settled(at=NOON + timedelta(hours=hour, minutes=1)) for hour in range(0, 30, 2)]
    ledger.write(again)
    since = NOON + timedelta(hours=3, minutes=30)
    assert spent(Scope(), since) == added_up([*rows, *again], Scope(), since)
    assert spent(Scope(), None).requests == 55


def test_every_table_is_read_by_an_index_of_its_time(sqlite_ledger: str) -> None:
    with CaptureQueriesContext(connection) as queries:
        spent(Scope(team="readers"), NOON + timedelta(minutes=30))
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {queries[-1]['sql']}")
        plan = [str(row[-1]) for row in cursor.fetchall()]
    for table in ("usage_attempt", "usage_hourlyusage", "usage_dailyusage"):
        steps = [step for step in plan if f" {table} " in step]
        assert steps, table
        assert all(step.startswith("SEARCH") for step in steps), steps


def test_it_stays_the_same_while_hours_are_summed_and_removed(ledger_db: str) -> None:
    ledger.write([settled(at=NOON + timedelta(hours=hour)) for hour in range(60)])
    with ThreadPoolExecutor(1) as pool:
        tidied = pool.submit(_tidy_apart)
        seen = {spent(Scope(), None).requests}
        while not tidied.done():
            seen.add(spent(Scope(), None).requests)
        tidied.result()
    assert seen == {60}
    assert not HourlyUsage.objects.exists()


def _tidy_apart() -> None:
    try:
        rollup.roll_up()
        retention.apply(retention.Keep(30, 60), NOON + timedelta(days=366))
    finally:
        connections.close_all()
