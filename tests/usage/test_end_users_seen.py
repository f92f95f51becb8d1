"""Whom requests were for is known to operators without anybody entering it."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from django.db import connections

from keys.models import EndUser, KeyChange
from tests.usage.rows import settled
from tests.usage.tallies import NOON
from usage import ledger
from usage.models import DirtyHour
from usage.rollup import roll_up


def _names() -> list[str]:
    return list(EndUser.objects.order_by("name").values_list("name", flat=True))


def test_end_users_of_requests_get_a_row_with_the_roll_up(ledger_db: str) -> None:
    ledger.write([settled(end_user=name) for name in ("carol", "", "bob", "carol", "Bob")])
    roll_up()
    assert set(_names()) == {"Bob", "bob", "carol"}
    assert set(EndUser.objects.values_list("source", flat=True)) == {"command"}


def test_summing_an_hour_again_adds_nobody_twice(ledger_db: str) -> None:
    ledger.write([settled(at=NOON, end_user="bob")])
    roll_up()
    bob = EndUser.objects.get()
    DirtyHour.objects.create(hour=NOON)
    roll_up()
    assert EndUser.objects.get().pk == bob.pk


def test_what_operators_wrote_of_an_end_user_stays(ledger_db: str) -> None:
    EndUser.objects.create(name="bob", notes="in the lab")
    ledger.write([settled(end_user="bob")])
    roll_up()
    assert (EndUser.objects.get().notes, EndUser.objects.get().source) == ("in the lab", "admin")


def test_names_of_refused_requests_are_not_taken_in(ledger_db: str) -> None:
    ledger.write([settled(status="refused", end_user="made-up"), settled(status="failed", end_user="bob")])
    roll_up()
    assert _names() == ["bob"]


def test_being_seen_writes_no_history_and_wakes_no_worker(ledger_db: str) -> None:
    before = (EndUser.history.count(), KeyChange.objects.count())
    ledger.write([settled(end_user="bob")])
    roll_up()
    assert (EndUser.history.count(), KeyChange.objects.count()) == before


def test_roll_ups_of_several_days_at_once_add_the_same_people(ledger_db: str) -> None:
    names = [f"user-{number % 40}" for number in range(400)]
    ledger.write(
        [settled(at=NOON + timedelta(hours=number % 90), end_user=name) for number, name in enumerate(names)]
    )
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(_roll_up_apart, range(3)))
    assert set(_names()) == set(names)


def _roll_up_apart(_: int) -> None:
    try:
        roll_up()
    finally:
        connections.close_all()
