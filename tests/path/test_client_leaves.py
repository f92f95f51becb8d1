"""When the client leaves, the provider stops working for it at once and one row says what was used."""

import time

import pytest

from tests.gateway_process import Gateway
from tests.path.client import Client
from tests.upstream import BEFORE_HEADERS, Behaviour, Upstream

# name -> what the provider does, and whether the client asked for a stream
CASES = {
    "before the first byte of a stream": (Behaviour(head_delay=30), True),
    "before the first event of a stream": (Behaviour(fault="hang", fault_after=0), True),
    "within a stream": (Behaviour(tokens=500, delay=0.05), True),
    "within a stream that is silent": (Behaviour(fault="hang", fault_after=3), True),
    "before the headers of a whole answer": (Behaviour(fault="hang", fault_after=BEFORE_HEADERS), False),
    "within a whole answer": (Behaviour(fault="hang", fault_after=1), False),
}


@pytest.mark.parametrize("case", CASES)
def test_the_upstream_is_closed_within_a_second_with_one_row(
    gateway: Gateway, alice: Client, upstream: Upstream, model: str, case: str
) -> None:
    behaviour, stream = CASES[case]
    upstream.behave(behaviour, model=model)
    line = alice.open(model, stream=stream)
    if case.startswith("within a stream"):
        line.read_until(b'"w1 "')
    upstream.wait(lambda log: len(log) == 1, model)
    time.sleep(0.1)
    left = time.time()
    line.leave()
    [seen] = upstream.wait(lambda log: log[0].closed is not None, model, seconds=3)
    assert seen.closed is not None
    assert seen.closed_by == "client"
    assert 0 <= seen.closed - left < 1.0
    [row] = gateway.usage(1, line.request_id, quiet=0.5)
    assert row["attempt_id"] == seen.request_id
    assert (row["status"], row["estimated"], row["stream"]) == ("cancelled", True, stream)
    assert row["prompt_tokens"] > 0


def test_what_was_delivered_before_leaving_is_counted(
    gateway: Gateway, alice: Client, upstream: Upstream, model: str
) -> None:
    upstream.behave(Behaviour(tokens=500, delay=0.03), model=model)
    line = alice.open(model, stream=True)
    line.read_until(b'"w10 "')
    line.leave()
    [row] = gateway.usage(1, line.request_id, quiet=0.5)
    [seen] = upstream.wait(lambda log: log[0].closed is not None, model)
    assert 11 <= row["completion_tokens"] <= seen.tokens_sent + 1


def test_a_slot_is_free_again_when_the_client_left(gateway: Gateway, upstream: Upstream, model: str) -> None:
    upstream.behave(Behaviour(head_delay=30), Behaviour(), model=model)
    bob = Client(gateway, gateway.create_key(f"bob-{model}", "--limit", "parallel=1"))
    line = bob.open(model)
    upstream.wait(lambda log: len(log) == 1, model)
    assert bob.chat(model).status == 429
    line.leave()
    upstream.wait(lambda log: log[0].closed is not None, model, seconds=2)
    assert bob.chat(model).status == 200


def test_a_client_gone_before_its_body_arrived_costs_nothing(
    gateway: Gateway, alice: Client, upstream: Upstream, model: str
) -> None:
    line = alice.open(model)
    line.leave()
    short = alice.open("ok")
    short.read_until(b"total_tokens")
    short.leave()
    rows = gateway.usage(1, short.request_id)
    assert [row["status"] for row in rows] == ["ok"]
    assert len(gateway.usage(0, line.request_id)) == len(upstream.log(model)) <= 1


def test_no_hurried_client_is_counted_twice_or_forgotten(
    gateway: Gateway, alice: Client, upstream: Upstream, model: str
) -> None:
    upstream.behave(Behaviour(tokens=3, delay=0.002), model=model)
    for number in range(40):
        line = alice.open(model, stream=number % 2 == 0)
        time.sleep(0.0005 * number)
        line.leave()
    time.sleep(0.5)
    sent = [seen.request_id for seen in upstream.log(model)]
    rows = [row["attempt_id"] for row in gateway.usage() if row["model"] == model]
    assert len(set(sent)) == len(sent)
    # an attempt cancelled while it was connecting has a row and never reached the provider
    assert len(set(rows)) == len(rows) <= 40
    assert set(sent) <= set(rows)
