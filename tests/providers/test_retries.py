"""How long a provider asks to be left alone, and how often requests may be retried."""

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.retries import (
    LONGEST_REST,
    Kind,
    RetryBudget,
    Stop,
    kind_of,
    problem_of_retries,
    rest_of,
    stop,
)

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "2000"}, 2.0),
        ({"retry-after": "9", "retry-after-ms": "1500"}, 1.5),
        ({"retry-after": formatdate(NOW + 3, usegmt=True)}, 3.0),
        ({"retry-after": "9999999"}, LONGEST_REST),
    ],
)
def test_every_form_is_read(headers: dict[str, str], seconds: float) -> None:
    assert rest_of(headers, NOW) == seconds


@pytest.mark.parametrize(
    "text", ["", "soon", "-1", "0", "nan", "inf", "Wed", "1e999", formatdate(NOW - 60, usegmt=True)]
)
def test_what_is_no_time_to_come_is_none(text: str) -> None:
    assert rest_of({"retry-after": text}, NOW) is None


@given(st.text(max_size=40), st.text(max_size=40))
def test_whatever_a_provider_says_is_a_bounded_time_or_none(one: str, other: str) -> None:
    told = rest_of({"retry-after": one, "retry-after-ms": other}, NOW)
    assert told is None or 0 < told <= LONGEST_REST


def test_ten_retries_are_always_free() -> None:
    budget = RetryBudget()
    assert [budget.take(0.0) for _ in range(11)] == [True] * 10 + [False]


def test_those_ten_are_of_all_workers_together() -> None:
    budget = RetryBudget()
    assert sum(budget.take(0.0, workers=4) for _ in range(11)) == 2
    assert sum(RetryBudget().take(0.0, workers=40) for _ in range(3)) == 3


def test_retries_that_need_no_room_leave_less_to_others() -> None:
    budget = RetryBudget()
    for _ in range(12):
        budget.note(0.0)
    assert not budget.take(0.0)
    assert budget.take(11.0)


def test_a_fifth_of_the_last_ten_seconds_may_be_retried() -> None:
    budget = RetryBudget()
    for second in range(60):
        for _ in range(30):
            budget.asked(float(second))
            budget.take(float(second))
    allowed = sum(budget.take(60.0) for _ in range(1000))
    assert allowed <= 30 * 10 * 0.2


def test_over_a_minute_two_workers_never_retry_more_than_a_fifth_and_ten() -> None:
    budgets, retries, requests = [RetryBudget(), RetryBudget()], 0, 0
    for tenth in range(5, 605):
        for number in range(3):
            requests += 1
            budget = budgets[(tenth + number) % 2]
            budget.asked(tenth / 10)
            retries += budget.take(tenth / 10, workers=2)
    assert 0.15 * requests <= retries <= 0.2 * requests + 10


def test_a_quiet_time_gives_the_budget_back() -> None:
    budget = RetryBudget()
    while budget.take(0.0):
        pass
    assert budget.take(11.0)


@pytest.mark.parametrize(
    ("kind", "attempts", "by_kind", "left", "why"),
    [
        (Kind.SERVER_ERROR, 1, {}, 9.0, None),
        (Kind.SERVER_ERROR, 3, {}, 9.0, Stop.ATTEMPTS),
        (Kind.TIMEOUT, 1, {"timeout": 0}, 9.0, Stop.KIND),
        (Kind.TIMEOUT, 3, {"timeout": 3}, 9.0, None),
        (Kind.TIMEOUT, 4, {"timeout": 3}, 9.0, Stop.KIND),
        (Kind.RATE_LIMIT, 3, {"timeout": 9}, 9.0, Stop.ATTEMPTS),
        (Kind.CONNECT, 1, {}, 0.0, Stop.DEADLINE),
        (Kind.CONNECT, 1, {}, 0.001, Stop.DEADLINE),  # a timer of the deadline that ended early
        (None, 1, {}, 9.0, Stop.FINAL),
    ],
)
def test_why_there_is_no_further_attempt(
    kind: Kind | None, attempts: int, by_kind: dict[str, int], left: float, why: Stop | None
) -> None:
    assert stop(kind, attempts, 3, by_kind, left) is why


def test_a_new_connection_in_place_of_a_dead_one_is_no_retry() -> None:
    assert stop(Kind.SERVER_ERROR, 1, 1, {}, 9.0) is Stop.ATTEMPTS
    assert stop(Kind.SERVER_ERROR, 1, 1, {"server_error": 0}, 9.0, fresh=True) is None
    assert stop(Kind.SERVER_ERROR, 1, 1, {}, 0.0, fresh=True) is Stop.DEADLINE


def test_each_status_is_of_a_kind_that_operators_can_name() -> None:
    kinds = {status: kind_of(status) for status in (400, 401, 408, 409, 429, 500, 529)}
    assert kinds == {
        400: None,
        401: Kind.AUTHENTICATION,
        408: Kind.TIMEOUT,
        409: Kind.SERVER_ERROR,
        429: Kind.RATE_LIMIT,
        500: Kind.SERVER_ERROR,
        529: Kind.SERVER_ERROR,
    }


@pytest.mark.parametrize("wrong", [[], {"hunger": 1}, {"timeout": -1}, {"timeout": True}, {"timeout": 10}])
def test_retries_by_kind_are_small_whole_numbers(wrong: object) -> None:
    assert problem_of_retries(wrong)
    assert problem_of_retries({"timeout": 0, "rate_limit": 9}) == ""
