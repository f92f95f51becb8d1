"""Hourly sums are those of the rows, in whatever order, and however often they are made."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from random import Random

import pytest
from django.db import connection, connections
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.usage.conftest import empty
from tests.usage.rows import settled
from tests.usage.tallies import NOON, by_hour, hours, rows_of_two_days
from usage import ledger, rollup, tasks
from usage.ids import first_uuid7
from usage.models import Attempt, DirtyHour, HourlyUsage
from usage.records import Settled
from usage.rollup import roll_up


def _whole() -> list[tuple[object, ...]]:
    return list(HourlyUsage.objects.order_by("pk").values_list())


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=rows_of_two_days, data=st.data())
def test_sums_are_those_of_the_rows_in_whatever_order_they_come(
    ledger_db: str, rows: list[Settled], data: st.DataObject
) -> None:
    empty()
    shuffled = data.draw(st.permutations(rows))
    cut = data.draw(st.integers(0, len(rows)))
    for batch in (shuffled[:cut], shuffled[cut:]):
        ledger.write(batch)
        roll_up()
    assert hours() == by_hour(rows)
    assert DirtyHour.objects.count() == 0


def test_only_hours_that_changed_are_made_again(ledger_db: str) -> None:
    ledger.write([settled(at=NOON), settled(at=NOON + timedelta(hours=1))])
    assert roll_up() == 2
    assert roll_up() == 0
    ledger.write([settled(at=NOON)])
    assert roll_up() == 1


def test_making_the_sums_again_changes_nothing(ledger_db: str) -> None:
    ledger.write([settled(key, at=NOON) for key in ("alice", "bob", "alice")])
    roll_up()
    before = _whole()
    for _ in range(3):
        DirtyHour.objects.create(hour=NOON)
        tasks.roll_up()
    assert _whole() == before


def test_the_same_task_three_times_at_once_makes_the_same_sums(ledger_db: str) -> None:
    rows = [settled(f"key-{number % 7}", at=NOON + timedelta(minutes=number)) for number in range(300)]
    ledger.write(rows)
    with ThreadPoolExecutor(3) as pool:
        made = list(pool.map(_roll_up_apart, range(3)))
    assert sum(made) == 5
    assert hours() == by_hour(rows)


def test_sums_made_while_rows_arrive_are_right_in_the_end(ledger_db: str) -> None:
    rows = [settled(at=NOON) for _ in range(400)]
    with ThreadPoolExecutor(3) as pool:
        written = pool.submit(_write_apart, rows)
        while not written.done():
            list(pool.map(_roll_up_apart, range(2)))
        written.result()
    roll_up()
    assert hours() == by_hour(rows)
    assert DirtyHour.objects.count() == 0


def test_a_row_that_comes_late_is_counted_in_its_own_hour(ledger_db: str) -> None:
    early, late = settled(at=NOON + timedelta(hours=5)), settled(at=NOON)
    ledger.write([early])
    roll_up()
    ledger.write([late])
    roll_up()
    assert hours() == by_hour([early, late])


def test_a_mark_set_during_the_roll_up_stays(ledger_db: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = settled(at=NOON), settled(at=NOON)
    ledger.write([first])
    summing = rollup.put_hour

    def interrupted(hour: datetime) -> None:
        summing(hour)
        ledger.write([second])

    monkeypatch.setattr(rollup, "put_hour", interrupted)
    roll_up()
    monkeypatch.undo()
    assert DirtyHour.objects.count() == 1
    roll_up()
    assert hours() == by_hour([first, second])


def test_sums_of_rows_that_are_gone_go_too(ledger_db: str) -> None:
    kept, gone = settled("alice", at=NOON), settled("bob", at=NOON)
    ledger.write([kept, gone])
    roll_up()
    Attempt.objects.filter(attempt_id=gone.attempt_id).delete()
    DirtyHour.objects.create(hour=NOON)
    roll_up()
    assert hours() == by_hour([kept])


def test_an_hour_begins_and_ends_on_the_millisecond(ledger_db: str) -> None:
    moments = [NOON - timedelta(milliseconds=1), NOON, NOON + timedelta(milliseconds=3_599_999)]
    rows = [settled(at=moment) for moment in moments]
    rows.append(settled(attempt_id=first_uuid7(NOON + timedelta(hours=1))))
    ledger.write(rows)
    roll_up()
    assert [sums["requests"] for _, sums in sorted(hours().items())] == [1, 2, 1]


def test_an_hour_that_cannot_be_summed_keeps_no_other_from_it(ledger_db: str) -> None:
    rows = [settled("alice", at=NOON), settled("bob", at=NOON - timedelta(hours=1))]
    ledger.write(rows)
    too_much = [settled(at=NOON + timedelta(hours=1)) for _ in range(3)]
    ledger.write(too_much)
    Attempt.objects.filter(pk__in=[row.attempt_id for row in too_much]).update(prompt_tokens=2**62)
    assert roll_up() == 2
    assert hours() == by_hour(rows)
    assert DirtyHour.objects.get().hour == NOON + timedelta(hours=1)


def test_the_newest_hour_comes_first_and_what_takes_too_long_comes_next_time(ledger_db: str) -> None:
    rows = [settled(at=NOON + timedelta(hours=number)) for number in range(3)]
    ledger.write(rows)
    assert roll_up(within=-1) == 0
    DirtyHour.objects.filter(hour=NOON).delete()
    assert roll_up() == 2
    assert hours() == by_hour(rows[1:])


def test_the_longest_names_of_all_get_their_sums(ledger_db: str) -> None:
    longest = {
        "key": 120,
        "key_id": 40,
        "team": 120,
        "end_user": 256,
        "model": 200,
        "deployment": 300,
        "task": 64,
    }
    random = Random(5)
    names = {
        name: "".join(chr(random.randint(0x10000, 0x1FFFF)) for _ in range(size))
        for name, size in longest.items()
    }
    row = settled(at=NOON, **names)
    ledger.write([row])
    assert roll_up() == 1
    assert hours() == by_hour([row])


def test_names_that_read_alike_in_a_row_are_kept_apart(ledger_db: str) -> None:
    pairs = [("a:1", "b"), ("a", "1:b"), ("a1:b", ""), ("", "a1:b"), ("a\x1f", "b"), ("a", "\x1fb")]
    rows = [settled(at=NOON, end_user=user, team=team) for team, user in pairs]
    ledger.write(rows)
    roll_up()
    assert HourlyUsage.objects.count() == len(pairs)
    assert hours() == by_hour(rows)


@pytest.mark.postgres
def test_sums_that_are_right_are_not_written_again(postgres_ledger: str) -> None:
    ledger.write([settled(at=NOON), settled("bob", at=NOON)])
    roll_up()
    before = _versions()
    ledger.write([settled("bob", at=NOON)])
    roll_up()
    assert [old == new for old, new in zip(before, _versions(), strict=True)] == [True, False, True, False]


def _versions() -> list[str]:
    """Where PostgreSQL keeps each row of Alice's and Bob's hour and day: a written row moves."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT xmin FROM (SELECT 1 AS place, key, xmin FROM usage_hourlyusage "
            "UNION ALL SELECT 2, key, xmin FROM usage_dailyusage) AS found ORDER BY place, key"
        )
        return [str(version) for (version,) in cursor.fetchall()]


def test_money_is_summed_to_the_nano(ledger_db: str) -> None:
    ledger.write([settled(at=NOON, cost_nano=10**15 - number) for number in range(1000)])
    roll_up()
    assert HourlyUsage.objects.get().cost_nano == 1000 * 10**15 - 499_500


def _roll_up_apart(_: int) -> int:
    try:
        return roll_up()
    finally:
        connections.close_all()


def _write_apart(rows: list[Settled]) -> None:
    try:
        for start in range(0, len(rows), 20):
            ledger.write(rows[start : start + 20])
    finally:
        connections.close_all()
