from datetime import UTC, datetime, timedelta

import pytest

from gateway.console.day import Row, first_hour, last_day, nice_top

NOW = datetime(2026, 11, 23, 19, 40, tzinfo=UTC)


def row(model: str, status: str, requests: int, hours_ago: int = 0) -> Row:
    hour = NOW.replace(minute=0) - timedelta(hours=hours_ago)
    return Row(hour, model, status, requests, requests * 10, requests, 0, requests * 100)


def test_an_empty_day_has_24_empty_bars() -> None:
    day = last_day([], NOW)
    assert len(day.bars) == 24
    assert day.bars[0].hour == first_hour(NOW) == datetime(2026, 11, 22, 20, tzinfo=UTC)
    assert day.bars[-1].hour.hour == 19
    assert day.total.requests == 0
    assert day.total.mean_ms is None


def test_bars_stack_from_the_bottom_to_their_sum() -> None:
    day = last_day([row("llm", "ok", 60), row("llm", "failed", 20), row("llm", "refused", 20)], NOW)
    parts = [(part.tone, part.top, part.height) for part in day.bars[-1].parts]
    assert day.top == 100
    assert parts == [("good", 40, 60), ("held", 20, 20), ("bad", 0, 20)]


def test_the_busiest_model_is_first() -> None:
    day = last_day([row("b", "ok", 1), row("a", "ok", 1), row("c", "ok", 5, hours_ago=7)], NOW)
    assert [sums.name for sums in day.models] == ["c", "a", "b"]


def test_refusals_are_not_errors() -> None:
    day = last_day([row("llm", "refused", 90), row("llm", "ok", 9), row("llm", "interrupted", 1)], NOW)
    assert (day.total.bad, day.total.error_share) == (1, 0.1)


def test_only_the_busiest_models_are_shown() -> None:
    day = last_day([row(f"m{n:02}", "ok", 100 - n) for n in range(15)], NOW)
    assert (len(day.models), day.hidden_models) == (12, 3)


@pytest.mark.parametrize(("highest", "top"), [(0, 4), (4, 4), (5, 6), (11, 20), (99, 100), (1345, 2000)])
def test_the_axis_ends_at_a_round_number(highest: int, top: int) -> None:
    assert nice_top(highest) == top
