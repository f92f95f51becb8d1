"""A deployment is drained at a running gateway of two workers that share a Redis."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from gateway.control_client import Message, ask
from tests.gateway.serving import until
from tests.gateway_process import Entry, Gateway, config_of
from tests.path.client import Client
from tests.upstream import ROOT, Behaviour, Upstream, error

STRATEGIES = ("weighted", "least-busy", "latency", "cost", "usage")
# Each test's own models, all with a deployment at both providers but `alone`.
PAIRS = ("streaming", "retrying", "killed", "interrupted", "wrong", *STRATEGIES)


def config(one: Upstream, two: Upstream) -> str:
    entries = [Entry("alone", one.url), Entry("queued", one.url, params={"max_parallel_requests": 1})]
    for name in PAIRS:
        entries += [Entry(name, one.url, params={"order": 1}), Entry(name, two.url, params={"order": 2})]
    for name in STRATEGIES:
        entries += [Entry(f"flat-{name}", one.url), Entry(f"flat-{name}", two.url)]
    written = json.loads(config_of(entries))
    for row in written["model_list"]:
        name = row["model_name"].removeprefix("flat-")
        if name in STRATEGIES:
            row["model_info"] = {"switchyard_strategy": name}
        if name == "queued":
            row["model_info"] = {"switchyard_queue_seconds": 60}
    return json.dumps(written)


@pytest.fixture(scope="module")
def alice(redis_url: str, upstream: Upstream, spare: Upstream) -> Iterator[Client]:
    env = {"REDIS_URL": redis_url, "WEB_CONCURRENCY": "2"}
    with Gateway(config(upstream, spare), env) as gateway:
        until(lambda: workers(gateway) == 2, "two workers")
        yield Client(gateway, gateway.create_key("alice"))


def asked(gateway: Gateway) -> Message:
    return ask(gateway.data, {"op": "in_flight"})


def workers(gateway: Gateway) -> int:
    return int(ask(gateway.data, {"op": "workers"})["workers"])


def of(model: str, provider: Upstream) -> str:
    """The name that the import gave the deployment."""
    return f"{model}/openai-127.0.0.1-{provider.port}"


def drain(client: Client, *options: str) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(client.gateway.manage("drain", *options))
    return said


def hang(*providers: Upstream, model: str) -> None:
    for provider in providers:
        provider.behave(Behaviour(fault="hang", fault_after=1), model=model)


def chat_often(client: Client, model: str, times: int) -> set[int]:
    """From connections of their own, so that both workers are asked."""
    return {client.chat(model).status for _ in range(times)}


def test_it_waits_for_streams_and_new_requests_go_elsewhere(
    alice: Client, upstream: Upstream, spare: Upstream
) -> None:
    hang(upstream, model="streaming")
    command = [sys.executable, "manage.py", "drain", of("streaming", upstream), "--wait", "--timeout", "30"]
    with alice.open("streaming", stream=True) as line:
        line.read_until(b"data: ")
        pipe = subprocess.PIPE
        with subprocess.Popen(
            command, cwd=ROOT, env=alice.gateway.env, text=True, stdout=pipe, stderr=pipe
        ) as draining:
            assert draining.stderr, "it was piped"
            assert "1 in flight\n" in (draining.stderr.readline(), draining.stderr.readline())
            assert chat_often(alice, "streaming", 12) == {200}
            assert (len(upstream.log("streaming")), len(spare.log("streaming"))) == (1, 12)
            assert draining.poll() is None
            line.leave()
            out, err = draining.communicate(timeout=20)
    assert (draining.returncode, err) == (0, "0 in flight\n")
    assert json.loads(out) == {"deployment": of("streaming", upstream), "state": "draining", "in_flight": 0}


def test_the_only_deployment_of_a_model_drains_and_new_requests_get_503(
    alice: Client, upstream: Upstream
) -> None:
    assert chat_often(alice, "alone", 2) == {200}
    assert drain(alice, of("alone", upstream), "--wait", "--timeout", "20")["in_flight"] == 0
    replies = [alice.chat("alone") for _ in range(8)]
    assert {(reply.status, reply.error["code"]) for reply in replies} == {(503, "no_deployment")}
    assert len(upstream.log("alone")) == 2


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("tiers", ["", "flat-"])
def test_every_strategy_goes_on_with_the_others(
    alice: Client, upstream: Upstream, spare: Upstream, strategy: str, tiers: str
) -> None:
    model = tiers + strategy
    assert chat_often(alice, model, 4) == {200}
    drain(alice, of(model, upstream), "--wait", "--timeout", "20")
    seen, before = len(upstream.log(model)), len(spare.log(model))
    assert chat_often(alice, model, 8) == {200}
    assert (len(upstream.log(model)), len(spare.log(model)) - before) == (seen, 8)


def test_a_request_that_retries_does_not_come_to_it(
    alice: Client, upstream: Upstream, spare: Upstream
) -> None:
    """Its first deployment fails after the second one began to drain."""
    late = msgspec.structs.replace(error(503), head_delay=6.0)
    upstream.behave(late, model="retrying")
    with alice.open("retrying") as line:
        upstream.wait(lambda log: len(log) == 1, "retrying")
        drain(alice, of("retrying", spare), "--wait", "--timeout", "5")
        assert b" 503 " in line.read_until(b"\r\n\r\n")
    assert spare.log("retrying") == []


def test_a_request_that_waits_in_line_for_it_is_told_so(alice: Client, upstream: Upstream) -> None:
    hang(upstream, model="queued")
    with alice.open("queued", stream=True) as busy:
        busy.read_until(b"data: ")
        with alice.open("queued") as waiting:
            metric = b'switchyard_queue_length{model="queued"} 1.0'
            until(lambda: metric in alice.get("/metrics").body, "somebody who waits")
            drain(alice, of("queued", upstream))
            assert b" 503 " in waiting.read_until(b"no_deployment")
        assert list(asked(alice.gateway)["in_flight"].values()) == [1]
    assert len(upstream.log("queued")) == 1


def test_what_a_killed_worker_had_in_flight_is_waited_for_no_more(alice: Client, upstream: Upstream) -> None:
    hang(upstream, model="killed")
    with alice.open("killed", stream=True) as line:
        line.read_until(b"data: ")
        assert list(asked(alice.gateway)["in_flight"].values()) == [1]
        for pid in _pids(alice.gateway):
            os.kill(pid, signal.SIGKILL)
    until(lambda: workers(alice.gateway) == 2, "two new workers")
    assert asked(alice.gateway)["in_flight"] == {}
    assert drain(alice, of("killed", upstream), "--wait", "--timeout", "20")["in_flight"] == 0
    names = {path.name for path in (alice.gateway.data / "control.d").iterdir()}
    assert names == {"lock", *(f"{pid}.sock" for pid in _pids(alice.gateway))}


def test_when_the_worker_that_answers_for_all_is_killed_another_does(alice: Client) -> None:
    for _ in range(2):
        leader = _leader(alice.gateway)
        os.kill(leader, signal.SIGKILL)
        began = time.monotonic()
        assert workers(alice.gateway) >= 1
        assert time.monotonic() - began < 2
        until(lambda: workers(alice.gateway) == 2, "two workers")
        assert _leader(alice.gateway) != leader


def _pids(gateway: Gateway) -> list[int]:
    return [int(path.stem) for path in (gateway.data / "control.d").glob("*.sock")]


def _leader(gateway: Gateway) -> int:
    """Whose is the lock, as the kernel knows."""
    inode = (gateway.data / "control.d/lock").stat().st_ino
    with open("/proc/locks") as locks:
        owners = [line.split()[4] for line in locks if f":{inode} " in line and "FLOCK" in line]
    assert len(owners) == 1, owners
    return int(owners[0])


def test_ctrl_c_leaves_it_draining(alice: Client, upstream: Upstream) -> None:
    hang(upstream, model="interrupted")
    command = [sys.executable, "manage.py", "drain", of("interrupted", upstream), "--wait"]
    with alice.open("interrupted", stream=True) as line:
        line.read_until(b"data: ")
        pipe = subprocess.PIPE
        with subprocess.Popen(
            command, cwd=ROOT, env=alice.gateway.env, text=True, stdout=pipe, stderr=pipe
        ) as draining:
            assert draining.stderr, "it was piped"
            assert "1 in flight\n" in (draining.stderr.readline(), draining.stderr.readline())
            draining.send_signal(signal.SIGINT)
            out, err = draining.communicate(timeout=20)
    assert (draining.returncode, out) == (1, "")
    name = of("interrupted", upstream)
    assert err == f"CommandError: 1 is in flight at {name} when this was interrupted; it takes nothing new.\n"
    assert "draining" in alice.gateway.manage("drain", name)


def test_a_deployment_whose_provider_refuses_its_key_is_marked_until_it_answers(
    alice: Client, upstream: Upstream
) -> None:
    upstream.behave(error(401), Behaviour(), model="wrong")
    before = set(asked(alice.gateway)["wrong"])
    assert alice.chat("wrong").status == 200  # by the other one
    (marked,) = set(asked(alice.gateway)["wrong"].items()) - {(id, 401) for id in before}
    assert marked[1] == 401
    until(lambda: alice.chat("wrong").status == 200 and not asked(alice.gateway)["wrong"], "an answer of it")
