"""`/metrics` of a gateway of two workers that share a Redis, whichever of them answers."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest

from gateway.control_client import ask
from tests.gateway.serving import until
from tests.gateway_process import Entry, Gateway, config_of
from tests.path.client import Client
from tests.upstream import Behaviour, Upstream, error

MODELS = ("counted", "hanging", "ailing", "slain")


@pytest.fixture(scope="module")
def alice(redis_url: str, upstream: Upstream, spare: Upstream) -> Iterator[Client]:
    entries = [Entry(name, upstream.url) for name in MODELS]
    entries.append(Entry("ailing", spare.url))
    env = {"REDIS_URL": redis_url, "WEB_CONCURRENCY": "2"}
    with Gateway(config_of(entries), env) as gateway:
        until(lambda: workers(gateway) == 2, "two workers")
        yield Client(gateway, gateway.create_key("alice"))


def workers(gateway: Gateway) -> int:
    return int(ask(gateway.data, {"op": "workers"})["workers"])


def scrape(client: Client) -> dict[str, float]:
    """Every sample by its name and labels, from any worker."""
    reply = client.get("/metrics")
    assert reply.status == 200
    lines = [line for line in reply.body.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def sample(told: dict[str, float], name: str, model: str, *others: str) -> float:
    """The sum of this name's samples of this model that have these labels too."""
    wanted = (f'model="{model}"', *others)
    return sum(
        value
        for line, value in told.items()
        if line.startswith(f"switchyard_{name}{{") and all(label in line for label in wanted)
    )


def test_both_workers_tell_what_both_counted(alice: Client) -> None:
    lengths = [alice.chat("counted").json["usage"]["total_tokens"] for _ in range(20)]
    told = [scrape(alice) for _ in range(8)]
    for each in told:
        assert sample(each, "attempts_total", "counted", 'status="ok"') == 20
        assert sample(each, "tokens_total", "counted") == sum(lengths)
        assert sample(each, "latency_seconds_count", "counted") == 20
        assert sample(each, "latency_seconds_bucket", "counted", 'le="+Inf"') == 20
        assert each["switchyard_workers"] == 2
    seconds = sample(told[0], "latency_seconds_sum", "counted")
    rows = alice.gateway.usage(20)
    assert seconds == pytest.approx(sum(r["latency_ms"] for r in rows if r["model"] == "counted") / 1000)


def test_requests_for_unknown_models_leave_no_label(alice: Client) -> None:
    assert {alice.chat(f"nobody-knows-{number}").status for number in range(6)} == {404}
    assert "nobody-knows" not in alice.get("/metrics").body.decode()


def test_what_is_in_flight_at_both_workers_is_summed_also_while_it_drains(
    alice: Client, upstream: Upstream
) -> None:
    upstream.behave(*[Behaviour(fault="hang", fault_after=1)] * 8, Behaviour(), model="hanging")
    lines = [alice.open("hanging", stream=True) for _ in range(8)]
    try:
        for line in lines:
            line.read_until(b"data: ")
        assert {sample(scrape(alice), "deployment_in_flight", "hanging") for _ in range(4)} == {8}
        name = f"hanging/openai-127.0.0.1-{upstream.port}"
        assert '"in_flight": 8' in alice.gateway.manage("drain", name)
        until(lambda: alice.chat("hanging").status == 503, "a worker that knows")
        assert sample(scrape(alice), "deployment_in_flight", "hanging") == 8
    finally:
        for line in lines:
            line.leave()
    until(lambda: sample(scrape(alice), "deployment_in_flight", "hanging") == 0, "the end of all")


def test_a_deployment_that_some_worker_leaves_out_is_told(alice: Client, upstream: Upstream) -> None:
    upstream.behave(error(503), model="ailing")
    sick = f'deployment="ailing/openai-127.0.0.1-{upstream.port}"'
    assert sample(scrape(alice), "deployment_ejected", "ailing") == 0
    until(
        lambda: alice.chat("ailing").status and sample(scrape(alice), "deployment_ejected", "ailing", sick),
        "an ejection",
    )
    assert {sample(scrape(alice), "deployment_ejected", "ailing", sick) for _ in range(6)} == {1}
    assert sample(scrape(alice), "deployment_ejected", "ailing") == 1


def test_counts_never_fall_when_workers_are_killed(alice: Client) -> None:
    """A crowd asks, Prometheus looks, and each worker is killed once."""
    done = threading.Event()
    answered = [0, 0, 0]

    def ask_on(number: int) -> None:
        while not done.is_set():
            try:
                answered[number] += alice.chat("slain").status == 200
            except OSError:  # its worker was killed
                time.sleep(0.01)

    crowd = [threading.Thread(target=ask_on, args=(number,)) for number in range(len(answered))]
    for one in crowd:
        one.start()
    seen: list[dict[str, float]] = []

    def look() -> dict[str, float]:
        while True:
            try:
                seen.append(scrape(alice))
            except OSError:
                continue
            return seen[-1]

    try:
        for pid in _pids(alice.gateway):
            before = sum(answered)
            until(lambda: look() and sum(answered) > before + 20, "twenty answers")  # noqa: B023
            os.kill(pid, signal.SIGKILL)
            for _ in range(5):
                look()
            until(lambda: look()["switchyard_workers"] == 2, "two workers")
    finally:
        done.set()
        for one in crowd:
            one.join()
    look()
    for earlier, later in pairwise(seen):
        fallen = [
            (name, value, later.get(name))
            for name, value in earlier.items()
            if name.partition("{")[0].endswith(("_total", "_count", "_sum", "_bucket"))
            and later.get(name, -1.0) < value
        ]
        assert fallen == []
    counted = sample(seen[-1], "attempts_total", "slain", 'status="ok"')
    assert sum(answered) <= counted

    def written() -> int:
        rows = alice.gateway.exported()
        return sum(row["model"] == "slain" and row["status"] == "ok" for row in rows)

    until(lambda: written() >= counted, "a row for each")
    # a worker that was killed between its journal and its count
    assert written() - counted <= 2


def _pids(gateway: Gateway) -> list[int]:
    return [int(path.stem) for path in (gateway.data / "control.d").glob("*.sock")]
