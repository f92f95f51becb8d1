"""What a worker saw of a deployment: in flight, waiting, latency, and use of the last minute."""

import pytest

from providers.signals import FAILED_LEAST, Load, Signals


def answered(signals: Signals, seconds: float, now: float) -> None:
    signals.asked(1, now)
    signals.first_token(1, seconds, now)
    signals.ended(1, now, waiting=False)


def test_nothing_is_known_of_one_that_was_never_asked() -> None:
    assert Signals().load(1, 0.0) == Load()


def test_a_request_waits_until_its_first_token_and_is_in_flight_until_its_end() -> None:
    signals = Signals()
    for _ in range(2):
        signals.asked(1, 100.0)
    signals.first_token(1, 0.5, 100.5)
    assert (signals.load(1, 100.5).in_flight, signals.load(1, 100.5).waiting) == (2, 1)
    signals.ended(1, 101.0, waiting=False)
    signals.ended(1, 101.0, waiting=True)
    assert (signals.load(1, 101.0).in_flight, signals.load(1, 101.0).waiting) == (0, 0)


def test_a_slower_answer_holds_at_once_and_faster_ones_bit_by_bit() -> None:
    signals = Signals()
    answered(signals, 0.1, 100.0)
    answered(signals, 2.0, 100.0)
    assert signals.load(1, 100.0).latency == 2.0
    for step in range(1, 11):
        answered(signals, 0.1, 100.0 + step)
    assert signals.load(1, 110.0).latency == pytest.approx(0.1 + 1.9 * 0.3679, rel=0.01)


def test_what_nobody_asked_for_long_is_forgotten() -> None:
    signals = Signals()
    answered(signals, 2.0, 100.0)
    assert 0 < signals.load(1, 120.0).latency < 0.5
    assert signals.load(1, 300.0).latency == 0.0


def test_a_failure_counts_as_a_slow_answer_however_fast_it_came() -> None:
    signals = Signals()
    answered(signals, 0.01, 100.0)
    signals.failed(1, 100.0)
    assert signals.load(1, 100.0).latency == FAILED_LEAST
    signals.failed(1, 100.0)
    assert signals.load(1, 100.0).latency == 2 * FAILED_LEAST


def test_whoever_gave_up_can_only_make_it_slower() -> None:
    signals = Signals()
    answered(signals, 1.0, 100.0)
    signals.given_up(1, 0.2, 100.0)
    assert signals.load(1, 100.0).latency == 1.0
    signals.given_up(1, 5.0, 100.0)
    assert signals.load(1, 100.0).latency == 5.0


def test_use_is_that_of_the_last_minute() -> None:
    signals = Signals()
    for second in (100.0, 100.5, 130.0):
        signals.asked(1, second)
        signals.ended(1, second, waiting=True, tokens=10)
    assert (signals.load(1, 159.9).requests, signals.load(1, 159.9).tokens) == (3, 30)
    assert (signals.load(1, 160.0).requests, signals.load(1, 160.0).tokens) == (1, 10)
    assert (signals.load(1, 190.0).requests, signals.load(1, 190.0).tokens) == (0, 0)


def test_one_that_is_gone_is_forgotten_once_nothing_is_in_flight() -> None:
    signals = Signals()
    signals.asked(1, 100.0)
    signals.forget(set())
    assert signals.load(1, 100.0).in_flight == 1
    signals.ended(1, 100.0, waiting=True)
    signals.forget(set())
    assert signals.load(1, 100.0) == Load()
