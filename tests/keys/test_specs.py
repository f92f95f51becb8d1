"""Limits and expiries as operators type them."""

import contextlib
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.specs import LARGEST, METRICS, WINDOWS, LimitSpec, Misspelt, parse_expiry, parse_limit

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
names = st.text(min_size=1, max_size=30).filter(lambda name: name == name.strip() and "\n" not in name)
counted = st.builds(
    LimitSpec,
    st.sampled_from([metric for metric in METRICS if metric != "parallel"]),
    st.integers(0, LARGEST),
    st.sampled_from(WINDOWS),
    st.one_of(st.just(""), names, st.just("llama3:8b"), st.just("@cf/meta/llama"), st.just("odd:shadow")),
    st.booleans(),
)


@given(counted)
def test_what_a_limit_says_reads_as_the_same_limit(spec: LimitSpec) -> None:
    assert parse_limit(str(spec)) == spec


@given(st.integers(0, LARGEST), st.booleans())
def test_parallel_limits_read_back_too(amount: int, shadow: bool) -> None:
    spec = LimitSpec("parallel", amount, "", "llm", shadow)
    assert parse_limit(str(spec)) == spec


@given(st.text(max_size=40))
def test_any_text_is_a_limit_or_is_refused_as_misspelt(text: str) -> None:
    with contextlib.suppress(Misspelt):
        assert parse_limit(text).metric in METRICS


@pytest.mark.parametrize(
    ("text", "amount"),
    [("1000", 1000), ("1_000", 1000), ("1k", 1000), ("1.5M", 1_500_000), ("2g", 2 * 10**9), ("0", 0)],
)
def test_amounts_may_be_written_short(text: str, amount: int) -> None:
    assert parse_limit(f"tokens={text}/day").amount == amount


@pytest.mark.parametrize(
    ("text", "nano"),
    [
        ("10", 10 * 10**9),
        ("0.000001", 1000),
        ("0.000000001", 1),
        ("2.5", 2_500_000_000),
        ("0.1", 100_000_000),
        ("1.5k", 1500 * 10**9),
        ("4M", LARGEST),
        ("0", 0),
    ],
)
def test_costs_are_dollars_kept_exactly_in_nano_dollars(text: str, nano: int) -> None:
    assert parse_limit(f"cost={text}/month").amount == nano


def test_a_cost_on_one_model_may_only_be_watched() -> None:
    spec = parse_limit("cost=2.5/day@gpt-4o:shadow")
    assert spec == LimitSpec("cost", 2_500_000_000, "day", "gpt-4o", shadow=True)
    assert str(spec) == "cost=2.5/day@gpt-4o:shadow"


def test_a_limit_without_a_window_is_per_minute() -> None:
    assert parse_limit("requests=3") == LimitSpec("requests", 3, "minute")


def test_a_model_with_colons_and_slashes_keeps_its_name() -> None:
    spec = parse_limit("tokens=1k/day@openai/llama3:8b:shadow")
    assert (spec.model, spec.shadow) == ("openai/llama3:8b", True)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("cost=5/day:nonsense", "has the form"),
        ("cost=0.0000000001", "not of at most 9 decimals of a dollar"),
        ("cost=4_000_000.000000001/total", r"larger than \$4000000"),
        ("cost=$5", "not a number"),
        ("cost=1e3", "not a number"),
        ("speed=5", "one of requests, tokens, cost, parallel"),
        ("requests", "has the form"),
        ("requests=", "not a number"),
        ("requests=many", "not a number"),
        ("requests=-3", "not a number"),
        ("requests=1.5", "not a whole number"),
        ("requests=9999999999G", "larger than"),
        ("requests=3/fortnight", "not one of second"),
        ("requests=3/", "not one of second"),
        ("requests=3@", "follows the @"),
        ("requests=3:quietly", "has the form"),
        ("parallel=3/minute", "take no window"),
    ],
)
def test_a_misspelt_limit_is_told_what_is_wrong(text: str, reason: str) -> None:
    with pytest.raises(Misspelt, match=reason):
        parse_limit(text)


@pytest.mark.parametrize(
    ("text", "span"),
    [("30d", timedelta(days=30)), ("12h", timedelta(hours=12)), ("2w", timedelta(weeks=2))],
)
def test_a_span_counts_from_now(text: str, span: timedelta) -> None:
    assert parse_expiry(text, NOON) == NOON + span


def test_a_date_is_its_beginning_in_utc() -> None:
    assert parse_expiry("2030-12-31", NOON) == datetime(2030, 12, 31, tzinfo=UTC)


def test_a_time_with_an_offset_is_that_moment() -> None:
    assert parse_expiry("2030-12-31T01:00+02:00", NOON) == datetime(2030, 12, 30, 23, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "soon", "30", "0d", "2020-01-01", "999999999w", "2030-13-01", "-3d"])
def test_a_misspelt_expiry_is_told_with_examples(text: str) -> None:
    with pytest.raises(Misspelt, match="Examples: 30d"):
        parse_expiry(text, NOON)


@given(st.text(max_size=30))
def test_any_text_is_an_expiry_or_is_refused_as_misspelt(text: str) -> None:
    with contextlib.suppress(Misspelt):
        assert parse_expiry(text, NOON) > NOON
