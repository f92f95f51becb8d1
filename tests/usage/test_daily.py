"""Days are the sums of their hours, and say the same as the rows at every moment."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta, timezone

from django.db import connections
from django.test import override_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.usage.conftest import empty
from tests.usage.rows import settled
from tests.usage.tallies import NOON, by_day, by_hour, days, hours, rows_of_two_days
from usage import ledger
from usage.ids import first_uuid7
from usage.models import Attempt, DailyUsage, DirtyHour
from usage.records import Settled
from usage.rollup import roll_up

MIDNIGHT = NOON + timedelta(hours=12)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=rows_of_two_days, data=st.data())
def test_hours_and_days_are_the_sums_of_rows_that_come_late_twice_and_in_any_order(
    ledger_db: str, rows: list[Settled], data: st.DataObject
) -> None:
    empty()
    delivered = data.draw(st.permutations([*rows, *rows]))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(delivered)), max_size=3)))
    for start, end in zip([0, *cuts], [*cuts, len(delivered)], strict=True):
        ledger.write(delivered[start:end])
        roll_up()
        assert _of_days(hours()) == _of_days(days())
    assert hours() == by_hour(rows)
    assert days() == by_day(rows)


def test_a_day_begins_and_ends_at_midnight_in_utc(ledger_db: str) -> None:
    rows = [settled(at=MIDNIGHT - timedelta(milliseconds=1)), settled(attempt_id=first_uuid7(MIDNIGHT))]
    ledger.write(rows)
    with override_settings(TIME_ZONE="Asia/Tokyo"):
        roll_up()
    assert sorted(DailyUsage.objects.values_list("day", "requests")) == [
        (date(2026, 11, 3), 1),
        (date(2026, 11, 4), 1),
    ]


def test_an_hour_of_another_time_zone_is_in_the_same_day(ledger_db: str) -> None:
    tokyo = timezone(timedelta(hours=9))
    row = settled(at=datetime(2026, 11, 4, 8, 30, tzinfo=tokyo))
    ledger.write([row])
    roll_up()
    assert DailyUsage.objects.get().day == date(2026, 11, 3)


def test_a_late_row_is_in_its_day_as_soon_as_it_is_in_its_hour(ledger_db: str) -> None:
    ledger.write([settled(at=NOON)])
    roll_up()
    ledger.write([settled(at=NOON - timedelta(hours=5))])
    roll_up()
    assert DailyUsage.objects.get().requests == 2


def test_what_vanishes_from_an_hour_vanishes_from_its_day(ledger_db: str) -> None:
    kept, gone = settled("alice", at=NOON), settled("bob", at=NOON)
    ledger.write([kept, gone])
    roll_up()
    Attempt.objects.filter(attempt_id=gone.attempt_id).delete()
    DirtyHour.objects.create(hour=NOON)
    roll_up()
    assert days() == by_day([kept])


def test_workers_at_different_hours_of_one_day_forget_none_of_them(ledger_db: str) -> None:
    rows = [
        settled(f"key-{number % 5}", at=MIDNIGHT + timedelta(minutes=number)) for number in range(0, 1440, 5)
    ]
    ledger.write(rows)
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(_roll_up_apart, range(4)))
    assert sum(made) == 24
    assert days() == by_day(rows)


def _of_days(tally: dict[tuple[object, ...], dict[str, int]]) -> dict[tuple[object, ...], Counter[str]]:
    """Sums of hours or days by day."""
    found: dict[tuple[object, ...], Counter[str]] = {}
    for (when, *names), sums in tally.items():
        day = when.date() if isinstance(when, datetime) else when
        found.setdefault((day, *names), Counter()).update(sums)
    return found


def _roll_up_apart(_: int) -> int:
    try:
        return roll_up()
    finally:
        connections.close_all()
