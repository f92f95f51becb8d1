"""Limits under faults in small, at two hosts; `make torture` has the full numbers."""

from collections.abc import Iterator

import pytest

from tests.conftest import _database
from tests.services import Postgres
from tests.torture import limit_faults as faults
from tests.torture import limit_mix as mixes
from tests.torture import limit_outages as outages
from tests.torture.hosts import Hosts
from tests.torture.hosts import hosts as made

pytestmark = [pytest.mark.postgres, pytest.mark.redis]


@pytest.fixture(scope="module")
def hosts(postgres: Postgres) -> Iterator[Hosts]:
    for url in _database(postgres.url("postgres"), "switchyard_limit_faults"):
        with made(url, faults.entries, faults.PREPARE) as running:
            yield running


def test_all_at_once_a_budget_is_never_overspent(hosts: Hosts) -> None:
    told = faults.budgets(hosts, requests=40, budget=10, rounds=3, hold=0.5)
    assert told.admitted == [10] * 3
    assert (told.refused, told.together) == (90, 10)
    assert (told.excess, told.drift) == (0, 0)


@pytest.mark.parametrize("metric", ["tokens", "cost"])
def test_what_is_settled_below_its_estimate_is_there_for_others(hosts: Hosts, metric: str) -> None:
    told = faults.waves(hosts, metric, requests=16, budget=8, hold=0.5)
    assert told.admitted == told.due == [8, 4, 2, 1, 0]
    assert told.excess == 0


def test_a_new_key_used_at_once_by_all_is_held_to_its_limit(hosts: Hosts) -> None:
    told = faults.newborns(hosts, requests=60, limit=20, rounds=1)
    assert (told.passed, told.refused) == ([20], 40)


def test_a_killed_worker_gives_back_what_it_held_and_pays_its_estimates(hosts: Hosts) -> None:
    told = faults.kill(hosts, 20, hurry=True)
    judge_kill(told)


def judge_kill(told: faults.Kill) -> None:
    assert (told.held_before, told.slots_before) == (20 * faults.TOKENS, 20)
    assert told.full_before
    assert told.slots_after == 0
    assert (told.interrupted, told.inexact) == (20, 0)
    assert told.tokens == (20 * faults.TOKENS,) * 2
    assert told.cost == (20 * faults.COST,) * 2
    assert told.requests == (20, 20)


def test_what_one_limit_refuses_costs_the_others_nothing(hosts: Hosts) -> None:
    told = faults.refusals(hosts, times=10)
    assert told.refused == told.rows == told.cases * 10
    assert told.consumed == []


def test_while_redis_is_silent_hosts_count_their_shares_and_make_it_up(hosts: Hosts) -> None:
    told = outages.silence(hosts, seconds=3, rate=40, around=1.5)
    judge_silence(told)


def judge_silence(told: outages.Silence) -> None:
    assert told.success >= 0.999, told.failures
    assert 0 < told.tight <= 1.1 * told.tight_limit
    served, waited, neither = told.closed_meanwhile
    assert waited > 0
    assert (served, neither) == (0, 0)
    assert told.closed_after[0] > 0
    assert told.closed_after[1:] == (0, 0)
    assert told.drift == {}


def test_a_redis_that_lost_everything_learns_what_was_used(hosts: Hosts) -> None:
    judge_kept(outages.emptied(hosts))


def test_budgets_survive_a_restart_of_everything(hosts: Hosts) -> None:
    judge_kept(outages.restarted(hosts))


def test_without_redis_budgets_survive_a_kill() -> None:
    judge_kept(outages.embedded())


def judge_kept(told: outages.Kept) -> None:
    assert set(told.used.values()) == {outages.USED}
    assert set(told.told.values()) == {50}
    assert told.admitted == told.due
    assert told.drift == {}


@pytest.mark.early
def test_after_every_fault_nothing_is_held_and_counters_are_their_rows(
    migrated_postgres: str,
) -> None:
    with mixes.mixed_hosts(migrated_postgres) as hosts:
        judge_mix(mixes.mix(hosts, requests=300, most=48))


def judge_mix(told: mixes.Mix) -> None:
    assert told.faults >= 25
    assert told.statuses.get("0", 0) == 0
    assert told.statuses["200"] > told.requests / 5
    assert told.left > 0
    assert told.retries > 0
    assert told.rows["refused"] >= told.refused_rows[0] > 0
    assert (told.tickets_left, told.flying_left) == (0, {})
    assert (told.drift, told.drift_at_last, told.beyond) == ({}, {}, {})
