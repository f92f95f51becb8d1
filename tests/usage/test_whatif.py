"""What a limit would have refused, counted by hand."""

from datetime import UTC, date, datetime

from hypothesis import given
from hypothesis import strategies as st

from usage.whatif import Day, Draft, Request, tried

NOON = int(datetime(2026, 11, 3, 12, tzinfo=UTC).timestamp() * 1000)
SECOND, MINUTE, HOUR = 1000, 60_000, 3_600_000


def asked(after_ms: int, *, took: int = 0, tokens: int = 0, cost: int = 0, by: str = "") -> Request:
    return Request(NOON + after_ms, NOON + after_ms + took, tokens, cost, by)


def test_the_third_request_in_a_minute_is_one_too_many_for_two() -> None:
    verdict = tried([asked(second * SECOND) for second in (0, 10, 20)], Draft("requests", 2, "minute"))
    assert (verdict.admitted, verdict.refused) == (2, 1)
    assert verdict.first_ms == verdict.last_ms == NOON + 20 * SECOND
    assert (verdict.largest, verdict.wanted) == (2, 3)


def test_a_minute_rolls() -> None:
    moments = (0, 59_999, 60_000, 60_001)
    verdict = tried([asked(moment) for moment in moments], Draft("requests", 2, "minute"))
    assert (verdict.refused, verdict.first_ms) == (1, NOON + 60_001)


def test_a_refused_request_uses_nothing() -> None:
    many = [asked(number * SECOND, tokens=60) for number in range(5)]
    verdict = tried([*many, asked(6 * SECOND, tokens=40)], Draft("tokens", 100, "hour"))
    assert (verdict.admitted, verdict.refused, verdict.largest) == (2, 4, 100)
    assert verdict.wanted == 340


def test_tokens_count_while_their_request_runs_and_a_window_long_after_it() -> None:
    running = asked(0, took=10 * MINUTE, tokens=100)
    later = [asked(second * SECOND, tokens=1) for second in (300, 654, 660)]
    verdict = tried([running, *later], Draft("tokens", 100, "minute"))
    assert (verdict.refused, verdict.last_ms) == (2, NOON + 654_000)


def test_parallel_requests_are_those_in_flight() -> None:
    three = [asked(0, took=10), asked(5, took=10), asked(10, took=10)]
    assert tried(three, Draft("parallel", 2, "")).refused == 0
    assert tried([*three, asked(14)], Draft("parallel", 2, "")).refused == 1
    assert tried(three, Draft("parallel", 1, "")).refused == 1


def test_a_day_begins_at_midnight_where_the_limit_is() -> None:
    evening, morning = asked(6 * HOUR, cost=7), asked(7 * HOUR, cost=7)  # 18:00 and 19:00 in London
    assert tried([evening, morning], Draft("cost", 10, "day")).refused == 1
    verdict = tried([evening, morning], Draft("cost", 10, "day", "Asia/Kolkata"))
    assert verdict.refused == 0
    assert verdict.days == (Day(date(2026, 11, 3), 1, 0), Day(date(2026, 11, 4), 1, 0))


def test_a_total_never_begins_again() -> None:
    verdict = tried([asked(hour * 1000 * HOUR) for hour in range(5)], Draft("requests", 3, "total"))
    assert verdict.refused == 2


def test_each_end_user_is_counted_apart_when_the_limit_says_so() -> None:
    four = [asked(0, by="alice"), asked(1, by="bob"), asked(2, by="alice"), asked(3)]
    assert tried(four, Draft("requests", 1, "day")).refused == 3
    assert tried(four, Draft("requests", 1, "day", each_end_user=True)).refused == 1


def test_of_no_requests_nothing_is_refused() -> None:
    verdict = tried([], Draft("requests", 0, "day"))
    assert (verdict.admitted, verdict.refused, verdict.days, verdict.first_ms) == (0, 0, (), None)


@given(
    st.lists(st.tuples(st.integers(0, 200_000), st.integers(0, 90_000), st.integers(0, 50)), max_size=40).map(
        sorted
    ),
    st.integers(0, 120),
)
def test_no_minute_ever_holds_more_tokens_than_the_limit(
    made: list[tuple[int, int, int]], amount: int
) -> None:
    requests = [asked(at, took=took, tokens=tokens) for at, took, tokens in made]
    admitted: list[Request] = []
    for request in requests:
        counted = sum(other.tokens for other in admitted if other.ended_ms > request.at_ms - MINUTE)
        if counted + request.tokens <= amount:
            admitted.append(request)
    verdict = tried(requests, Draft("tokens", amount, "minute"))
    assert (verdict.admitted, verdict.refused) == (len(admitted), len(requests) - len(admitted))
    assert verdict.largest <= amount
