"""Usage is always asked for upstream, counted once, and shown only to clients that asked."""

from typing import Any

import pytest

from tests.path.client import Client
from tests.upstream import Behaviour, Upstream

FIELDS = [
    *("attempt_id", "request_id", "upstream_request_id", "started_at", "key", "key_id", "team", "end_user"),
    *("model", "deployment", "provider", "endpoint", "status", "http_status", "error_class"),
    *("prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens", "cost_nano", "priced"),
    *("estimated", "stream", "ttft_ms", "latency_ms"),
]
ASKED = {"stream_options": {"include_usage": True}}


def tokens(row: dict[str, Any]) -> tuple[int, int, bool]:
    return row["prompt_tokens"], row["completion_tokens"], row["estimated"]


def test_usage_is_asked_for_whatever_the_client_said(alice: Client, upstream: Upstream, model: str) -> None:
    alice.stream(model)
    alice.stream(model, stream_options={"include_usage": False, "vendor": 1})
    plain, refusing = upstream.log(model)
    assert plain.json["stream_options"] == {"include_usage": True}
    assert refusing.json["stream_options"] == {"include_usage": True, "vendor": 1}


def test_stream_options_of_a_whole_answer_are_not_sent(alice: Client, upstream: Upstream, model: str) -> None:
    alice.chat(model, **ASKED)
    [seen] = upstream.log(model)
    assert "stream_options" not in seen.json


def test_a_client_that_did_not_ask_sees_no_usage_chunk(alice: Client) -> None:
    answer = alice.stream("ok")
    assert all(chunk["choices"] for chunk in answer.chunks)
    [row] = alice.gateway.usage(1, answer.request_id)
    assert tokens(row) == (7, 3, False)


def test_a_client_that_asked_sees_it_last_and_null_before(alice: Client) -> None:
    *others, last = alice.stream("ok", **ASKED).chunks
    assert all(chunk["usage"] is None for chunk in others)
    assert last["choices"] == []
    assert last["usage"] == {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


@pytest.mark.parametrize("model", ["usage-in-finish", "usage-in-every", "usage-twice"])
def test_usage_counts_wherever_it_comes_and_the_last_one_wins(alice: Client, model: str) -> None:
    answer = alice.stream(model)
    [row] = alice.gateway.usage(1, answer.request_id)
    assert row["status"] == "ok"
    assert tokens(row) == (7, 3, False)


@pytest.mark.parametrize("model", ["no-usage", "usage-negative", "usage-text"])
def test_missing_and_impossible_usage_is_estimated_and_flagged(alice: Client, model: str) -> None:
    answer = alice.stream(model)
    assert answer.events[-1] == "[DONE]"
    [row] = alice.gateway.usage(1, answer.request_id)
    prompt, completion, estimated = tokens(row)
    assert estimated
    assert prompt > 0
    assert completion == 3


@pytest.mark.parametrize("model", ["no-usage", "usage-negative", "usage-text"])
def test_a_whole_answer_without_sound_usage_is_estimated_too(alice: Client, model: str) -> None:
    answer = alice.chat(model)
    assert answer.status == 200
    [row] = alice.gateway.usage(1, answer.request_id)
    prompt, completion, estimated = tokens(row)
    assert estimated
    assert prompt > 0
    assert completion > 0


def test_cached_and_reasoning_tokens_are_kept(alice: Client, upstream: Upstream, model: str) -> None:
    details = {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "prompt_tokens_details": {"cached_tokens": 64},
        "completion_tokens_details": {"reasoning_tokens": 40},
    }
    upstream.behave(Behaviour(chunk={"usage": details}), model=model)
    answer = alice.chat(model)
    assert answer.status == 200, answer.body
    [row] = alice.gateway.usage(1, answer.request_id)
    assert (row["cached_tokens"], row["reasoning_tokens"]) == (64, 40)
    assert tokens(row) == (100, 50, False)


def test_a_row_tells_who_asked_what_of_whom(alice: Client, upstream: Upstream, model: str) -> None:
    answer = alice.stream(model, user="Bob")
    [seen] = upstream.log(model)
    [row] = alice.gateway.usage(1, answer.request_id)
    assert row["attempt_id"] == seen.request_id
    assert row["upstream_request_id"] == f"a-{seen.id}"
    assert (row["key"], row["end_user"], row["model"]) == ("alice", "Bob", model)
    assert (row["endpoint"], row["status"], row["http_status"]) == ("chat/completions", "ok", 200)
    assert row["stream"] is True
    assert 0 <= row["ttft_ms"] <= row["latency_ms"] < 5000


def test_a_row_holds_exactly_the_promised_fields(alice: Client) -> None:
    answer = alice.chat("ok")
    [row] = alice.gateway.usage(1, answer.request_id)
    assert sorted(row) == sorted(FIELDS)
