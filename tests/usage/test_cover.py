"""Every moment since the beginning is covered once: by attempts, or by the sums of an hour or a day."""

from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from usage.cover import EVER, HOUR, Cover, Span, cover

MIDNIGHT = datetime(2026, 11, 3, tzinfo=UTC)


def _hours(*numbers: int) -> list[datetime]:
    return [MIDNIGHT + HOUR * number for number in numbers]


def _is_within(moment: datetime, spans: tuple[Span, ...]) -> bool:
    return any(span.begin <= moment < span.end for span in spans)


def _ways(covered: Cover, moment: datetime) -> int:
    """How many times an attempt of this moment is counted."""
    hour = moment.replace(minute=0, second=0, microsecond=0)
    by_day = moment.date() >= covered.first_whole_day and moment.date() not in covered.open_days
    by_hour = _is_within(hour, covered.hours) and hour not in covered.unsummed
    return _is_within(moment, covered.rows) + by_hour + by_day


@given(
    begins=st.integers(0, 3 * 24 * 60),
    dirty=st.sets(st.integers(-5, 100)),
    moments=st.lists(st.integers(0, 110 * 60), min_size=1),
)
def test_each_moment_counts_once_and_earlier_ones_never(
    begins: int, dirty: set[int], moments: list[int]
) -> None:
    since = MIDNIGHT + timedelta(minutes=begins)
    covered = cover(since, _hours(*dirty))
    for minutes in moments:
        moment = MIDNIGHT + timedelta(minutes=minutes)
        assert _ways(covered, moment) == (moment >= since), moment


def test_a_month_without_changes_is_read_from_days_alone() -> None:
    covered = cover(MIDNIGHT, [])
    assert (covered.rows, covered.hours, covered.first_whole_day) == ((), (), date(2026, 11, 3))


def test_a_day_of_india_begins_with_half_an_hour_of_attempts() -> None:
    covered = cover(MIDNIGHT + timedelta(hours=18, minutes=30), [])
    assert covered.rows == (Span(MIDNIGHT + HOUR * 18.5, MIDNIGHT + HOUR * 19),)
    assert covered.hours == (Span(MIDNIGHT + HOUR * 18, MIDNIGHT + HOUR * 24),)


def test_an_hour_that_changed_opens_its_day() -> None:
    covered = cover(MIDNIGHT, _hours(30))
    assert covered.rows == (Span(MIDNIGHT + HOUR * 30, MIDNIGHT + HOUR * 31),)
    assert covered.open_days == (date(2026, 11, 4),)
    assert covered.hours == (Span(MIDNIGHT + HOUR * 24, MIDNIGHT + HOUR * 48),)


def test_hours_that_changed_one_after_the_other_are_one_range() -> None:
    assert cover(MIDNIGHT, _hours(3, 1, 2)).rows == (Span(MIDNIGHT + HOUR, MIDNIGHT + HOUR * 4),)


def test_ever_is_since_the_first_moment_of_all() -> None:
    assert cover(None, _hours(1)) == cover(EVER, _hours(1))
