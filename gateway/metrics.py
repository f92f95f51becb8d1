"""What `/metrics` says, for Prometheus: counts by model, deployment and status; never keys or end users."""

from collections.abc import Callable, Iterator
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from gateway.in_flight import InFlight
from usage.drafts import Draft, pack
from usage.journal import Journal
from usage.records import Settled, Started
from usage.shipper import Shipper

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class _JournalCollector(Collector):
    """The state of journal and shipper, read when somebody asks."""

    def __init__(self, journal: Journal, shipper: Shipper) -> None:
        self._journal = journal
        self._shipper = shipper

    def collect(self) -> Iterator[GaugeMetricFamily]:
        journal = self._journal
        yield _gauge("journal_bytes", "Bytes of usage on this worker's disk", journal.size_bytes)
        yield _gauge("journal_pending_rows", "Rows that are not yet in the database", journal.pending)
        yield _gauge(
            "journal_lag_seconds", "How long the oldest of them has waited", self._shipper.lag_seconds
        )
        yield _gauge("journal_unrecorded_rows", "Rows that no disk took", journal.unrecorded)
        yield _gauge("journal_exchanges_not_kept", "Exchanges that no disk took", journal.not_kept)


class Metrics:
    """The counters of one worker."""

    def __init__(self, journal: Journal, shipper: Shipper) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_JournalCollector(journal, shipper))
        labels = ("model", "deployment")
        self._attempts = self._counter(
            "attempts", "Attempts at deployments, and refusals", (*labels, "status")
        )
        self._tokens = self._counter("tokens", "Tokens by kind", (*labels, "kind"))
        self._cost = self._counter("cost_nano_dollars", "Cost in billionths of a dollar", labels)
        self._shadow = self._counter(
            "shadow_refusals", "Requests that a limit in shadow mode would have refused", ("limit",)
        )
        self._latency = self._histogram("latency_seconds", "From sending to the end of the answer", labels)
        self._ttft = self._histogram("first_token_seconds", "From sending to the first token", labels)

    def count(self, row: Settled) -> None:
        """Count one settled row."""
        self._attempts(row.model, row.deployment, row.status).inc()
        if row.prompt_tokens or row.completion_tokens:
            self._tokens(row.model, row.deployment, "prompt").inc(row.prompt_tokens)
            self._tokens(row.model, row.deployment, "completion").inc(row.completion_tokens)
            self._cost(row.model, row.deployment).inc(row.cost_nano)
        if row.latency_ms is not None:
            self._latency(row.model, row.deployment).observe(row.latency_ms / 1000)
        if row.ttft_ms is not None:
            self._ttft(row.model, row.deployment).observe(row.ttft_ms / 1000)

    def shadow(self, limit: int) -> None:
        """A limit in shadow mode, by the number of its row, would have refused a request."""
        self._shadow(str(limit)).inc()

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self.registry)

    # Both give the child of some labels. The library keeps these too, but takes longer to find one
    # than to count with it.

    def _counter(self, name: str, text: str, labels: tuple[str, ...]) -> Callable[..., Counter]:
        return cache(Counter(name, text, labels, namespace="switchyard", registry=self.registry).labels)

    def _histogram(self, name: str, text: str, labels: tuple[str, ...]) -> Callable[..., Histogram]:
        whole = Histogram(
            name, text, labels, namespace="switchyard", buckets=_SECONDS, registry=self.registry
        )
        return cache(whole.labels)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"switchyard_{name}", text, value=value)


class Books:
    """Where attempts are written down: the journal keeps every record, the metrics count every end.

    `in_flight`: those that have begun and not ended.
    """

    def __init__(self, journal: Journal, metrics: Metrics) -> None:
        self.in_flight = InFlight()
        self._journal = journal
        self._metrics = metrics

    def started(self, record: Started) -> None:
        """Raises `JournalFull`."""
        self._journal.started(record)

    def kept(self, draft: Draft) -> None:
        self._journal.kept(pack(draft))

    def settled(self, record: Settled) -> None:
        self._journal.settled(record)
        self._metrics.count(record)
