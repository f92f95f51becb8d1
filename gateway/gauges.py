"""The numbers of `/metrics` that go up and down: read in every worker when somebody asks, and joined."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from prometheus_client.core import GaugeMetricFamily

from gateway.control_client import ControlError, Message
from gateway.runtime import Gateway

log = structlog.get_logger(__name__)
OPERATION = "gauges"


@dataclass(frozen=True, slots=True)
class Gauge:
    """`together` makes one value of what the workers say, such as `sum` or `max`."""

    name: str
    text: str
    together: Callable[[list[float]], float]
    labels: tuple[str, ...] = ()


_DEPLOYMENT = ("model", "deployment")
# A new one has a line here and one in `_values`.
GAUGES = (
    Gauge("journal_bytes", "Bytes of usage on the workers' disk", sum),
    Gauge("journal_pending_rows", "Rows that are not yet in the database", sum),
    Gauge("journal_lag_seconds", "How long the oldest of them has waited", max),
    Gauge("journal_unrecorded_rows", "Rows that no disk took", sum),
    Gauge("journal_exchanges_not_kept", "Exchanges that no disk took", sum),
    Gauge("deployment_in_flight", "Attempts that were sent and have not ended", sum, _DEPLOYMENT),
    Gauge("queue_length", "Requests that wait for a place", sum, ("model",)),
    Gauge("deployment_ejected", "1: some worker leaves it out because it fails", max, _DEPLOYMENT),
)
_BY_NAME = {gauge.name: gauge for gauge in GAUGES}

type _Value = tuple[str, tuple[str, ...], float]


def read(gateway: Gateway) -> Message:
    """This worker's: `{"values": [[name, [label, ...], number], ...]}`."""
    return {"values": list(_values(gateway))}


def _values(gateway: Gateway) -> Iterator[_Value]:
    journal = gateway.journal
    yield "journal_bytes", (), journal.size_bytes
    yield "journal_pending_rows", (), journal.pending
    yield "journal_lag_seconds", (), gateway.shipper.lag_seconds
    yield "journal_unrecorded_rows", (), journal.unrecorded
    yield "journal_exchanges_not_kept", (), journal.not_kept
    waiting = gateway.lines.lengths()
    running = gateway.books.in_flight.by_id()
    now = time.monotonic()
    for model in gateway.snapshot.models.values():
        yield "queue_length", (model.name,), waiting.get(model.name, 0)
        ejected = gateway.router.health.ejected(model.targets.keys(), now)
        for id, target in model.targets.items():
            names = (model.name, target.name)
            yield "deployment_in_flight", names, running.pop(id, 0)
            yield "deployment_ejected", names, id in ejected
    for left in gateway.books.in_flight:  # at deployments that take nothing new
        if left.id in running:
            yield "deployment_in_flight", (left.model, left.deployment), left.count


def gather(parts: Sequence[Message]) -> Message:
    """Those of all workers, as one worker's."""
    found: dict[tuple[str, ...], list[float]] = {}
    for part in parts:
        for name, labels, value in part["values"]:
            found.setdefault((name, *labels), []).append(value)
    values = [
        (name, labels, _BY_NAME[name].together(said))
        for (name, *labels), said in found.items()
        if name in _BY_NAME  # a worker of another version may know others
    ]
    return {"values": values}


async def of_all(gateway: Gateway) -> list[GaugeMetricFamily]:
    """What all workers say now; this one's alone where they cannot be asked."""
    try:
        said = await gateway.control.of_all({"op": OPERATION})
    except ControlError as error:
        log.warning("gauges_of_this_worker_alone", error=str(error))
        said = {"workers": 1, **gather([read(gateway)])}
    return _families(said["workers"], said["values"])


def _families(workers: int, values: Iterable[Any]) -> list[GaugeMetricFamily]:
    families = {
        gauge.name: GaugeMetricFamily(f"switchyard_{gauge.name}", gauge.text, labels=gauge.labels)
        for gauge in GAUGES
    }
    for name, labels, value in values:
        families[name].add_metric(labels, value)
    said = GaugeMetricFamily("switchyard_workers", "Workers whose gauges these are", value=workers)
    return [said, *families.values()]
