"""Which model, which deployment and how long: fallbacks, tags, wildcards, queues and deadlines."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import pytest

from tests.gateway_process import Entry, Gateway
from tests.path.client import CHAT, Client, chat_body
from tests.path.test_retries import RESTED
from tests.upstream import BEFORE_HEADERS, Behaviour, Upstream, error, refused_port


def _told(message: str, code: str) -> Behaviour:
    told = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    return error(400, {"error": told})


TOO_LONG = _told("This model's maximum context length is 8 tokens.", "context_length_exceeded")
REFUSED = _told("The response was filtered.", "content_filter")
FALLBACKS: dict[str, Any] = {
    "enable_tag_filtering": True,
    "fallbacks": [
        {"down": ["full-house", "substitute"]},
        {"chain-1": ["chain-2"]},
        {"chain-2": ["substitute"]},
    ],
    "context_window_fallbacks": [{"short": ["long"]}],
    "content_policy_fallbacks": [{"shy": ["bold"]}],
}


def _config(one: Upstream, two: Upstream, alone: Upstream, dead: str) -> str:
    def own(entry: Entry, **info: Any) -> dict[str, Any]:
        return entry.as_config() | {"model_info": info}

    entries = [
        *(Entry(name, one.url) for name in ("short", "lonely", "shy", "full-house", "tardy")),
        *(Entry(name, two.url) for name in ("long", "bold", "substitute")),
        *(Entry(name, dead) for name in ("down", "chain-1", "chain-2")),
        Entry("labelled", one.url, "tagged-paid", {"tags": ["paid"]}),
        Entry("labelled", two.url, "tagged-usual", {"tags": ["default"]}),
        Entry("strict", one.url, "strict-paid", {"tags": ["paid"]}),
        Entry("vendor/*", one.url, "org-*"),
        *(Entry("open/*", provider.url, "*") for provider in (one, two)),
        Entry("vendor/special-*", two.url, "special/*", {"input_cost_per_token": 0.001}),
    ]
    narrow = {"max_parallel_requests": 1}
    rows = [
        *(entry.as_config() for entry in entries),
        own(Entry("narrow", one.url, params=narrow), switchyard_queue_seconds=20),
        own(Entry("hasty", one.url, params=narrow), switchyard_queue_seconds=0),
        own(
            Entry("short-line", one.url, params=narrow),
            switchyard_model={"max_queue": 1},
            switchyard_queue_seconds=2,
        ),
        own(
            Entry("sized", one.url, params={"tpm": 1000, "max_parallel_requests": 5}),
            switchyard_queue_seconds=20,
        ),
        own(
            Entry("rated", one.url, params={"rpm": 1, "max_parallel_requests": 5}),
            switchyard_queue_seconds=20,
        ),
        own(Entry("both", one.url, "both-short", narrow | {"order": 1}), switchyard_queue_seconds=0),
        own(Entry("both", two.url, "both-long", narrow | {"order": 2}), switchyard_queue_seconds=20),
        own(Entry("once", alone.url), switchyard_model={"max_attempts": 1}),
        own(Entry("late", one.url, "late-1", {"order": 1}), switchyard_model={"deadline": 1}),
        own(Entry("late", two.url, "late-2", {"order": 2})),
    ]
    return json.dumps({"model_list": rows, "router_settings": FALLBACKS})


@pytest.fixture(scope="module")
def alone() -> Iterator[Upstream]:
    """Asked by one test alone, so that its connections are kept for nobody else."""
    with Upstream("c") as provider:
        yield provider


@pytest.fixture(scope="module")
def gateway(upstream: Upstream, spare: Upstream, alone: Upstream) -> Iterator[Gateway]:
    with refused_port() as port:
        config = _config(upstream, spare, alone, f"http://127.0.0.1:{port}/v1")
        with Gateway(config) as gateway:
            yield gateway


@pytest.fixture(scope="module")
def bob(gateway: Gateway) -> Client:
    return Client(gateway, gateway.create_key("bob"))


# --- fallback models -----------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_prompt_that_is_too_long_is_given_to_the_larger_model(
    bob: Client, upstream: Upstream, spare: Upstream, stream: bool
) -> None:
    upstream.behave(TOO_LONG, model="short")
    before = len(upstream.log("short")), len(spare.log("long"))
    answer = bob.chat("short", stream=stream)
    assert answer.status == 200
    assert (len(upstream.log("short")), len(spare.log("long"))) == (before[0] + 1, before[1] + 1)
    rows = bob.gateway.usage(2, answer.request_id)
    assert [(row["model"], row["status"]) for row in rows] == [("short", "failed"), ("long", "ok")]


def test_without_one_the_providers_words_reach_the_client(bob: Client, upstream: Upstream) -> None:
    upstream.behave(TOO_LONG, model="lonely")
    answer = bob.chat("lonely")
    assert (answer.status, answer.error["code"]) == (400, "context_length_exceeded")
    assert len(upstream.log("lonely")) == 1


def test_refused_content_goes_to_its_own_fallback(bob: Client, upstream: Upstream, spare: Upstream) -> None:
    upstream.behave(REFUSED, model="shy")
    assert bob.chat("shy").status == 200
    assert len(spare.log("bold")) == 1


def test_fallbacks_are_asked_in_their_order_until_one_answers(
    bob: Client, upstream: Upstream, spare: Upstream
) -> None:
    upstream.behave(error(503), model="full-house")
    answer = bob.chat("down")
    assert answer.status == 200
    rows = bob.gateway.usage(3, answer.request_id)
    assert [(row["model"], row["status"]) for row in rows] == [
        ("down", "failed"),
        ("full-house", "failed"),
        ("substitute", "ok"),
    ]


def test_a_fallback_has_fallbacks_of_its_own(bob: Client) -> None:
    answer = bob.chat("chain-1")
    assert answer.status == 200
    assert [row["model"] for row in bob.gateway.usage(3, answer.request_id)] == [
        "chain-1",
        "chain-2",
        "substitute",
    ]


def test_a_fallback_that_the_key_may_not_use_is_not_asked(gateway: Gateway, spare: Upstream) -> None:
    before = len(spare.log("substitute"))
    carol = Client(gateway, gateway.create_key("carol", "--models", "chain-1,chain-2"))
    answer = carol.chat("chain-1")
    assert (answer.status, answer.error["code"]) == (502, "connect_failed")
    assert len(spare.log("substitute")) == before


def test_limits_hold_for_the_fallback_too_and_the_first_error_is_told(gateway: Gateway) -> None:
    dave = Client(gateway, gateway.create_key("dave", "--limit", "requests=1/day@substitute"))
    assert [dave.chat("chain-1").status for _ in range(2)] == [200, 502]


# --- tags ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "metadata", "paid"),
    [
        ({"x-switchyard-tags": "other, paid"}, None, True),
        ({"x-litellm-tags": "paid"}, None, True),
        ({}, {"tags": ["paid"], "trace": "1"}, True),
        ({}, {"tags": ["free"]}, False),
        ({}, None, False),
    ],
)
def test_a_tag_chooses_the_deployment(
    bob: Client, upstream: Upstream, spare: Upstream, headers: dict[str, str], metadata: Any, paid: bool
) -> None:
    before = len(upstream.log("tagged-paid"))
    fields = {} if metadata is None else {"metadata": metadata}
    answer = bob.send("POST", CHAT, chat_body("labelled", **fields), headers)
    assert answer.status == 200, answer.body
    assert len(upstream.log("tagged-paid")) == before + paid
    asked = (upstream.log("tagged-paid") if paid else spare.log("tagged-usual"))[-1]
    # tags are for the gateway: providers take only text in metadata
    assert asked.json.get("metadata") == ({"trace": "1"} if metadata and "trace" in metadata else None)


def test_a_tag_that_no_deployment_has_is_a_clear_error(bob: Client) -> None:
    answer = bob.send("POST", CHAT, chat_body("strict"), {"x-switchyard-tags": "free"})
    assert (answer.status, answer.error["code"]) == (400, "no_deployment_for_tags")
    assert "free" in answer.error["message"]
    assert bob.chat("strict").status == 200  # without a tag there is no reason to refuse


# --- wildcards -----------------------------------------------------------------------------------


def test_a_wildcard_serves_every_name_that_fits(bob: Client, upstream: Upstream, spare: Upstream) -> None:
    assert bob.chat("vendor/llama-3").status == 200
    assert len(upstream.log("org-llama-3")) == 1
    special = bob.chat("vendor/special-9")  # the closest pattern
    assert special.status == 200
    assert len(spare.log("special/9")) == 1
    (row,) = bob.gateway.usage(1, special.request_id)
    assert row["model"] == "vendor/special-*"
    assert row["cost_nano"] == row["prompt_tokens"] * 1_000_000
    assert bob.chat("vendor/").status == 404
    assert not any("*" in model["id"] for model in bob.get("/v1/models").json["data"])
    assert bob.get("/v1/models/vendor/llama-3").json["id"] == "vendor/llama-3"


def test_a_name_that_no_provider_has_is_the_clients_fault_and_harms_nobody(
    bob: Client, upstream: Upstream, spare: Upstream
) -> None:
    for provider in (upstream, spare):
        provider.behave(error(404), model="typo")
    for _ in range(12):
        answer = bob.chat("open/typo")
        assert (answer.status, answer.error["code"]) == (404, "model_not_found")
        assert "'open/typo'" in answer.error["message"]
    assert [bob.chat("open/good").status for _ in range(4)] == [200] * 4
    assert (len(upstream.log("good")), len(spare.log("good"))) == (2, 2)


def test_the_name_of_a_wildcard_is_no_model(bob: Client, upstream: Upstream) -> None:
    assert bob.chat("open/*").error["code"] == "model_not_found"
    assert bob.get("/v1/models/open/*").status == 404
    assert upstream.log("*") == []


# --- attempts ------------------------------------------------------------------------------------


def test_a_kept_connection_that_died_costs_no_answer_where_nothing_is_retried(
    bob: Client, alone: Upstream
) -> None:
    alone.behave(Behaviour(dies_on_reuse=True), model="once")
    for _ in range(4):
        assert bob.chat("once").status == 200
        time.sleep(RESTED)
    assert any(seen.ended == "dead connection" for seen in alone.log("once"))


# --- queues --------------------------------------------------------------------------------------


def test_a_full_deployment_is_waited_for_in_order(bob: Client, upstream: Upstream) -> None:
    upstream.behave(Behaviour(head_delay=0.2), model="narrow")
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda _: bob.chat("narrow"), range(5)))
    assert [answer.status for answer in answers] == [200] * 5
    seen = upstream.log("narrow")
    for one, next_one in pairwise(seen):
        assert next_one.arrived >= (one.ended_at or 0.0) - 0.01


def test_who_may_not_wait_hears_at_once_that_it_is_full(bob: Client, upstream: Upstream) -> None:
    upstream.behave(Behaviour(fault="hang", fault_after=BEFORE_HEADERS), model="hasty")
    with bob.open("hasty"):
        upstream.wait(lambda log: len(log) == 1, "hasty")
        answer = bob.chat("hasty")
    assert (answer.status, answer.error["code"]) == (429, "deployments_full")


def test_nobody_waits_for_a_limit_that_lasts_longer(bob: Client) -> None:
    assert bob.chat("rated").status == 200
    answer = bob.send("POST", CHAT, chat_body("rated"), timeout=5)  # it might wait for 20
    assert (answer.status, answer.error["code"]) == (429, "deployments_full")


def test_a_line_has_a_bounded_length_and_who_leaves_it_makes_room(bob: Client, upstream: Upstream) -> None:
    upstream.behave(Behaviour(fault="hang", fault_after=BEFORE_HEADERS), model="short-line")
    with bob.open("short-line"):
        upstream.wait(lambda log: len(log) == 1, "short-line")
        with bob.open("short-line"):
            until = time.monotonic() + 15
            while bob.chat("short-line").error["code"] != "queue_full":  # whoever came first is in line
                assert time.monotonic() < until
    upstream.behave(Behaviour(), model="short-line")
    assert bob.chat("short-line").status == 200


def test_a_request_that_is_too_large_now_holds_up_no_smaller_one(bob: Client, upstream: Upstream) -> None:
    upstream.behave(Behaviour(fault="hang", fault_after=BEFORE_HEADERS), model="sized")
    with bob.open("sized", max_tokens=500):
        upstream.wait(lambda log: len(log) == 1, "sized")
        upstream.behave(Behaviour(), model="sized")
        with bob.open("sized", max_tokens=900):
            until_queued(bob, "sized")
            assert bob.send("POST", CHAT, chat_body("sized", max_tokens=5), timeout=5).status == 200


def test_a_place_that_becomes_free_goes_to_who_may_have_it(
    bob: Client, upstream: Upstream, spare: Upstream
) -> None:
    for provider, model in ((upstream, "both-short"), (spare, "both-long")):
        provider.behave(Behaviour(fault="hang", fault_after=BEFORE_HEADERS), model=model)
    with bob.open("both") as first, bob.open("both"):
        upstream.wait(lambda log: len(log) == 1, "both-short")
        spare.wait(lambda log: len(log) == 1, "both-long")
        upstream.behave(Behaviour(), model="both-short")
        with bob.open("both"):
            until_queued(bob, "both")
            first.leave()
            upstream.wait(lambda log: log[0].ended != "open", "both-short")
            assert bob.send("POST", CHAT, chat_body("both"), timeout=5).status == 200


def until_queued(bob: Client, model: str) -> None:
    """Return when a request waits for a place."""
    line = f'switchyard_queue_length{{model="{model}"}} 1.0'
    until = time.monotonic() + 10
    while line not in bob.get("/metrics").body.decode():
        assert time.monotonic() < until
        time.sleep(0.05)


# --- deadlines -----------------------------------------------------------------------------------


def test_all_attempts_together_end_at_the_deadline(bob: Client, upstream: Upstream, spare: Upstream) -> None:
    for provider, model in ((upstream, "late-1"), (spare, "late-2")):
        provider.behave(Behaviour(fault="hang", fault_after=BEFORE_HEADERS), model=model)
    answer = bob.chat("late")
    assert (answer.status, answer.error["code"]) == (504, "timeout")
    assert spare.log("late-2") == []  # nothing was left for it


def test_a_client_may_ask_for_less_time(bob: Client, upstream: Upstream) -> None:
    upstream.behave(Behaviour(fault="hang", fault_after=BEFORE_HEADERS), model="tardy")
    answer = bob.send("POST", CHAT, chat_body("tardy"), {"x-litellm-timeout": "0.2"})
    assert (answer.status, answer.error["code"]) == (504, "timeout")
    wrong = bob.send("POST", CHAT, chat_body("tardy"), {"x-switchyard-timeout": "soon"})
    assert (wrong.status, wrong.error["param"]) == (400, "x-switchyard-timeout")
