"""Which of two deployments is asked, by each strategy, at a running gateway."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.gateway_process import Entry, Gateway, config_of
from tests.path.client import Client
from tests.upstream import Behaviour, Upstream, error

DEAR, CHEAP = ({"input_cost_per_token": cost, "output_cost_per_token": cost} for cost in (0.00002, 0.00001))
# The strategy of each model, and what its deployments at the first and second provider have of their own.
MODELS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "busy": ("least-busy", {}, {}),
    "slow": ("latency", {}, {}),
    "slow-stream": ("latency", {}, {}),
    "failing": ("latency", {}, {}),
    "dear": ("cost", DEAR, CHEAP),
    "cheap-fails": ("cost", DEAR, CHEAP),
    "roomy": ("usage", {"rpm": 20, "weight": 1}, {"rpm": 60, "weight": 1}),
}


def config(one: Upstream, two: Upstream) -> str:
    entries = []
    for name, (_, first, second) in MODELS.items():
        entries += [Entry(name, one.url, params=first), Entry(name, two.url, params=second)]
    written = json.loads(config_of(entries))
    for row in written["model_list"]:
        row["model_info"] = {"switchyard_strategy": MODELS[row["model_name"]][0]}
    return json.dumps(written)


@pytest.fixture(scope="module")
def alice(upstream: Upstream, spare: Upstream) -> Iterator[Client]:
    with Gateway(config(upstream, spare)) as gateway:
        yield Client(gateway, gateway.create_key("alice"))


def chat(alice: Client, model: str, times: int, **fields: Any) -> None:
    assert {alice.chat(model, **fields).status for _ in range(times)} == {200}


def asked(upstream: Upstream, spare: Upstream, model: str) -> tuple[int, int]:
    return len(upstream.log(model)), len(spare.log(model))


def test_least_busy_leaves_a_busy_deployment_alone(
    alice: Client, upstream: Upstream, spare: Upstream
) -> None:
    for provider in (upstream, spare):
        provider.behave(Behaviour(fault="hang", fault_after=1), Behaviour(), model="busy")
    with alice.open("busy", stream=True) as line:
        line.read_until(b"data: ")
        busy, free = (upstream, spare) if upstream.log("busy") else (spare, upstream)
        free.behave(Behaviour(), model="busy")
        chat(alice, "busy", 6)
        assert (len(busy.log("busy")), len(free.log("busy"))) == (1, 6)
    busy.wait(lambda log: log[0].ended != "open", "busy")
    chat(alice, "busy", 4)
    assert len(busy.log("busy")) > 1


@pytest.mark.parametrize(
    ("model", "behaviour", "stream"),
    [
        ("slow", Behaviour(head_delay=0.4), False),
        ("slow-stream", Behaviour(delay=0.4), True),  # its head comes at once, its first event does not
        ("failing", error(503), False),
    ],
)
def test_latency_asks_a_slow_or_failing_deployment_once_and_then_the_other(
    alice: Client, upstream: Upstream, spare: Upstream, model: str, behaviour: Behaviour, stream: bool
) -> None:
    upstream.behave(behaviour, model=model)
    chat(alice, model, 10, stream=stream)
    assert len(upstream.log(model)) == 1
    assert len(spare.log(model)) >= 9


def test_cost_asks_the_cheap_one(alice: Client, upstream: Upstream, spare: Upstream) -> None:
    chat(alice, "dear", 6)
    assert asked(upstream, spare, "dear") == (0, 6)


def test_the_dear_one_answers_when_the_cheap_one_fails(
    alice: Client, upstream: Upstream, spare: Upstream
) -> None:
    spare.behave(error(500), model="cheap-fails")
    chat(alice, "cheap-fails", 2)
    assert asked(upstream, spare, "cheap-fails") == (2, 2)


def test_usage_fills_the_limits_evenly(alice: Client, upstream: Upstream, spare: Upstream) -> None:
    chat(alice, "roomy", 40)
    assert asked(upstream, spare, "roomy") == (10, 30)
