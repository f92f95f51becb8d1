"""A config.yml as LiteLLM's users write it, at a running gateway: its retries, times and fallbacks hold."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.gateway_process import Entry, Gateway
from tests.path.client import Client
from tests.upstream import BEFORE_HEADERS, Behaviour, Upstream, error

HANG = Behaviour(fault="hang", fault_after=BEFORE_HEADERS)
LITELLM: dict[str, Any] = {"num_retries": 9, "request_timeout": 2, "default_fallbacks": ["spare"]}
ROUTER: dict[str, Any] = {
    "num_retries": 0,
    "retry_policy": {"RateLimitErrorRetries": 1},
    "model_group_retry_policy": {"own": {"InternalServerErrorRetries": 1}},
    "fallbacks": [{"alone": ["nobody"]}, {"own": ["nobody"]}, {"nobody": ["last"]}],
    "cooldown_time": 60,
    "allowed_fails": 0,
}
MODELS = ("usual", "own", "alone", "fragile")


@pytest.fixture(scope="module")
def gateway(upstream: Upstream, spare: Upstream) -> Iterator[Gateway]:
    entries = [
        *(Entry(name, upstream.url, f"{name}-1", {"order": 1}) for name in MODELS),
        *(Entry(name, spare.url, f"{name}-2", {"order": 2}) for name in MODELS),
        *(Entry(name, spare.url) for name in ("spare", "nobody", "last")),
    ]
    rows = [entry.as_config() for entry in entries]
    text = json.dumps({"model_list": rows, "litellm_settings": LITELLM, "router_settings": ROUTER})
    with Gateway(text) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def bob(gateway: Gateway) -> Client:
    return Client(gateway, gateway.create_key("bob"))


def asked(client: Client, model: str, rows: int) -> list[str]:
    """The deployments' models that a request for this one was tried on."""
    answer = client.chat(model)
    return [row["deployment"] for row in client.gateway.usage(rows, answer.request_id)]


def test_without_retries_the_next_to_be_asked_is_the_fallback_of_all(bob: Client, upstream: Upstream) -> None:
    upstream.behave(error(503), model="usual-1")
    first, second = asked(bob, "usual", 2)
    assert (first.partition("/")[0], second.partition("/")[0]) == ("usual", "spare")


def test_a_policy_of_one_model_gives_it_a_retry(bob: Client, upstream: Upstream, spare: Upstream) -> None:
    upstream.behave(error(503), model="own-1")
    assert bob.chat("own").status == 200
    assert len(spare.log("own-2")) == 1


def test_errors_of_another_kind_have_another_number_of_retries(
    bob: Client, upstream: Upstream, spare: Upstream
) -> None:
    upstream.behave(error(429), model="alone-1")
    assert bob.chat("alone").status == 200
    assert len(spare.log("alone-2")) == 1


def test_one_failure_puts_a_deployment_aside(bob: Client, upstream: Upstream, spare: Upstream) -> None:
    upstream.behave(HANG, model="fragile-1")
    begun = time.monotonic()
    assert bob.chat("fragile").status == 200  # by the fallback of all, after request_timeout
    assert time.monotonic() - begun >= 2
    assert [bob.chat("fragile").status for _ in range(5)] == [200] * 5
    assert (len(upstream.log("fragile-1")), len(spare.log("fragile-2"))) == (1, 5)
