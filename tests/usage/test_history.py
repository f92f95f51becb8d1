"""What was asked in the past comes as requests, their attempts joined, and never without an end."""

from datetime import timedelta
from typing import Any

import pytest

from keys.limits import Scope
from tests.usage.rows import settled
from tests.usage.tallies import NOON
from usage import history, ledger
from usage.ids import unix_ms
from usage.records import Settled

NOON_MS = int(NOON.timestamp() * 1000)


def _rows(*seconds: float, **values: Any) -> list[Settled]:
    return [settled(at=NOON + timedelta(seconds=second), **values) for second in seconds]


def test_requests_come_in_the_order_they_were_made(ledger_db: str) -> None:
    ledger.write(_rows(5, 1, 3, latency_ms=40))
    found = history.requests(Scope(), NOON)
    assert [request.at_ms - NOON_MS for request in found.requests] == [1000, 3000, 5000]
    assert {request.ended_ms - request.at_ms for request in found.requests} == {40}
    assert (found.since, found.cut) == (NOON, False)


def test_only_what_is_in_the_scope_and_was_sent_comes(ledger_db: str) -> None:
    ledger.write(_rows(-1) + _rows(1, status="refused") + _rows(2, end_user="bob") + _rows(3))
    assert len(history.requests(Scope(), NOON).requests) == 2
    assert [each.end_user for each in history.requests(Scope(end_user="bob"), NOON).requests] == ["bob"]
    assert history.requests(Scope(key_id="id-bob"), NOON).requests == ()


def test_those_with_limits_of_their_own_are_left_out(ledger_db: str) -> None:
    ledger.write(_rows(1, end_user="alice") + _rows(2, end_user="bob"))
    found = history.requests(Scope(), NOON, without=["bob"])
    assert [each.end_user for each in found.requests] == ["alice"]


def test_a_retry_belongs_to_its_request(ledger_db: str) -> None:
    ledger.write(
        _rows(1, request_id="one", cost_nano=3, latency_ms=1000)
        + _rows(2, request_id="one", cost_nano=4, latency_ms=500, attempt_number=2)
    )
    [request] = history.requests(Scope(), NOON).requests
    assert (request.tokens, request.cost_nano) == (34, 7)
    assert (request.at_ms, request.ended_ms) == (NOON_MS + 1000, NOON_MS + 2500)


def test_two_requests_that_a_client_gave_one_id_stay_two(ledger_db: str) -> None:
    ledger.write(_rows(1, 2, request_id="same"))
    assert len(history.requests(Scope(), NOON).requests) == 2


@pytest.mark.parametrize(("most", "cut"), [(9, True), (10, False), (11, False)])
def test_of_too_many_the_newest_come_and_it_says_so(
    ledger_db: str, monkeypatch: pytest.MonkeyPatch, most: int, cut: bool
) -> None:
    monkeypatch.setattr(history, "_PAGE", 4)
    rows = _rows(*range(10))
    ledger.write(rows)
    found = history.requests(Scope(), NOON - timedelta(days=1), most=most)
    newest = sorted(unix_ms(row.attempt_id) for row in rows)[-most:]
    assert [request.at_ms for request in found.requests] == newest
    assert found.cut is cut
    assert found.since == (NOON + timedelta(seconds=1) if cut else NOON - timedelta(days=1))
