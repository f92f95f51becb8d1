"""Before a request is made its operator can see where it would go, and the question changes nothing."""

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.gateway_process import Entry, Gateway, config_of
from tests.path.client import Client
from tests.upstream import Upstream, error

MASTER = "sk-master-of-tests-0123456789"


@pytest.fixture(scope="module")
def served(upstream: Upstream, spare: Upstream) -> Iterator[Gateway]:
    config = json.loads(
        config_of(
            [
                Entry("two", upstream.url, params={"weight": 1}),
                Entry("two", spare.url, params={"weight": 3}),
                Entry("tagged", upstream.url, params={"tags": ["paid"]}),
                Entry("tagged", spare.url, params={"tags": ["free"]}),
                Entry("besieged", upstream.url),
                Entry("large", spare.url),
            ]
        )
    )
    config["router_settings"] = {
        "enable_tag_filtering": True,
        "model_group_alias": {"pair": "two"},
        "fallbacks": [{"two": ["large"]}],
    }
    env = {"SWITCHYARD_MASTER_KEY": MASTER, "ALLOWED_HOSTS": "127.0.0.1,localhost"}
    with Gateway(json.dumps(config), env) as gateway:
        gateway.create_key("alice", "--limit", "requests=10/minute")
        gateway.create_key("bob", "--models", "large,two")
        yield gateway


def told(gateway: Gateway, *options: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(gateway.manage("explain", *options, "--format", "json"))
    return found


def post(
    gateway: Gateway, body: object, key: str = MASTER, host: str = "127.0.0.1"
) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=15)
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json", "host": host}
    connection.request("POST", "/api/routing/explain", json.dumps(body), headers)
    response = connection.getresponse()
    found = json.loads(response.read())
    connection.close()
    return response.status, found


def test_whom_it_would_be_sent_to(served: Gateway) -> None:
    found = told(served, "--model", "pair", "--key", "alice")
    assert (found["verdict"], found["model"]) == ("served", "two")
    decision = found["decision"]
    assert (decision["asked"], decision["strategy"]) == ("pair", "weighted")
    assert [(each["weight"], each["fate"]) for each in decision["candidates"]] == [(3, "chosen"), (1, "next")]
    assert found["limits"][0] | {"resets_at": None} == {
        "of": "key 'alice'", "model": None, "metric": "requests", "window": "minute", "mode": "enforce",
        "limit": 10, "used": 0, "remaining": 10, "resets_at": None,
    }  # fmt: skip
    assert found["instead"] == [{"on": "any", "models": ["large"], "not_allowed": []}]


def test_asking_changes_nothing(served: Gateway, upstream: Upstream, spare: Upstream) -> None:
    before = told(served, "--model", "two", "--key", "alice")
    arrived = len(upstream.log("two")) + len(spare.log("two"))
    for _ in range(8):
        status, found = post(served, {"model": "two", "key": "alice"})
        assert (status, found) == (200, before)
    assert len(upstream.log("two")) + len(spare.log("two")) == arrived


def test_in_words(served: Gateway) -> None:
    lines = served.manage("explain", "--model", "two", "--key", "bob", "--stream").splitlines()
    assert lines[0].startswith("two for key bob (")
    assert lines[0].endswith("): it would be sent")
    assert lines[1] == "  Order: lower priority first, then shares by weight."
    assert "would be asked, it was its turn (priority 0, weight 3)." in lines[2]
    assert lines[4:] == [
        "  It has 300 s for the first event of its stream.",
        "  No limit of the key, its team or everyone holds for it.",
        "  When none of them answers, these are asked instead: large.",
    ]


def test_tags_lead_elsewhere(served: Gateway) -> None:
    found = told(served, "--model", "tagged", "--key", "alice", "--tags", "free")
    assert [each["fate"] for each in found["decision"]["candidates"]] == ["chosen", "tags"]
    assert found["decision"]["tags"] == ["free"]
    assert (
        told(served, "--model", "tagged", "--key", "alice", "--tags", "other")["verdict"] == "no_deployment"
    )


