"""A stream that breaks says so, in a form that no SDK takes for success."""

import time

import pytest

from tests.gateway_process import Entry, Gateway, config_of
from tests.path.client import Client, Reply
from tests.upstream import Behaviour, Upstream, error


def broken_off(answer: Reply) -> Reply:
    """Check that the stream ended with one error event, without choices and without [DONE]."""
    assert answer.status == 200
    assert "[DONE]" not in answer.events
    last = answer.chunks[-1]
    assert list(last) == ["error"], last
    assert set(last["error"]) == {"message", "type", "param", "code"}
    assert isinstance(last["error"]["message"], str)
    assert "127.0.0.1" not in last["error"]["message"]
    return answer


@pytest.mark.parametrize(
    "model", ["resets-midway", "cut-midway", "closes-midway", "stops-midway", "hangs-midway"]
)
def test_a_stream_without_its_end_does_not_end_cleanly(alice: Client, model: str) -> None:
    answer = broken_off(alice.stream(model))
    assert answer.text.startswith("w0 w1")
    [row] = alice.gateway.usage(1, answer.request_id)
    assert (row["status"], row["http_status"], row["estimated"]) == ("failed", 200, True)
    assert row["error_class"]
    assert row["completion_tokens"] >= 2


def test_an_error_within_a_stream_reaches_the_client(alice: Client, upstream: Upstream, model: str) -> None:
    late = 'data: {"error":{"message":"GPU fell off","code":500}}\n\n'
    upstream.behave(Behaviour(finish=None, done=False, usage="none", after_done=late), model=model)
    answer = broken_off(alice.stream(model))
    assert answer.text == "w0 w1 w2 "
    assert answer.chunks[-1]["error"]["message"] == "GPU fell off"
    assert answer.chunks[-1]["error"]["code"] == "500"
    [row] = alice.gateway.usage(1, answer.request_id)
    assert row["status"] == "failed"


def test_an_error_riding_with_choices_is_set_apart(alice: Client, upstream: Upstream, model: str) -> None:
    late = 'data: {"choices":[{"index":0,"delta":{}}],"error":{"message":"GPU fell off"}}\n\n'
    upstream.behave(Behaviour(finish=None, done=False, usage="none", after_done=late), model=model)
    broken_off(alice.stream(model))


@pytest.mark.parametrize("model", ["error-first", "resets", "hangs", "only-comments"])
def test_an_error_before_the_first_event_is_a_real_status(alice: Client, model: str) -> None:
    answer = alice.stream(model)
    assert answer.status in (502, 503, 504)
    assert answer.header("content-type") == "application/json"
    assert answer.error["type"] == "server_error"
    rows = alice.gateway.usage(1, answer.request_id)
    assert {row["status"] for row in rows} == {"failed"}


def test_a_refused_stream_is_a_json_error(alice: Client, upstream: Upstream, model: str) -> None:
    upstream.behave(error(400), model=model)
    answer = alice.stream(model)
    assert answer.status == 400
    assert answer.header("content-type") == "application/json"
    assert answer.error["message"] == "upstream says 400"


def test_comments_are_no_progress(alice: Client, upstream: Upstream, model: str) -> None:
    upstream.behave(Behaviour(fault="comments", fault_after=3), model=model)
    began = time.monotonic()
    broken_off(alice.stream(model))
    assert 1.5 < time.monotonic() - began < 4.0  # IDLE_TIMEOUT is 2 s


def test_a_slow_drip_of_data_is_progress(alice: Client, upstream: Upstream, model: str) -> None:
    upstream.behave(Behaviour(tokens=3, delay=0.5), model=model)
    assert alice.stream(model).text == "w0 w1 w2 "


def test_silence_is_kept_alive_by_comments_every_fifteen_seconds(upstream: Upstream, model: str) -> None:
    upstream.behave(Behaviour(tokens=2, fault="hang", fault_after=2), model=model)
    with Gateway(config_of([Entry(model, upstream.url)]), {"IDLE_TIMEOUT": "60"}) as gateway:
        alice = Client(gateway, gateway.create_key("alice"))
        with alice.open(model, stream=True) as line:
            line.read_until(b'"w0 "')
            silent = time.monotonic()
            line.read_until(b": ping\n\n", seconds=20)
            assert time.monotonic() - silent > 14.0
