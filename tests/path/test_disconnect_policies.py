"""What a client that leaves a stream costs: an estimate, the provider's exact count, or nothing."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.gateway_process import Gateway
from tests.path.client import Client
from tests.upstream import Behaviour, Upstream

POLICIES = ("estimate", "drain", "not_billed")
TOKENS = 30
SETTINGS = {"IDLE_TIMEOUT": "1", "DRAIN_SECONDS": "3", "DRAIN_MOST": "2"}


def config(upstream: Upstream) -> str:
    def entry(policy: str) -> dict[str, Any]:
        params = {"model": f"openai/{policy}", "api_base": upstream.url, "api_key": f"sk-of-{policy}"}
        prices = {"input_cost_per_token": 1e-6, "output_cost_per_token": 1e-3}
        info = {"switchyard_disconnect": policy}
        return {"model_name": policy, "litellm_params": params | prices, "model_info": info}

    return json.dumps({"model_list": [entry(policy) for policy in POLICIES]})


@pytest.fixture(scope="module")
def provider() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def served(provider: Upstream) -> Iterator[Gateway]:
    with Gateway(config(provider), SETTINGS) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def alice(served: Gateway) -> Client:
    return Client(served, served.create_key("alice"))


def leave_at(alice: Client, model: str, token: int) -> str:
    """Read until this token came, then leave; the request's id."""
    with alice.open(model, stream=True) as line:
        line.read_until(f'"w{token - 1} "'.encode())
        return line.request_id


@pytest.mark.parametrize("policy", POLICIES)
def test_leaving_at_any_token_gives_one_row_as_the_provider_bills_it(
    served: Gateway, alice: Client, provider: Upstream, policy: str
) -> None:
    provider.behave(Behaviour(tokens=TOKENS, delay=0.01), model=policy)
    for token in range(1, 11):
        request_id = leave_at(alice, policy, token)
        [row] = served.usage(1, request_id)
        assert row["status"] == "cancelled"
        [seen] = [seen for seen in provider.log(policy) if seen.request_id == row["attempt_id"]]
        if policy == "drain":
            assert (row["prompt_tokens"], row["completion_tokens"], row["estimated"]) == (7, TOKENS, False)
            assert row["cost_nano"] == 7 * 1000 + TOKENS * 1_000_000
            assert seen.ended == "complete"
            continue
        assert token <= row["completion_tokens"] <= seen.tokens_sent + 1
        assert (row["estimated"], seen.ended) == (True, "client left")
        assert (row["cost_nano"] > 0) == (policy == "estimate")
        assert row["priced"]


def test_a_stream_that_is_left_before_its_first_event_is_drained_too(
    served: Gateway, alice: Client, provider: Upstream
) -> None:
    provider.behave(Behaviour(tokens=5, head_delay=0.5), model="drain")
    before = len(provider.log("drain"))
    with alice.open("drain", stream=True) as line:
        provider.wait(lambda log: len(log) > before, "drain")
    [row] = served.usage(1, line.request_id)
    assert (row["status"], row["completion_tokens"], row["estimated"]) == ("cancelled", 5, False)


def test_a_slot_stays_held_while_the_provider_is_working(served: Gateway, provider: Upstream) -> None:
    bob = Client(served, served.create_key("bob", "--limit", "parallel=1"))
    provider.behave(Behaviour(tokens=40, delay=0.02), model="drain")
    leave_at(bob, "drain", 1)
    assert bob.chat("drain").status == 429
    provider.wait(lambda log: log[-1].ended == "complete", "drain")
    provider.behave(Behaviour(), model="drain")
    deadline = time.monotonic() + 2
    while bob.chat("drain").status != 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("behaviour", "within"),
    [
        (Behaviour(tokens=500, fault="hang", fault_after=4), 3.0),
        (Behaviour(tokens=5000, delay=0.01), 5.0),
        (Behaviour(tokens=500, delay=0.01, fault="close", fault_after=20), 3.0),
    ],
    ids=["silent", "endless", "broken"],
)
def test_a_drain_that_comes_to_no_end_leaves_the_estimate(
    served: Gateway, alice: Client, provider: Upstream, behaviour: Behaviour, within: float
) -> None:
    provider.behave(behaviour, model="drain")
    began = time.monotonic()
    request_id = leave_at(alice, "drain", 2)
    [row] = served.usage(1, request_id)
    assert time.monotonic() - began < within + 1
    assert (row["status"], row["estimated"]) == ("cancelled", True)
    assert row["completion_tokens"] >= 2


def test_only_so_many_are_drained_at_once(served: Gateway, alice: Client, provider: Upstream) -> None:
    provider.behave(Behaviour(tokens=TOKENS, delay=0.03), model="drain")
    ids = [leave_at(alice, "drain", 1) for _ in range(4)]
    rows = [served.usage(1, request_id)[0] for request_id in ids]
    assert [row["estimated"] for row in rows] == [False, False, True, True]


@pytest.mark.parametrize("ending", ["stop", "kill"])
def test_at_the_gateways_end_the_estimate_stands(ending: str) -> None:
    with Upstream() as upstream, Gateway(config(upstream), {"DRAIN_SECONDS": "60"}) as gateway:
        upstream.behave(Behaviour(tokens=5000, delay=0.01))
        alice = Client(gateway, gateway.create_key("alice"))
        request_id = leave_at(alice, "drain", 3)
        time.sleep(0.2)
        getattr(gateway, ending)()
        gateway.start()
        [row] = gateway.usage(1, request_id)
        assert row["status"] == {"stop": "cancelled", "kill": "interrupted"}[ending]
        assert row["estimated"]
        assert row["cost_nano"] > 0
