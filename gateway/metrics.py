"""What `/metrics` says, for Prometheus: counts by model, deployment and status; never keys or end users."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from gateway.in_flight import InFlight
from gateway.tallies import Name, Tallies
from usage.drafts import Draft, pack
from usage.journal import Journal
from usage.records import Settled, Started

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_BOUNDS = (*map(floatToGoString, _SECONDS), "+Inf")
STATUSES = ("ok", "failed", "cancelled", "interrupted", "refused", "cached")
_STATUS = {status: place for place, status in enumerate(STATUSES)}
# The cells of one deployment: attempts by status, tokens, cost; two histograms, each its buckets and a sum.
_PROMPT = len(STATUSES)
_COMPLETION, _COST, _LATENCY = _PROMPT + 1, _PROMPT + 2, _PROMPT + 3
_TTFT = _LATENCY + len(_BOUNDS) + 1
_WIDTH = _TTFT + len(_BOUNDS) + 1
# The kinds of rows.
_SERVED, _SHADOW, _UNCOUNTED = "served", "shadow", "uncounted"


class Metrics:
    """What one worker counts, and what all workers did."""

    def __init__(self, tallies: Tallies | None = None) -> None:
        self._tallies = tallies or Tallies()
        self._region = self._tallies.take()
        self._cells = self._region.cells
        self._uncounted = self._region.row((_UNCOUNTED,), 1)
        self._served: dict[tuple[str, str], int] = {}

    def count(self, row: Settled) -> None:
        """Count one settled row."""
        first = self._served.get((row.model, row.deployment))
        if first is None and (first := self._first_of(row.model, row.deployment)) is None:
            return
        cells = self._cells
        cells[first + _STATUS[row.status]] += 1
        if row.prompt_tokens or row.completion_tokens:
            cells[first + _PROMPT] += row.prompt_tokens
            cells[first + _COMPLETION] += row.completion_tokens
        if row.cost_nano:
            cells[first + _COST] += row.cost_nano
        if row.latency_ms is not None:
            self._observe(first + _LATENCY, row.latency_ms / 1000)
        if row.ttft_ms is not None:
            self._observe(first + _TTFT, row.ttft_ms / 1000)

    def _observe(self, first: int, seconds: float) -> None:
        self._cells[first + bisect_left(_SECONDS, seconds)] += 1
        self._cells[first + len(_BOUNDS)] += seconds

    def _first_of(self, model: str, deployment: str) -> int | None:
        """Where this deployment is counted; there is room for some thousand, and more are only noticed."""
        first = self._row((_SERVED, model, deployment), _WIDTH)
        if first is not None:
            self._served[model, deployment] = first
        return first

    def _row(self, name: Name, width: int) -> int | None:
        first = self._region.row(name, width)
        if first is None and self._uncounted is not None:
            self._cells[self._uncounted] += 1
        return first

    def shadow(self, limit: int) -> None:
        """A limit in shadow mode, by the number of its row, would have refused a request."""
        first = self._row((_SHADOW, str(limit)), 1)
        if first is not None:
            self._cells[first] += 1

    def text(self, gauges: Iterable[Metric] = ()) -> bytes:
        """The counts of all workers and these gauges, in Prometheus' text format."""
        registry = CollectorRegistry()
        registry.register(_Told([*gauges, *_families(self._tallies.sums())]))
        return generate_latest(registry)


@dataclass(frozen=True, eq=False)
class _Told(Collector):
    families: Iterable[Metric]

    def collect(self) -> Iterable[Metric]:
        return self.families


def _families(sums: dict[Name, list[float]]) -> Iterator[Metric]:
    labels = ("model", "deployment")
    attempts = _counter("attempts", "Attempts at deployments, and refusals", (*labels, "status"))
    tokens = _counter("tokens", "Tokens by kind", (*labels, "kind"))
    cost = _counter("cost_nano_dollars", "Cost in billionths of a dollar", labels)
    latency = _histogram("latency_seconds", "From sending to the end of the answer", labels)
    ttft = _histogram("first_token_seconds", "From sending to the first token", labels)
    shadow = _counter("shadow_refusals", "Requests that a shadow limit would have refused", ("limit",))
    uncounted = _counter("uncounted", "What is missing in these numbers, for want of room", ())
    for (kind, *names), cells in sums.items():
        if kind == _SHADOW:
            shadow.add_metric(names, cells[0])
        elif kind == _UNCOUNTED:
            uncounted.add_metric(names, cells[0])
        else:
            for status, count in zip(STATUSES, cells, strict=False):
                if count:
                    attempts.add_metric([*names, status], count)
            if cells[_PROMPT] or cells[_COMPLETION]:
                tokens.add_metric([*names, "prompt"], cells[_PROMPT])
                tokens.add_metric([*names, "completion"], cells[_COMPLETION])
            if cells[_PROMPT] or cells[_COMPLETION] or cells[_COST]:
                cost.add_metric(names, cells[_COST])
            _add(latency, names, cells[_LATENCY:_TTFT])
            _add(ttft, names, cells[_TTFT:_WIDTH])
    yield from (attempts, tokens, cost, latency, ttft, shadow, uncounted)


def _add(histogram: HistogramMetricFamily, names: list[str], cells: list[float]) -> None:
    *buckets, seconds = cells
    if any(buckets):
        up_to = zip(_BOUNDS, accumulate(buckets), strict=True)
        histogram.add_metric(names, list(up_to), seconds)


def _counter(name: str, text: str, labels: tuple[str, ...]) -> CounterMetricFamily:
    return CounterMetricFamily(f"switchyard_{name}", text, labels=labels)


def _histogram(name: str, text: str, labels: tuple[str, ...]) -> HistogramMetricFamily:
    return HistogramMetricFamily(f"switchyard_{name}", text, labels=labels)


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