def test_a_key_that_may_not_use_the_model(served: Gateway) -> None:
    found = told(served, "--model", "tagged", "--key", "bob")
    assert found["verdict"] == "not_allowed"
    assert found["why"] == ["The key bob may not use tagged: it is told that there is no such model (404)."]


def test_a_limit_that_is_used_up(served: Gateway, spare: Upstream) -> None:
    key = served.create_key("carol", "--limit", "requests=1/day")
    assert Client(served, key).chat("large").status == 200
    found = told(served, "--model", "large", "--key", "carol")
    assert found["verdict"] == "refused"
    assert found["why"][-1] == "Refused with 429: requests per day of key 'carol': 1 of 1 used, 0 left."


def test_a_provider_at_rest(served: Gateway, upstream: Upstream) -> None:
    upstream.behave(error(429, headers=[("retry-after", "600")]), model="besieged")
    assert Client(served, MASTER).chat("besieged").status == 429
    found = told(served, "--model", "besieged", "--key", "alice")
    assert found["verdict"] == "resting"
    assert [each["fate"] for each in found["decision"]["candidates"]] == ["resting"]


def test_a_request_that_was_made(served: Gateway) -> None:
    answer = Client(served, MASTER).chat("large")
    served.usage(1, answer.request_id)
    status, found = post(served, {"request_id": answer.request_id})
    assert status == 200
    assert found == told(served, answer.request_id)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ([], 400, "invalid_request"),
        ({}, 400, "invalid_request"),
        ({"model": "two"}, 400, "invalid_request"),
        ({"model": "two", "key": "alice", "tags": 5}, 400, "invalid_request"),
        ({"model": "two", "key": "alice", "stream": "yes"}, 400, "invalid_request"),
        ({"model": "none", "key": "alice"}, 404, "model_not_found"),
        ({"model": "two", "key": "nobody"}, 404, "key_not_found"),
        ({"request_id": 7}, 400, "invalid_request"),
        ({"request_id": "req-none"}, 404, "request_not_found"),
        ({"request_id": "nul\0"}, 404, "request_not_found"),
    ],
)
def test_what_cannot_be_answered_is_told_in_the_one_shape(
    served: Gateway, body: object, status: int, code: str
) -> None:
    found = post(served, body)
    assert (found[0], found[1]["error"]["code"]) == (status, code)


def test_only_a_master_key_may_ask(served: Gateway) -> None:
    other = served.create_key("dave")
    status, found = post(served, {"model": "two", "key": "alice"}, key=other)
    assert (status, found["error"]["code"]) == (403, "master_key_required")
    assert post(served, {"model": "two", "key": "alice"}, key="sk-nobody")[0] == 401


def test_another_host_is_not_served(served: Gateway) -> None:
    status, found = post(served, {"model": "two", "key": "alice"}, host="elsewhere.example")
    assert (status, found["error"]["code"]) == (400, "host_not_allowed")


def test_afterwards_a_fallback_tells_what_it_was_asked_instead_of(
    served: Gateway, upstream: Upstream, spare: Upstream
) -> None:
    for provider in (upstream, spare):
        provider.behave(error(503), model="two")
    answer = Client(served, MASTER).chat("pair", stream=True)
    for provider in (upstream, spare):
        provider.behave(model="two")
    assert answer.status == 200
    served.usage(3, answer.request_id)
    *failed, last = told(served, answer.request_id)["attempts"]
    assert [each["decision"]["then"] for each in failed] == ["retry", "nobody_left"]
    assert failed[0]["decision"]["asked"] == "pair"
    assert failed[-1]["why"][-1] == "It failed with HTTP status 503: another attempt was made."
    assert (last["model"], last["status"], last["attempt_number"]) == ("large", "ok", 1)
    assert last["why"][0] == "Asked instead of two: it could not answer."
