"""Deployments that keep failing are left alone, one request probes, and never more than half are out."""

import pytest

from providers.health import USUAL, Health

ALICE, BOB, CAROL, DAVE = 1, 2, 3, 4  # deployments


def healthy() -> Health:
    return Health(jitter=lambda: 0.0)


def ejected(at: float = 0.0) -> Health:
    health = healthy()
    for _ in range(5):
        health.failed(ALICE, at)
    return health


def out(health: Health, now: float) -> set[int]:
    return health.ejected([ALICE, BOB], now)


def test_four_failures_in_a_row_are_forgiven() -> None:
    health = healthy()
    for _ in range(4):
        health.failed(ALICE, 0.0)
    assert out(health, 0.0) == set()


def test_the_fifth_failure_ejects_for_five_seconds() -> None:
    health = ejected()
    assert out(health, 0.0) == {ALICE}
    assert out(health, 4.9) == {ALICE}
    assert out(health, 5.0) == set()


def test_a_success_in_between_starts_the_count_anew() -> None:
    health = healthy()
    for _ in range(4):
        health.failed(ALICE, 0.0)
    health.succeeded(ALICE, 0.0)
    health.failed(ALICE, 0.0)
    assert out(health, 0.0) == set()


def test_half_of_twenty_attempts_failing_ejects_too() -> None:
    health = healthy()
    for number in range(10):
        health.succeeded(ALICE, number / 10)
        health.failed(ALICE, number / 10)
        assert out(health, 1.0) == (set() if number < 9 else {ALICE})


def test_failures_of_long_ago_do_not_count() -> None:
    health = healthy()
    for second in range(0, 40, 2):
        health.succeeded(ALICE, float(second))
        health.failed(ALICE, float(second))
    assert out(health, 40.0) == set()


def test_fewer_than_half_failing_is_borne() -> None:
    health = healthy()
    for number in range(300):
        (health.failed if number % 3 == 0 else health.succeeded)(ALICE, number / 100)
    assert out(health, 3.0) == set()


def test_never_more_than_half_of_them_are_ejected() -> None:
    health = healthy()
    for now, id in enumerate([ALICE, BOB, CAROL]):
        for _ in range(5):
            health.failed(id, float(now))
    assert health.ejected([ALICE], 3.0) == set()
    assert health.ejected([ALICE, BOB], 3.0) == {BOB}
    assert health.ejected([ALICE, BOB, CAROL], 3.0) == {CAROL}
    assert health.ejected([ALICE, BOB, CAROL, DAVE], 3.0) == {BOB, CAROL}


def test_after_the_pause_one_request_probes_and_others_wait_for_it() -> None:
    health = ejected()
    assert out(health, 6.0) == set()
    health.asked(ALICE)
    assert out(health, 6.0) == {ALICE}
    assert out(health, 600.0) == {ALICE}


def test_a_probe_that_succeeds_ends_it() -> None:
    health = ejected()
    health.asked(ALICE)
    health.succeeded(ALICE, 6.0)
    assert out(health, 6.0) == set()
    health.failed(ALICE, 6.0)
    assert out(health, 6.0) == set()


def test_the_share_grows_back_after_it() -> None:
    health = ejected()
    assert health.share(ALICE, 0.0) == 1.0
    health.asked(ALICE)
    health.succeeded(ALICE, 100.0)
    shares = [health.share(ALICE, 100.0 + second) for second in (0, 5, 9.9, 10, 11)]
    assert shares == pytest.approx([0.1, 0.55, 0.991, 1.0, 1.0])
    assert health.share(BOB, 100.0) == 1.0


def test_a_probe_that_said_nothing_lets_another_one_probe() -> None:
    health = ejected()
    health.asked(ALICE)
    health.undecided(ALICE)
    assert out(health, 6.0) == set()


def test_pauses_double_up_to_five_minutes_and_stay_there() -> None:
    health, now, pauses = ejected(), 0.0, []
    for _ in range(2000):
        pause = next(p for p in (5, 10, 20, 40, 80, 160, 300) if out(health, now + p) == set())
        assert out(health, now + pause - 0.1) == {ALICE}
        pauses.append(pause)
        now += pause
        health.asked(ALICE)
        health.failed(ALICE, now)
    assert pauses[:8] == [5, 10, 20, 40, 80, 160, 300, 300]
    assert set(pauses[8:]) == {300}


def test_pauses_differ_a_little_from_worker_to_worker() -> None:
    late = Health(jitter=lambda: 1.0)
    for _ in range(5):
        late.failed(ALICE, 0.0)
    assert out(late, 5.4) == {ALICE}
    assert out(late, 5.5) == set()


def test_failures_of_requests_still_in_flight_do_not_lengthen_the_pause() -> None:
    health = ejected()
    for _ in range(50):
        health.failed(ALICE, 1.0)
    assert out(health, 5.0) == set()


def test_who_asked_for_a_pause_gets_it_also_when_there_is_no_other() -> None:
    health = healthy()
    health.rest(ALICE, 2.0)
    health.rest(ALICE, 1.0)
    assert health.resting([ALICE, BOB], 0.0) == {ALICE: 2.0}
    assert health.resting([ALICE, BOB], 2.0) == {}


def test_deployments_that_are_gone_are_forgotten() -> None:
    health = ejected()
    health.rest(ALICE, 9.0)
    health.follow({BOB: USUAL})
    assert out(health, 0.0) == set()
    assert health.resting([ALICE], 0.0) == {}
