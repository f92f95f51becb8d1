"""An estimate of a prompt is never below what its model is known to make of text, and comes down to it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import calibration
from gateway.calibration import CEILING, DEFAULT, FLOOR, Calibration, PromptSize

rates = st.floats(0.05, 1.5)
text_bytes = st.integers(200, 1_000_000)
sizes = st.builds(PromptSize, st.integers(0, 10**7), st.integers(0, 1000), st.integers(0, 100))


def text(size: int, messages: int = 1) -> PromptSize:
    return PromptSize(size, messages, 0)


def truth(size: PromptSize, rate: float) -> int:
    return round(size.text_bytes * rate)


def rate_of(seen: Calibration, model: str = "llm") -> float:
    return seen.estimate(model, text(10**6, 0)) / 10**6


def test_an_unknown_model_makes_four_tokens_of_ten_bytes_and_some_beside() -> None:
    assert Calibration().estimate("llm", PromptSize(1000, 2, 3)) == 400 + 2 * 8 + 3 * 1500 + 16


@given(rates, st.lists(text_bytes, min_size=1, max_size=60), text_bytes)
def test_once_seen_a_prompt_is_never_estimated_too_low(rate: float, seen: list[int], then: int) -> None:
    calibrated = Calibration()
    for size in seen:
        calibrated.observe("llm", text(size), truth(text(size), rate))
        assert calibrated.estimate("llm", text(then)) >= truth(text(then), rate)


@given(rates, rates, st.lists(text_bytes, min_size=200, max_size=200), st.integers(10_000, 1_000_000))
def test_after_200_reports_the_estimate_is_near_the_truth(
    before: float, rate: float, seen: list[int], then: int
) -> None:
    calibrated = Calibration()
    calibrated.observe("llm", text(1000), truth(text(1000), before))
    for size in seen:
        calibrated.observe("llm", text(size), truth(text(size), rate))
    assert calibrated.estimate("llm", text(then, 0)) - 16 <= 1.5 * max(rate, FLOOR) * then


@given(st.lists(st.tuples(sizes, st.integers(-10, 10**8)), max_size=50), sizes, sizes)
def test_estimates_are_positive_and_grow_with_the_prompt(
    reports: list[tuple[PromptSize, int]], one: PromptSize, more: PromptSize
) -> None:
    calibrated = Calibration()
    for size, tokens in reports:
        calibrated.observe("llm", size, tokens)
    both = PromptSize(one.text_bytes + more.text_bytes, one.messages + more.messages, one.media + more.media)
    assert 0 < calibrated.estimate("llm", one) <= calibrated.estimate("llm", both)
    assert FLOOR <= rate_of(calibrated) <= CEILING + 0.001


def test_one_dense_prompt_lifts_the_next_estimate_and_a_hundred_light_ones_lower_it() -> None:
    seen = Calibration()
    seen.observe("llm", text(1000), 1200)
    assert rate_of(seen) == pytest.approx(1.2 * 1.1, rel=0.001)
    seen.observe("llm", text(1000), 250)
    assert rate_of(seen) > 1.2
    for _ in range(100):
        seen.observe("llm", text(1000), 250)
    assert 0.275 < rate_of(seen) < 0.5


def test_models_learn_apart() -> None:
    seen = Calibration()
    seen.observe("llm", text(1000), 1000)
    assert rate_of(seen) > 1
    assert rate_of(seen, "other") == pytest.approx(DEFAULT, rel=0.001)


@pytest.mark.parametrize(
    ("size", "tokens"),
    [
        (text(199), 190),
        (PromptSize(1000, 1, 1), 2400),
        (text(1000), 0),
        (text(1000), -5),
        (text(1000), 2025),
        (text(1000), 10**30),
    ],
)
def test_what_tells_nothing_of_the_text_teaches_nothing(size: PromptSize, tokens: int) -> None:
    seen = Calibration()
    seen.observe("llm", size, tokens)
    assert rate_of(seen) == pytest.approx(DEFAULT, rel=0.001)


def test_the_rate_keeps_between_floor_and_ceiling() -> None:
    seen = Calibration()
    seen.observe("llm", text(1000), 2000)
    assert rate_of(seen) == pytest.approx(CEILING, rel=0.001)
    for _ in range(1000):
        seen.observe("llm", text(1000), 1)
    assert rate_of(seen) == pytest.approx(FLOOR, rel=0.001)


def test_the_first_of_too_many_models_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "_MOST_MODELS", 3)
    seen = Calibration()
    for model in ("a", "b", "c", "a", "d"):
        seen.observe(model, text(1000), 1000)
    assert [rate_of(seen, model) > 1 for model in "abcd"] == [False, True, True, True]
    assert len(seen._rates) == 3
