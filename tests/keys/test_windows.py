"""Calendar windows begin and end where the people of a time zone say so, clock changes included."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keys.windows import CALENDAR, bounds

ZONES = sorted(available_timezones() - {"localtime", "Factory"})


def at(text: str, zone: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def told(window: str, moment: str, zone: str) -> list[str]:
    """Bounds in local time, of a moment in local time."""
    edges = bounds(window, at(moment, zone), zone)
    return [datetime.fromtimestamp(edge, ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M") for edge in edges]


def hours(day: str, zone: str) -> float:
    start, end = bounds("day", at(f"{day} 12:00", zone), zone)
    return (end - start) / 3600


@pytest.mark.parametrize(
    ("zone", "day", "length"),
    [
        ("UTC", "2026-03-08", 24),
        ("America/New_York", "2026-03-08", 23),
        ("America/New_York", "2026-11-01", 25),
        ("Australia/Lord_Howe", "2026-04-05", 24.5),
        ("Australia/Lord_Howe", "2026-10-04", 23.5),
        ("America/Havana", "2026-03-08", 23),
        ("America/Havana", "2026-11-01", 25),
        ("Africa/Cairo", "2026-04-24", 23),
        ("Africa/Cairo", "2026-10-29", 25),
        ("Asia/Kathmandu", "2026-03-08", 24),
    ],
)
def test_days_are_as_long_as_the_clocks_make_them(zone: str, day: str, length: float) -> None:
    assert hours(day, zone) == length


def test_a_day_without_a_midnight_begins_at_one() -> None:
    assert told("day", "2026-04-24 12:00", "Africa/Cairo") == ["2026-04-24 01:00", "2026-04-25 00:00"]
    assert told("day", "2026-04-23 23:59", "Africa/Cairo") == ["2026-04-23 00:00", "2026-04-24 01:00"]


def test_a_day_with_two_midnights_begins_at_the_first() -> None:
    first, _ = bounds("day", at("2026-11-01 12:00", "America/Havana"), "America/Havana")
    assert datetime.fromtimestamp(first, UTC) == datetime(2026, 11, 1, 4, tzinfo=UTC)


def test_an_offset_of_three_quarters_of_an_hour_is_kept() -> None:
    start, _ = bounds("day", at("2026-03-08 00:00", "Asia/Kathmandu"), "Asia/Kathmandu")
    assert datetime.fromtimestamp(start, UTC) == datetime(2026, 3, 7, 18, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "edges"),
    [
        ("2026-03-02 00:00", ["2026-03-02 00:00", "2026-03-09 00:00"]),
        ("2026-03-08 23:59:59", ["2026-03-02 00:00", "2026-03-09 00:00"]),
        ("2026-01-01 12:00", ["2025-12-29 00:00", "2026-01-05 00:00"]),
    ],
)
def test_weeks_begin_on_monday(moment: str, edges: list[str]) -> None:
    assert told("week", moment, "America/New_York") == edges


@pytest.mark.parametrize(
    ("moment", "edges"),
    [
        ("2026-12-31 23:59:59", ["2026-12-01 00:00", "2027-01-01 00:00"]),
        ("2028-02-29 12:00", ["2028-02-01 00:00", "2028-03-01 00:00"]),
        ("2026-01-31 12:00", ["2026-01-01 00:00", "2026-02-01 00:00"]),
    ],
)
def test_months_are_the_calendars(moment: str, edges: list[str]) -> None:
    assert told("month", moment, "Europe/Berlin") == edges


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(CALENDAR),
    st.floats(at("2024-01-01", "UTC"), at("2037-12-31", "UTC")),
    st.sampled_from(ZONES),
)
def test_bounds_hold_now_and_the_next_window_follows(window: str, now: float, zone: str) -> None:
    start, end = bounds(window, now, zone)
    assert start <= now < end
    assert bounds(window, start, zone) == (start, end)
    assert bounds(window, end, zone)[0] == end
    assert bounds(window, start - 0.001, zone)[1] == start


@pytest.mark.parametrize("zone", ["Africa/Cairo", "America/Havana", "America/Nuuk", "Asia/Beirut"])
def test_every_hour_of_two_years_is_in_its_day(zone: str) -> None:
    now = at("2026-01-01", "UTC")
    for hour in range(2 * 366 * 24):
        moment = now + hour * 3600
        start, end = bounds("day", moment, zone)
        assert start <= moment < end
        assert timedelta(hours=22) < timedelta(seconds=end - start) < timedelta(hours=26)
