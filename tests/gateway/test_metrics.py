"""What Prometheus reads of the workers' counts."""

from typing import Any

import pytest

from gateway.metrics import STATUSES, Metrics
from gateway.tallies import Tallies
from usage.ids import unix_ms, uuid7
from usage.models import Attempt
from usage.records import Settled


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def _row(status: str = "ok", prompt: int = 7, **fields: Any) -> Settled:
    id = uuid7()
    given: dict[str, Any] = {
        "attempt_id": id,
        "request_id": "r",
        "started_at": unix_ms(id),
        "key": "alice",
        "key_id": "a",
        "team": "research",
        "end_user": "carol",
        "model": "llm",
        "deployment": "llm/a",
        "provider": "local",
        "endpoint": "chat/completions",
        "stream": False,
        "config_version": 1,
        "status": status,
        "prompt_tokens": prompt,
        "completion_tokens": 3,
        "latency_ms": 200,
    }
    return Settled(**given | fields)


def test_attempts_and_tokens_are_counted_by_model_and_deployment(metrics: Metrics) -> None:
    metrics.count(_row())
    metrics.count(_row("failed"))
    text = metrics.text().decode()
    assert 'switchyard_attempts_total{deployment="llm/a",model="llm",status="ok"} 1.0' in text
    assert 'switchyard_tokens_total{deployment="llm/a",kind="prompt",model="llm"} 14.0' in text
    assert 'switchyard_latency_seconds_count{deployment="llm/a",model="llm"} 2.0' in text


def test_keys_teams_and_end_users_are_never_labels(metrics: Metrics) -> None:
    metrics.count(_row())
    text = metrics.text().decode()
    assert not any(name in text for name in ("alice", "research", "carol"))


def test_two_workers_are_summed_and_their_histograms_too() -> None:
    tallies = Tallies(2)
    alices, bobs = Metrics(tallies), Metrics(tallies)
    for seconds in (0.05, 0.051, 7):
        alices.count(_row(latency_ms=round(seconds * 1000)))
        bobs.count(_row(latency_ms=round(seconds * 1000), ttft_ms=1000))
    bobs.count(_row(latency_ms=400_000))
    assert alices.text() == bobs.text()
    told = values(alices)
    at = 'deployment="llm/a"'
    assert told[f'switchyard_attempts_total{{{at},model="llm",status="ok"}}'] == 7
    buckets = {
        le: told[f'switchyard_latency_seconds_bucket{{{at},le="{le}",model="llm"}}']
        for le in ("0.05", "0.1", "5.0", "10.0", "300.0", "+Inf")
    }
    assert buckets == {"0.05": 2, "0.1": 4, "5.0": 4, "10.0": 6, "300.0": 6, "+Inf": 7}
    assert told[f'switchyard_latency_seconds_count{{{at},model="llm"}}'] == 7
    assert told[f'switchyard_latency_seconds_sum{{{at},model="llm"}}'] == pytest.approx(414.202)
    assert told[f'switchyard_first_token_seconds_sum{{{at},model="llm"}}'] == 3


def test_what_costs_without_tokens_is_counted(metrics: Metrics) -> None:
    metrics.count(_row(prompt=0, completion_tokens=0, cost_nano=12))
    told = values(metrics)
    assert told['switchyard_cost_nano_dollars_total{deployment="llm/a",model="llm"}'] == 12


def test_shadow_limits_are_counted_by_their_number(metrics: Metrics) -> None:
    metrics.shadow(7)
    metrics.shadow(7)
    assert values(metrics)['switchyard_shadow_refusals_total{limit="7"}'] == 2


def test_every_status_of_a_usage_row_can_be_counted(metrics: Metrics) -> None:
    assert set(STATUSES) == set(Attempt.Status.values)
    for status in STATUSES:
        metrics.count(_row(status))
    assert metrics.text().count(b"\nswitchyard_attempts_total{") == len(STATUSES)


def test_more_deployments_than_there_is_room_for_are_noticed(metrics: Metrics) -> None:
    for number in range(4000):
        metrics.count(_row(deployment=f"llm/{number}"))
    told = values(metrics)
    counted = [value for name, value in told.items() if name.startswith("switchyard_attempts_total")]
    missing = told["switchyard_uncounted_total"]
    assert len(counted) > 1000
    assert sum(counted) + missing == 4000
    metrics.count(_row(deployment="llm/0"))
    assert values(metrics)['switchyard_attempts_total{deployment="llm/0",model="llm",status="ok"}'] == 2


def values(metrics: Metrics) -> dict[str, float]:
    """Every sample by its name and labels."""
    lines = [line for line in metrics.text().decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}
