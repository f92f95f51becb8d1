"""Deployments that keep failing are left alone, one request probes, and never more than half are out."""

import pytest

from providers.health import USUAL, Health
from providers.news import Ejected, Event, Failed, ProbeOver, Probing, Recovered, Rested, RowEnded

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


def test_who_did_not_fail_of_late_is_well() -> None:
    health = healthy()
    assert health.is_well(ALICE, 0.0)
    health.failed(ALICE, 0.0)
    assert not health.is_well(ALICE, 0.0)
    health.succeeded(ALICE, 1.0)
    assert not health.is_well(ALICE, 9.0)
    assert health.is_well(ALICE, 10.0)
    health.told_counts(ALICE, 11.0, failed=1, row=1)  # at another worker
    assert not health.is_well(ALICE, 11.0)


def test_who_is_left_out_is_not_well_however_long_it_takes() -> None:
    health = ejected()
    assert not health.is_well(ALICE, 100.0)
    health.asked(ALICE)
    health.succeeded(ALICE, 100.0)
    assert health.is_well(ALICE, 100.0)


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


def test_what_began_before_it_was_ejected_says_nothing_of_its_recovery() -> None:
    health = ejected(at=10.0)
    health.succeeded(ALICE, 11.0, began=2.0)  # a long stream comes to its end
    assert out(health, 11.0) == {ALICE}
    health.succeeded(ALICE, 12.0, began=11.0)
    assert out(health, 12.0) == set()


def test_what_began_before_its_recovery_does_not_eject_it_again() -> None:
    health = ejected(at=10.0)
    health.succeeded(ALICE, 20.0, began=19.0)
    for _ in range(30):
        health.failed(ALICE, 21.0, began=9.0)  # all waited in vain since before the ejection
    assert out(health, 21.0) == set()
    for _ in range(5):
        health.failed(ALICE, 21.0, began=20.5)
    assert out(health, 21.0) == {ALICE}


def test_a_request_from_before_the_pause_does_not_end_the_probe() -> None:
    health = ejected(at=10.0)
    health.asked(ALICE)
    health.undecided(ALICE, began=9.0)
    health.failed(ALICE, 16.0, began=9.0)
    assert out(health, 16.0) == {ALICE}
    health.undecided(ALICE, began=15.5)
    assert out(health, 16.0) == set()


def test_it_says_what_others_should_know_and_nothing_of_successes() -> None:
    health, told = healthy(), list[Event]()
    health.listeners.append(told.append)
    health.succeeded(ALICE, 0.0)
    assert told == []
    for _ in range(5):
        health.failed(ALICE, 1.0)
    assert told == [*[Failed(ALICE)] * 5, Ejected(ALICE, 1.0, 6.0, 1)]
    told.clear()
    health.asked(ALICE)
    health.asked(ALICE)
    health.succeeded(ALICE, 7.0)
    health.rest(ALICE, 9.0)
    health.rest(ALICE, 8.0)
    ended = [RowEnded(ALICE), ProbeOver(ALICE), Recovered(ALICE, 7.0)]
    assert told == [Probing(ALICE), *ended, Rested(ALICE, 9.0)]


def test_people_can_see_who_is_put_aside_and_who_is_set_up_wrongly() -> None:
    health = healthy()
    for _ in range(5):
        health.failed(ALICE, 1.0)
    health.rest(BOB, 9.0)
    health.set_up_wrongly(CAROL, 401)
    assert health.put_aside(2.0) == {ALICE: 4.0, BOB: 7.0}
    assert health.put_aside(20.0) == {ALICE: 0.0}  # until somebody asked it
    assert health.wrong() == {CAROL: 401}
    health.succeeded(CAROL, 3.0)
    health.succeeded(ALICE, 20.0)
    assert (health.wrong(), health.put_aside(20.0)) == ({}, {})
