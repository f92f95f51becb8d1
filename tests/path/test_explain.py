"""For any request that was served or refused, its operator can see why it went where it went."""

import json
import time
from typing import Any

from tests.gateway_process import Gateway
from tests.path.client import Client, Reply
from tests.path.test_retries import RESTED
from tests.upstream import Behaviour, Upstream, error


def explained(gateway: Gateway, answer: Reply) -> list[dict[str, Any]]:
    told = json.loads(gateway.manage("explain", answer.request_id, "--format", "json"))
    attempts: list[dict[str, Any]] = told["attempts"]
    return attempts


def fates(attempt: dict[str, Any]) -> list[str]:
    return [each["fate"] for each in attempt["decision"]["candidates"]]


def test_an_answer_of_the_first_one(alice: Client, pair: str) -> None:
    (attempt,) = explained(alice.gateway, alice.chat(pair))
    assert (attempt["status"], attempt["upstream_model"], fates(attempt)) == ("ok", pair, ["chosen", "next"])
    assert attempt["why"][0] == "Order: lower priority first, then shares by weight."


def test_a_retry_and_what_led_to_it(alice: Client, upstream: Upstream, pair: str) -> None:
    upstream.behave(error(503), model=pair)
    failed, answered = explained(alice.gateway, alice.chat(pair))
    assert (failed["status"], fates(failed), failed["decision"]["then"]) == (
        "failed",
        ["chosen", "next"],
        "retry",
    )
    assert failed["why"][-1] == "It failed with HTTP status 503: another attempt was made."
    assert (answered["status"], fates(answered)) == ("ok", ["chosen", "tried"])


def test_all_fail(alice: Client, upstream: Upstream, spare: Upstream, pair: str) -> None:
    upstream.behave(error(503), model=pair)
    spare.behave(error(500), model=pair)
    first, second = explained(alice.gateway, alice.chat(pair))
    assert (first["decision"]["then"], second["decision"]["then"]) == ("retry", "nobody_left")
    assert second["why"][-1] == "It failed with HTTP status 500: there was no other deployment to ask."


def test_a_mistake_of_the_client(alice: Client, upstream: Upstream, pair: str) -> None:
    upstream.behave(error(422), model=pair)
    (attempt,) = explained(alice.gateway, alice.chat(pair))
    assert attempt["decision"]["then"] == "final"


def test_a_kept_connection_that_died(alice: Client, upstream: Upstream, model: str) -> None:
    upstream.behave(Behaviour(dies_on_reuse=True), Behaviour(), model=model)
    alice.chat(model)
    time.sleep(RESTED)
    told = explained(alice.gateway, alice.chat(model))
    assert [each["status"] for each in told] == ["failed", "ok"]
    assert [fates(each) for each in told] == [["chosen"], ["again"]]


def test_a_refusal_names_its_limit(gateway: Gateway, model: str) -> None:
    name = f"bob-{model}"
    bob = Client(gateway, gateway.create_key(name, "--limit", "requests=1/total"))
    bob.chat(model)
    (attempt,) = explained(gateway, bob.chat(model))
    assert (attempt["status"], attempt["error_class"]) == ("refused", "limit_requests")
    assert attempt["why"][-1] == (
        f"Limit reached: 1 requests in total for key '{name}'. It does not reset by itself."
    )


def test_a_provider_that_wants_to_be_left_alone(alice: Client, upstream: Upstream, model: str) -> None:
    upstream.behave(error(429, headers=[("retry-after", "60")]), model=model)
    assert alice.chat(model).status == 429
    (attempt,) = explained(alice.gateway, alice.chat(model))
    assert (attempt["status"], fates(attempt)) == ("refused", ["resting"])
    assert attempt["why"][-1].startswith(f"Every provider of '{model}' asked for a pause; try again in ")
