"""Deployments that keep failing are left alone, one request probes, and never all are out."""

from providers.health import Health

ALICE, BOB = 1, 2  # deployments


def ejected(at: float = 0.0) -> Health:
    health = Health()
    for _ in range(5):
        health.failed(ALICE, at)
    return health


def out(health: Health, now: float) -> set[int]:
    return health.ejected([ALICE, BOB], now)


def test_four_failures_in_a_row_are_forgiven() -> None:
    health = Health()
    for _ in range(4):
        health.failed(ALICE, 0.0)
    assert out(health, 0.0) == set()


def test_the_fifth_failure_ejects_for_five_seconds() -> None:
    health = ejected()
    assert out(health, 0.0) == {ALICE}
    assert out(health, 4.9) == {ALICE}
    assert out(health, 5.0) == set()


def test_a_success_in_between_starts_the_count_anew() -> None:
    health = Health()
    for _ in range(4):
        health.failed(ALICE, 0.0)
    health.succeeded(ALICE)
    health.failed(ALICE, 0.0)
    assert out(health, 0.0) == set()


def test_never_are_all_of_them_ejected() -> None:
    health = ejected()
    assert health.ejected([ALICE], 0.0) == set()
    for _ in range(5):
        health.failed(BOB, 0.0)
    assert out(health, 0.0) == set()


def test_after_the_pause_one_request_probes_and_others_wait_for_it() -> None:
    health = ejected()
    assert out(health, 6.0) == set()
    health.asked(ALICE)
    assert out(health, 6.0) == {ALICE}
    assert out(health, 600.0) == {ALICE}


def test_a_probe_that_succeeds_ends_it() -> None:
    health = ejected()
    health.asked(ALICE)
    health.succeeded(ALICE)
    assert out(health, 6.0) == set()
    health.failed(ALICE, 6.0)
    assert out(health, 6.0) == set()


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


def test_failures_of_requests_still_in_flight_do_not_lengthen_the_pause() -> None:
    health = ejected()
    for _ in range(50):
        health.failed(ALICE, 1.0)
    assert out(health, 5.0) == set()


def test_deployments_that_are_gone_are_forgotten() -> None:
    health = ejected()
    health.forget({BOB})
    assert out(health, 0.0) == set()
