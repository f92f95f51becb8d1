"""The ledger under every fault, at full numbers: what the provider served is there once, whatever broke."""

from collections.abc import Callable
from dataclasses import asdict

import pytest

from tests.services import Postgres
from tests.torture import faults
from tests.torture.rig import Rig
from tests.torture.rig import rig as made

pytestmark = [pytest.mark.torture, pytest.mark.postgres, pytest.mark.redis]
type Write = Callable[[dict[str, object]], None]


def test_ledger_kills(postgres_database: str, redis_url: str, torture_result: Write) -> None:
    with made(postgres_database, redis_url) as rig:
        told = faults.kills(rig, requests=5000, kills=20)
    torture_result(asdict(told))
    assert (told.lost, told.doubled, told.phantom) == (0, 0, 0)
    assert (told.inexact, told.not_ok, told.without_estimate) == (0, 0, 0), told.examples
    assert told.interrupted > 0
    assert told.of_groups > 0


def test_ledger_outage(rig: Rig, postgres: Postgres, torture_result: Write) -> None:
    told = faults.outage(rig, "outage", postgres.stop, postgres.start, seconds=60, rate=30)
    torture_result(asdict(told))
    judge_outage(told)


def test_ledger_silence(rig: Rig, torture_result: Write) -> None:
    """Worse than a server that is gone: one that takes every byte and answers none."""
    told = faults.outage(rig, "silence", rig.proxy.freeze, rig.proxy.thaw, seconds=60, rate=30)
    torture_result(asdict(told))
    judge_outage(told)


def judge_outage(told: faults.Outage) -> None:
    assert told.asked >= told.seconds * told.rate
    assert (told.failures, told.lost, told.doubled) == (0, 0, 0)
    assert told.rows == told.asked
    assert told.rows_after <= 30
    assert told.memory_grown_mb <= 50


def test_ledger_commit_cuts(rig: Rig, torture_result: Write) -> None:
    told = faults.cuts(rig, 100, rate=20, patience=900)
    torture_result(asdict(told))
    assert told.cuts == 100
    assert (told.failures, told.lost, told.doubled, told.phantom) == (0, 0, 0, 0)
    assert told.rows == told.asked


def test_ledger_client_leaves(rig: Rig, torture_result: Write) -> None:
    told = faults.leaves(rig, list(range(1, 101)))
    torture_result(asdict(told))
    assert told.rows == told.left == 100
    assert told.off <= 1
    assert (told.not_cancelled, told.not_estimated) == (0, 0)
    assert told.refused_meanwhile == 100
    assert told.slowest_freed_after <= 1
    assert told.slowest_tokens_freed_after <= 1


def test_ledger_odd_usage(rig: Rig, torture_result: Write) -> None:
    told = faults.odd_usage(rig, times=25)
    torture_result(asdict(told))
    assert told.rows == told.asked
    assert (told.failures, told.wrong, told.negative) == (0, 0, 0), told.examples[:3]
