"""A batch of rows is written once, whatever is in it and however often it comes."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from django.db import Error, connection, connections

from keys.models import ApiKey
from tests.usage.conftest import ids_in_ledger
from tests.usage.rows import asked, settled
from usage import ledger
from usage.models import Attempt, DirtyHour
from usage.records import Settled

NOON = datetime(2026, 11, 3, 12, tzinfo=UTC)


def test_every_field_of_a_row_arrives_as_it_was_settled(ledger_db: str) -> None:
    row = settled(
        "Älice",
        upstream_request_id="up-1",
        end_user="böb",
        ttft_ms=9,
        cost_nano=15,
        priced=True,
        cached_tokens=3,
        task="summary",
        cache_write_tokens=4,
        audio_input_tokens=5,
        audio_output_tokens=6,
        images=7,
        audio_seconds=8,
        characters=9,
        anomaly="negative",
        price_id=2**40,
    )
    ledger.write([row])
    found = Attempt.objects.get()
    for name in set(Settled.__struct_fields__) - {"started_at"}:
        assert getattr(found, name) == getattr(row, name), name
    assert found.started_at == datetime.fromtimestamp(row.started_at / 1000, UTC)


def test_a_batch_delivered_twice_is_there_once(ledger_db: str) -> None:
    rows = [settled() for _ in range(50)]
    ledger.write(rows)
    ledger.write(rows[10:] + rows[:10])
    assert ids_in_ledger() == [str(row.attempt_id) for row in rows]


def test_the_first_row_of_an_attempt_stays(ledger_db: str) -> None:
    alice = asked("alice")
    ledger.write([alice.settled(status="ok")])
    ledger.write([alice.settled(status="interrupted")])
    assert Attempt.objects.get().status == "ok"


def test_an_attempt_that_is_twice_in_one_batch_is_there_once(ledger_db: str) -> None:
    alice = asked("alice")
    ledger.write([alice.settled(), alice.settled()])
    assert Attempt.objects.count() == 1


def test_several_writers_of_the_same_rows_do_not_hinder_each_other(ledger_db: str) -> None:
    rows = [settled() for _ in range(400)]
    batches = [rows, rows[::-1], rows[100:] + rows[:100], rows[::2]]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(_write_apart, batches))
    assert len(ids_in_ledger()) == 400


def test_whatever_a_provider_said_blocks_no_other_row(ledger_db: str) -> None:
    odd = settled("a\0b", prompt_tokens=2**80, completion_tokens=-5, error_class="x" * 999, http_status=10**6)
    ledger.write([settled("bob"), odd, settled("carol")])
    found = Attempt.objects.get(attempt_id=odd.attempt_id)
    assert (found.key, found.completion_tokens, len(found.error_class)) == ("ab", 0, 64)
    assert Attempt.objects.count() == 3


def test_the_hours_of_a_batch_are_marked_with_it(ledger_db: str) -> None:
    ledger.write(
        [settled(at=NOON), settled(at=NOON + timedelta(minutes=59)), settled(at=NOON - timedelta(1))]
    )
    ledger.write([settled(at=NOON)])
    marks = DirtyHour.objects.order_by("hour").values_list("hour", "marked")
    assert list(marks) == [(NOON - timedelta(1), 1), (NOON, 2)]


def test_a_batch_that_fails_leaves_nothing_behind(ledger_db: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE usage_dirtyhour RENAME TO usage_dirtyhour_away")
    try:
        with pytest.raises(Error):
            ledger.write([settled()])
        assert Attempt.objects.count() == 0
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE usage_dirtyhour_away RENAME TO usage_dirtyhour")


def test_a_key_shows_when_it_was_last_used(ledger_db: str) -> None:
    alice = ApiKey.objects.create(name="alice", public_id="id-alice")
    ledger.write(
        [settled("alice", at=NOON), settled("alice", at=NOON + timedelta(seconds=30)), settled("bob")]
    )
    alice.refresh_from_db()
    assert alice.last_used_at == NOON + timedelta(seconds=30)


def test_the_time_of_last_use_moves_at_most_once_a_minute_and_never_back(ledger_db: str) -> None:
    alice = ApiKey.objects.create(name="alice", public_id="id-alice", last_used_at=NOON)
    for seconds in (-900, 30, 59):
        ledger.write([settled("alice", at=NOON + timedelta(seconds=seconds))])
    alice.refresh_from_db()
    assert alice.last_used_at == NOON
    ledger.write([settled("alice", at=NOON + timedelta(seconds=61))])
    alice.refresh_from_db()
    assert alice.last_used_at == NOON + timedelta(seconds=61)


def test_noting_the_use_of_keys_takes_one_query_whatever_their_number(
    ledger_db: str, django_assert_max_num_queries: object
) -> None:
    with django_assert_max_num_queries(13):  # type: ignore[operator]
        ledger.write([settled(f"key-{number}", at=NOON) for number in range(300)])


def _write_apart(rows: list[Settled]) -> None:
    try:
        ledger.write(rows)
    finally:
        connections.close_all()
