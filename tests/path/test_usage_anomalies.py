"""Whatever a provider says it used: the request is served, and the row says what was wrong."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.gateway_process import Gateway
from tests.path.client import Client
from tests.upstream import Behaviour, Upstream

_READ = (
    "import json; from usage.models import Attempt; "
    "print(json.dumps(Attempt.objects.filter(request_id={!r}).values("
    "'prompt_tokens', 'completion_tokens', 'cached_tokens', 'cost_nano', 'estimated', 'anomaly', 'task'"
    ").get()))"
)
# what the provider says -> anomaly, estimated, and the tokens that are told or None for an estimate
SAID: dict[str, tuple[Any, str, bool, tuple[int, int] | None]] = {
    "nothing": (None, "missing", True, None),
    "an empty object": ({}, "missing", True, None),
    "text": ({"prompt_tokens": "many", "completion_tokens": 3}, "not_a_number", True, None),
    "a list": ([7, 3], "not_a_number", True, None),
    "a fraction": ({"prompt_tokens": 7.5, "completion_tokens": 3}, "not_a_number", True, None),
    "a negative count": ({"prompt_tokens": 7, "completion_tokens": -3}, "negative", True, None),
    "an absurd count": ({"prompt_tokens": 10**30, "completion_tokens": 3}, "absurd", True, None),
    "a total below its parts": (
        {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 9},
        "contradictory",
        True,
        (7, 3),
    ),
    "more cached than asked": (
        {"prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 99}},
        "contradictory",
        True,
        (7, 3),
    ),
    "a negative part": (
        {"prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": -9}},
        "negative",
        True,
        (7, 3),
    ),
}


@pytest.fixture(scope="module")
def provider() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def alice(provider: Upstream) -> Iterator[Client]:
    prices = {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}
    params = {"model": "openai/m", "api_base": provider.url, "api_key": "sk-of-provider", **prices}
    with Gateway(json.dumps({"model_list": [{"model_name": "m", "litellm_params": params}]})) as gateway:
        yield Client(gateway, gateway.create_key("alice"))


def row_of(alice: Client, request_id: str) -> dict[str, Any]:
    alice.gateway.usage(1, request_id)
    row: dict[str, Any] = json.loads(alice.gateway.manage("shell", "-v", "0", "-c", _READ.format(request_id)))
    return row


@pytest.mark.parametrize("said", SAID)
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_what_is_wrong_is_named_and_the_answer_served(
    alice: Client, provider: Upstream, said: str, stream: bool
) -> None:
    usage, anomaly, estimated, told = SAID[said]
    provider.behave(Behaviour(tokens=3, usage="none", chunk={"usage": usage}))
    answer = alice.chat("m", stream=stream)
    assert answer.status == 200
    row = row_of(alice, answer.request_id)
    assert (row["anomaly"], row["estimated"]) == (anomaly, estimated)
    counts = (row["prompt_tokens"], row["completion_tokens"])
    assert counts == told if told else (counts[0] > 7 and 1 <= counts[1] <= 3)
    assert 0 < row["cost_nano"] == counts[0] * 1000 + counts[1] * 2000
    assert 0 <= row["cached_tokens"] <= counts[0]


@pytest.mark.parametrize("style", ["twice", "every", "finish"])
def test_several_reports_are_no_anomaly(alice: Client, provider: Upstream, style: Any) -> None:
    provider.behave(Behaviour(tokens=3, usage=style))
    row = row_of(alice, alice.stream("m").request_id)
    assert (row["prompt_tokens"], row["completion_tokens"]) == (7, 3)
    assert (row["estimated"], row["anomaly"]) == (False, "")


def test_a_sound_report_outlives_an_unsound_one_that_leaves_its_mark(
    alice: Client, provider: Upstream
) -> None:
    sound = 'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}\n\n'
    provider.behave(Behaviour(tokens=3, usage="negative", first=sound))
    row = row_of(alice, alice.stream("m").request_id)
    assert (row["prompt_tokens"], row["completion_tokens"]) == (7, 3)
    assert (row["estimated"], row["anomaly"]) == (False, "negative")


def test_far_more_than_was_delivered_is_flagged_and_kept(alice: Client, provider: Upstream) -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 1031}
    provider.behave(Behaviour(tokens=3, usage="none", chunk={"usage": usage}))
    row = row_of(alice, alice.stream("m").request_id)
    assert (row["completion_tokens"], row["estimated"], row["anomaly"]) == (1031, False, "implausible")
    thought = {**usage, "completion_tokens_details": {"reasoning_tokens": 500}}
    provider.behave(Behaviour(tokens=3, usage="none", chunk={"usage": thought}))
    assert row_of(alice, alice.stream("m").request_id)["anomaly"] == ""


@pytest.mark.parametrize(
    ("header", "task"), [("title_generation", "title_generation"), ("x" * 65, ""), ("a\tb", ""), ("", "")]
)
def test_the_task_of_a_request_is_kept_when_it_is_one_short_line(
    alice: Client, provider: Upstream, header: str, task: str
) -> None:
    provider.behave(Behaviour())
    body = b'{"model":"m","messages":[]}'
    answer = alice.send("POST", "/v1/chat/completions", body, {"X-Task": header})
    assert row_of(alice, answer.request_id)["task"] == task
