"""Hourly sums are those of the rows, in whatever order, and however often they are made."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connections
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.usage.conftest import empty
from tests.usage.rows import settled
from usage import ledger, rollup, tasks
from usage.ids import first_uuid7
from usage.models import Attempt, DirtyHour, HourlyUsage
from usage.records import Settled
from usage.rollup import roll_up

NOON = datetime(2026, 11, 3, 12, tzinfo=UTC)
SUMS = ("requests", "prompt_tokens", "completion_tokens", "cost_nano", "latency_ms")

rows_strategy = st.lists(
    st.builds(
        lambda key, minutes, status, tokens, cost, latency: settled(
            key,
            at=NOON + timedelta(minutes=minutes),
            status=status,
            prompt_tokens=tokens,
            cost_nano=cost,
            latency_ms=latency,
        ),
        st.sampled_from(["alice", "bob"]),
        st.integers(0, 179),
        st.sampled_from(["ok", "failed"]),
        st.integers(0, 10**12),
        st.integers(0, 10**15),
        st.none() | st.integers(0, 10**6),
    ),
    max_size=12,
)


def _sums() -> dict[tuple[object, ...], tuple[int, ...]]:
    return {
        (row.hour, row.key_id, row.status): tuple(getattr(row, name) for name in SUMS)
        for row in HourlyUsage.objects.all()
    }


def _expected(rows: list[Settled]) -> dict[tuple[object, ...], tuple[int, ...]]:
    sums: dict[tuple[object, ...], Counter[str]] = {}
    for row in rows:
        bucket = sums.setdefault((ledger.hour_of(row.attempt_id), row.key_id, row.status), Counter())
        values = {name: getattr(row, name) or 0 for name in SUMS[1:]}
        bucket.update({"requests": 1, **values})
    return {bucket: tuple(found[name] for name in SUMS) for bucket, found in sums.items()}


def _whole() -> list[tuple[object, ...]]:
    return list(HourlyUsage.objects.order_by("pk").values_list())


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=rows_strategy, data=st.data())
def test_sums_are_those_of_the_rows_in_whatever_order_they_come(
    ledger_db: str, rows: list[Settled], data: st.DataObject
) -> None:
    empty()
    shuffled = data.draw(st.permutations(rows))
    cut = data.draw(st.integers(0, len(rows)))
    for batch in (shuffled[:cut], shuffled[cut:]):
        ledger.write(batch)
        roll_up()
    assert _sums() == _expected(rows)
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
    assert _sums() == _expected(rows)


def test_sums_made_while_rows_arrive_are_right_in_the_end(ledger_db: str) -> None:
    rows = [settled(at=NOON) for _ in range(400)]
    with ThreadPoolExecutor(3) as pool:
        written = pool.submit(_write_apart, rows)
        while not written.done():
            list(pool.map(_roll_up_apart, range(2)))
        written.result()
    roll_up()
    assert _sums() == _expected(rows)
    assert DirtyHour.objects.count() == 0


def test_a_row_that_comes_late_is_counted_in_its_own_hour(ledger_db: str) -> None:
    early, late = settled(at=NOON + timedelta(hours=5)), settled(at=NOON)
    ledger.write([early])
    roll_up()
    ledger.write([late])
    roll_up()
    assert _sums() == _expected([early, late])


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
    assert _sums() == _expected([first, second])


def test_sums_of_rows_that_are_gone_go_too(ledger_db: str) -> None:
    kept, gone = settled("alice", at=NOON), settled("bob", at=NOON)
    ledger.write([kept, gone])
    roll_up()
    Attempt.objects.filter(attempt_id=gone.attempt_id).delete()
    DirtyHour.objects.create(hour=NOON)
    roll_up()
    assert _sums() == _expected([kept])


def test_an_hour_begins_and_ends_on_the_millisecond(ledger_db: str) -> None:
    moments = [NOON - timedelta(milliseconds=1), NOON, NOON + timedelta(milliseconds=3_599_999)]
    rows = [settled(at=moment) for moment in moments]
    rows.append(settled(attempt_id=first_uuid7(NOON + timedelta(hours=1))))
    ledger.write(rows)
    roll_up()
    assert [sums[0] for _, sums in sorted(_sums().items())] == [1, 2, 1]


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
