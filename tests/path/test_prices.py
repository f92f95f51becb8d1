"""What a request costs, from the config file to the usage row, and who is charged for what."""

from collections.abc import Iterator

import pytest

from tests.gateway_process import Entry, Gateway, config_of
from tests.path.client import Client
from tests.upstream import Behaviour, Upstream

PRICE = {
    "input_cost_per_token": 1.5e-07,
    "output_cost_per_token": 6e-07,
    "cache_read_input_token_cost": 7.5e-08,
    "output_cost_per_reasoning_token": 9e-07,
    "input_cost_per_token_above_128k_tokens": 3e-07,
    "input_cost_per_request": 0.001,
}
REQUEST = 1_000_000  # nano-dollars of the price per request


@pytest.fixture(scope="module")
def provider() -> Iterator[Upstream]:
    with Upstream("priced") as running:
        yield running


@pytest.fixture(scope="module")
def bob(provider: Upstream) -> Iterator[Client]:
    entries = [Entry("priced", provider.url, params=PRICE), Entry("unpriced", provider.url)]
    with Gateway(config_of(entries)) as gateway:
        yield Client(gateway, gateway.create_key("bob"))


def charged(
    bob: Client, provider: Upstream, behaviour: Behaviour, *, stream: bool = False
) -> tuple[int, bool, str]:
    """Cost, whether priced, and status of one request that is answered so."""
    provider.behave(behaviour)
    answer = bob.stream("priced") if stream else bob.chat("priced")
    [row] = bob.gateway.usage(1, answer.request_id)
    return row["cost_nano"], row["priced"], row["status"]


def usage(prompt: int, completion: int, cached: int = 0, reasoning: int = 0) -> Behaviour:
    told = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }
    return Behaviour(chunk={"usage": told})


@pytest.mark.parametrize("stream", [False, True])
def test_a_plain_answer_costs_its_tokens_and_the_request(
    bob: Client, provider: Upstream, stream: bool
) -> None:
    cost = 7 * 150 + 3 * 600 + REQUEST
    assert charged(bob, provider, Behaviour(), stream=stream) == (cost, True, "ok")


def test_cached_and_reasoning_tokens_have_their_own_price(bob: Client, provider: Upstream) -> None:
    cost = 60 * 150 + 40 * 75 + 30 * 600 + 20 * 900 + REQUEST
    assert charged(bob, provider, usage(100, 50, cached=40, reasoning=20)) == (cost, True, "ok")


def test_a_long_prompt_costs_more(bob: Client, provider: Upstream) -> None:
    assert charged(bob, provider, usage(200_000, 1)) == (200_000 * 300 + 600 + REQUEST, True, "ok")


def test_details_beyond_the_total_never_cost_more_than_all_of_it(bob: Client, provider: Upstream) -> None:
    assert charged(bob, provider, usage(10, 0, cached=10**9)) == (10 * 75 + REQUEST, True, "ok")


def test_a_failure_costs_nothing_and_is_priced(bob: Client, provider: Upstream) -> None:
    assert charged(bob, provider, Behaviour(status=400)) == (0, True, "failed")


def test_a_model_without_a_price_is_marked(bob: Client, provider: Upstream) -> None:
    provider.behave(Behaviour())
    [row] = bob.gateway.usage(1, bob.chat("unpriced").request_id)
    assert (row["cost_nano"], row["priced"], row["prompt_tokens"]) == (0, False, 7)


def test_history_without_a_price_is_rated_once_it_has_one(bob: Client, provider: Upstream) -> None:
    provider.behave(Behaviour())
    request_id = bob.chat("unpriced").request_id
    bob.gateway.usage(1, request_id)
    prices = bob.gateway.data / "prices.json"
    prices.write_text('{"unpriced": {"litellm_provider": "openai", "input_cost_per_token": 1e-06}}')
    bob.gateway.manage("import_prices", str(prices), "--effective-from", "2020-01-01")
    assert "changed" in bob.gateway.manage("rerate", "--model", "unpriced", "--since", "2020-01-01")
    [row] = bob.gateway.usage(1, request_id)
    assert (row["cost_nano"], row["priced"]) == (7_000, True)


def test_a_killed_attempt_costs_its_estimate(bob: Client, provider: Upstream) -> None:
    provider.behave(Behaviour(fault="hang", fault_after=2))
    with bob.open("priced", stream=True) as line:
        line.read_until(b"data: ")
        bob.gateway.kill()
    bob.gateway.start()
    [row] = [row for row in bob.gateway.usage() if row["status"] == "interrupted"]
    assert row["estimated"]
    assert row["completion_tokens"] > 0  # as many as such answers have
    assert row["priced"]
    assert row["cost_nano"] == row["prompt_tokens"] * 150 + row["completion_tokens"] * 600
