"""Limits and budgets under every fault, at full numbers, at two hosts with one PostgreSQL and one Redis."""

from collections.abc import Callable, Iterator
from dataclasses import asdict

import pytest

from tests.conftest import _database
from tests.path.test_limit_faults import judge_kept, judge_kill, judge_mix, judge_silence
from tests.services import Postgres
from tests.torture import limit_faults as faults
from tests.torture import limit_mix as mixes
from tests.torture import limit_outages as outages
from tests.torture.hosts import Hosts
from tests.torture.hosts import hosts as made

pytestmark = [pytest.mark.torture, pytest.mark.postgres, pytest.mark.redis]
type Write = Callable[[dict[str, object]], None]


@pytest.fixture(scope="module")
def hosts(postgres: Postgres) -> Iterator[Hosts]:
    for url in _database(postgres.url("postgres"), "switchyard_limits_torture"):
        with made(url, faults.entries, faults.PREPARE) as running:
            yield running


def test_limits_budgets_at_once(hosts: Hosts, torture_result: Write) -> None:
    told = faults.budgets(hosts, requests=200, budget=50, rounds=20, hold=1.5)
    torture_result(asdict(told))
    assert len(told.admitted) == 20
    assert set(told.admitted) <= {49, 50}
    assert told.refused == 20 * 200 - sum(told.admitted)
    assert told.together >= 49
    assert (told.excess, told.drift) == (0, 0)


@pytest.mark.parametrize("metric", ["tokens", "cost"])
def test_limits_settled_at_half(hosts: Hosts, metric: str, torture_result: Write) -> None:
    told = faults.waves(hosts, metric, requests=200, budget=50, hold=3)
    torture_result(asdict(told))
    assert told.admitted == told.due == [50, 25, 12, 6, 3, 2, 1, 0]
    assert told.excess == 0


def test_limits_newborn_keys(hosts: Hosts, torture_result: Write) -> None:
    told = faults.newborns(hosts, requests=60, limit=20, rounds=20)
    torture_result(asdict(told))
    assert told.passed == [20] * 20
    assert told.refused == 20 * 40


def test_limits_refusals(hosts: Hosts, torture_result: Write) -> None:
    told = faults.refusals(hosts, times=100)
    torture_result(asdict(told))
    assert told.refused == told.rows == told.cases * 100
    assert told.consumed == []


def test_limits_killed_worker(hosts: Hosts, torture_result: Write) -> None:
    told = faults.kill(hosts, 20, hurry=False)
    torture_result(asdict(told))
    judge_kill(told)
    assert max(told.slot_free_after, told.held_free_after) <= 35


def test_limits_redis_silent(hosts: Hosts, torture_result: Write) -> None:
    told = outages.silence(hosts, seconds=60, rate=40, around=20)
    torture_result(asdict(told) | {"success": told.success})
    judge_silence(told)
    assert told.before is not None
    assert told.meanwhile is not None
    assert told.meanwhile.p99 <= told.before.p99 + 5
    assert told.exact_after <= 60


def test_limits_redis_emptied(hosts: Hosts, torture_result: Write) -> None:
    told = outages.emptied(hosts)
    torture_result(asdict(told))
    judge_kept(told)


def test_limits_all_restarted(hosts: Hosts, torture_result: Write) -> None:
    told = outages.restarted(hosts)
    torture_result(asdict(told))
    judge_kept(told)


def test_limits_embedded_killed(torture_result: Write) -> None:
    told = outages.embedded()
    torture_result(asdict(told))
    judge_kept(told)


def test_limits_mixed_faults(postgres_database: str, torture_result: Write) -> None:
    with mixes.mixed_hosts(postgres_database) as hosts:
        told = mixes.mix(hosts, requests=10_000, most=64)
    torture_result(asdict(told))
    judge_mix(told)
    assert told.held_free_after <= 90


def test_limits_mixed_faults_and_stops(postgres_database: str, torture_result: Write) -> None:
    """Redis stops for a moment again and again: what of it was not counted at once, the ledger makes good."""
    with mixes.mixed_hosts(postgres_database) as hosts:
        told = mixes.mix(hosts, requests=3000, most=64, stopping=0.25)
    torture_result(asdict(told))
    assert told.stops > 10
    assert told.drift_at_last == {}
    assert told.exact_after <= 60
    assert (told.tickets_left, told.flying_left) == (0, {})
    assert told.held_free_after <= 90
