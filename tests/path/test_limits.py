"""A limit refuses with its name and the time of its reset, and what is refused costs nothing."""

import re
from concurrent.futures import ThreadPoolExecutor

from tests.gateway_process import Gateway
from tests.path.client import Client
from tests.upstream import Behaviour, Upstream


def key_with(gateway: Gateway, name: str, *limits: str) -> Client:
    options = [word for limit in limits for word in ("--limit", limit)]
    return Client(gateway, gateway.create_key(name, *options))


def test_the_message_names_the_limit_and_when_it_resets(
    gateway: Gateway, upstream: Upstream, model: str
) -> None:
    bob = key_with(gateway, f"bob-{model}", "requests=2/minute")
    assert [bob.chat(model).status for _ in range(2)] == [200, 200]
    answer = bob.chat(model)
    assert answer.status == 429
    assert answer.error["type"] == "rate_limit_error"
    message = answer.error["message"]
    assert re.search(r"\b2 requests", message)
    assert "minute" in message
    assert re.search(r"\d+(\.\d+)? ?s|\d\d:\d\d", message), message
    assert len(upstream.log(model)) == 2


def test_the_headers_tell_machines_the_same(gateway: Gateway, model: str) -> None:
    bob = key_with(gateway, f"bob-{model}", "requests=1/minute")
    bob.chat(model)
    answer = bob.chat(model)
    wait, wait_ms = int(answer.header("retry-after") or 0), int(answer.header("retry-after-ms") or 0)
    assert 50 <= wait <= 61
    assert abs(wait * 1000 - wait_ms) <= 1000
    assert answer.header("x-ratelimit-limit-requests") == "1"
    assert answer.header("x-ratelimit-remaining-requests") == "0"
    assert answer.header("x-ratelimit-reset-requests")


def test_an_exhausted_budget_is_not_worth_a_retry(gateway: Gateway, model: str) -> None:
    bob = key_with(gateway, f"bob-{model}", "requests=1/total")
    bob.chat(model)
    answer = bob.chat(model)
    assert (answer.status, answer.header("x-should-retry")) == (429, "false")


def test_a_refused_stream_is_a_json_429(gateway: Gateway, model: str) -> None:
    bob = key_with(gateway, f"bob-{model}", "requests=0/minute")
    answer = bob.stream(model)
    assert (answer.status, answer.header("content-type")) == (429, "application/json")
    assert answer.error["code"]


def test_a_refusal_writes_one_row_of_its_own(gateway: Gateway, upstream: Upstream, model: str) -> None:
    bob = key_with(gateway, f"bob-{model}", "requests=0/minute")
    answer = bob.chat(model)
    [row] = gateway.usage(1, answer.request_id)
    assert (row["status"], row["http_status"], row["upstream_request_id"]) == ("refused", None, None)
    assert (row["prompt_tokens"], row["completion_tokens"], row["deployment"]) == (0, 0, "")
    assert upstream.log(model) == []


def test_a_refused_request_consumes_nothing_of_other_limits(gateway: Gateway, model: str) -> None:
    bob = key_with(gateway, f"bob-{model}", "requests=2/minute", f"tokens=0/minute@{model}")
    assert [bob.chat(model).status for _ in range(5)] == [429] * 5
    assert [bob.chat("ok").status for _ in range(3)] == [200, 200, 429]


def test_all_at_once_gets_no_more_through(gateway: Gateway, upstream: Upstream, model: str) -> None:
    upstream.behave(Behaviour(head_delay=0.1), model=model)
    bob = key_with(gateway, f"bob-{model}", "requests=5/minute")
    with ThreadPoolExecutor(20) as pool:
        statuses = list(pool.map(lambda _: bob.chat(model).status, range(20)))
    assert sorted(statuses) == [200] * 5 + [429] * 15
    assert len(upstream.log(model)) == 5


def test_tokens_are_settled_to_what_was_really_used(gateway: Gateway, upstream: Upstream, model: str) -> None:
    upstream.behave(Behaviour(tokens=93), model=model)  # and 7 of the prompt: 100
    bob = key_with(gateway, f"bob-{model}", "tokens=1000/minute")
    statuses = [bob.chat(model, max_tokens=100).status for _ in range(12)]
    assert 6 <= statuses.count(200) <= 10
    assert statuses == sorted(statuses)


def test_without_a_cap_of_the_client_the_output_is_capped_at_what_is_left(
    gateway: Gateway, upstream: Upstream, model: str
) -> None:
    bob = key_with(gateway, f"bob-{model}", "tokens=1000/minute")
    assert bob.chat(model).status == 200
    [seen] = upstream.log(model)
    assert 0 < seen.json["max_tokens"] < 1000


def test_without_a_token_limit_the_body_is_not_touched(
    gateway: Gateway, upstream: Upstream, model: str
) -> None:
    bob = key_with(gateway, f"bob-{model}", "requests=10/minute")
    bob.chat(model)
    assert "max_tokens" not in upstream.log(model)[0].json


def test_parallel_requests_are_held_while_a_stream_runs(
    gateway: Gateway, upstream: Upstream, model: str
) -> None:
    upstream.behave(Behaviour(tokens=1000, delay=0.05), Behaviour(), model=model)
    bob = key_with(gateway, f"bob-{model}", "parallel=1")
    with bob.open(model, stream=True) as line:
        line.read_until(b'"w0 "')
        refused = bob.chat(model)
        assert refused.status == 429
        assert "1 parallel request" in refused.error["message"]
    upstream.wait(lambda log: log[0].closed is not None, model)
    assert bob.chat(model).status == 200


def test_a_shadow_limit_refuses_nothing(gateway: Gateway, model: str) -> None:
    bob = key_with(gateway, f"bob-{model}", "requests=1/minute:shadow")
    assert [bob.chat(model).status for _ in range(3)] == [200] * 3
    told = bob.send("GET", "/metrics").body.decode()
    assert re.search(r'^switchyard_shadow_refusals_total\{limit="\d+"\} 2\.0$', told, re.MULTILINE), told


def test_a_failed_request_gives_its_tokens_back(gateway: Gateway, upstream: Upstream, model: str) -> None:
    upstream.behave(Behaviour(status=500, body="{}"), Behaviour(), model=model)
    bob = key_with(gateway, f"bob-{model}", "tokens=500/minute")
    assert bob.chat(model, max_tokens=400).status >= 500
    assert bob.chat(model, max_tokens=400).status == 200
