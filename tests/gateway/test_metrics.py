"""What Prometheus reads of a worker."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.metrics import Books, Metrics
from usage.ids import unix_ms, uuid7
from usage.journal import Journal
from usage.records import Settled
from usage.shipper import Shipper


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path)
    yield journal
    journal.close()


@pytest.fixture
def metrics(journal: Journal) -> Metrics:
    return Metrics(journal, Shipper(journal))


def _row(status: str = "ok", prompt: int = 7) -> Settled:
    id = uuid7()
    return Settled(
        attempt_id=id,
        request_id="r",
        started_at=unix_ms(id),
        key="alice",
        key_id="a",
        team="research",
        end_user="carol",
        model="llm",
        deployment="llm/a",
        provider="local",
        endpoint="chat/completions",
        stream=False,
        config_version=1,
        status=status,
        prompt_tokens=prompt,
        completion_tokens=3,
        latency_ms=200,
    )


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


def test_the_journal_shows_its_size_and_what_waits(journal: Journal, metrics: Metrics) -> None:
    Books(journal, metrics).settled(_row())
    text = metrics.text().decode()
    assert "switchyard_journal_pending_rows 1.0" in text
    size = next(line for line in text.splitlines() if line.startswith("switchyard_journal_bytes"))
    assert float(size.split()[1]) > 100
