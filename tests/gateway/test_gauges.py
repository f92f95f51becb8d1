"""What the workers say of this moment, put together."""

from collections.abc import Sequence

from gateway.gauges import _families, gather
from gateway.in_flight import InFlight
from gateway.metrics import Metrics


def together(*parts: Sequence[tuple[str, list[str], float]]) -> dict[tuple[str, ...], float]:
    told = gather([{"values": part} for part in parts])
    return {(name, *labels): value for name, labels, value in told["values"]}


def test_what_runs_is_summed_and_the_worst_of_what_is_ejected_is_told() -> None:
    a = ["llm", "llm/a"]
    one = [("deployment_in_flight", a, 2), ("deployment_ejected", a, 0), ("journal_lag_seconds", [], 0.5)]
    two = [("deployment_in_flight", a, 3), ("deployment_ejected", a, 1), ("journal_lag_seconds", [], 9)]
    assert together(one, two) == {
        ("deployment_in_flight", *a): 5,
        ("deployment_ejected", *a): 1,
        ("journal_lag_seconds",): 9,
    }


def test_what_a_worker_of_another_version_says_beside_is_left_out() -> None:
    assert together([("journal_bytes", [], 1), ("moons", ["x"], 1)]) == {("journal_bytes",): 1}


def test_they_are_told_with_the_counts_in_one_text() -> None:
    text = Metrics().text(_families(2, [("deployment_in_flight", ["llm", "llm/a"], 5)])).decode()
    assert "switchyard_workers 2.0\n" in text
    assert 'switchyard_deployment_in_flight{deployment="llm/a",model="llm"} 5.0\n' in text
    assert text.count("# TYPE switchyard_uncounted_total counter") == 1


def test_what_is_in_flight_is_counted_by_deployment_and_forgotten_when_idle() -> None:
    running = InFlight()
    for id in (1, 1, 2):
        running.began(id, "llm", f"llm/{id}")
    running.ended(1)
    running.ended(2)
    assert running.by_id() == {1: 1}
    running.forget_idle()
    assert [(each.id, each.deployment, each.count) for each in running] == [(1, "llm/1", 1)]
    running.ended(1)
    assert running.by_id() == {}
