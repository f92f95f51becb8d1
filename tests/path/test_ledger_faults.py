"""The faults of the ledger in small; `make torture` has the full numbers."""

from collections.abc import Iterator

import pytest

from tests.conftest import _database
from tests.services import Postgres
from tests.torture import faults
from tests.torture.rig import Rig
from tests.torture.rig import rig as made

pytestmark = [pytest.mark.postgres, pytest.mark.redis]


@pytest.fixture(scope="module")
def rig(postgres: Postgres, redis_url: str) -> Iterator[Rig]:
    for url in _database(postgres.url("postgres"), "switchyard_faults"):
        with made(url, redis_url) as running:
            yield running


def test_kill_9_loses_doubles_and_invents_nothing(migrated_postgres: str, redis_url: str) -> None:
    with made(migrated_postgres, redis_url) as rig:
        told = faults.kills(rig, requests=300, kills=3, seed=4)
    assert (told.lost, told.doubled, told.phantom) == (0, 0, 0)
    assert (told.inexact, told.not_ok, told.without_estimate) == (0, 0, 0), told.examples
    assert told.interrupted > 0


def test_an_absent_database_costs_no_client_and_no_row(rig: Rig, postgres: Postgres) -> None:
    told = faults.outage(rig, "outage", postgres.stop, postgres.start, seconds=4, rate=20)
    assert (told.failures, told.lost, told.doubled, told.rows) == (0, 0, 0, told.asked)
    assert told.memory_grown_mb <= 50


def test_a_lost_answer_to_a_commit_loses_and_doubles_nothing(rig: Rig) -> None:
    told = faults.cuts(rig, 3, rate=20, patience=60)
    assert (told.cuts, told.failures) == (3, 0)
    assert (told.lost, told.doubled, told.phantom, told.rows) == (0, 0, 0, told.asked)


def test_a_client_that_left_pays_for_what_it_got_and_frees_what_it_held(rig: Rig) -> None:
    told = faults.leaves(rig, [1, 2, 3, 5, 8])
    assert told.rows == told.left == told.refused_meanwhile == 5
    assert told.off <= 1
    assert (told.not_cancelled, told.not_estimated) == (0, 0)
    assert max(told.slowest_freed_after, told.slowest_tokens_freed_after) <= 1


def test_usage_that_is_odd_is_flagged_or_right(rig: Rig) -> None:
    told = faults.odd_usage(rig, times=1)
    assert told.rows == told.asked
    assert (told.failures, told.wrong, told.negative) == (0, 0, 0), told.examples
