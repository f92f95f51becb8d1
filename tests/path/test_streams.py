"""A stream reaches the client event by event, in one handwriting, with nothing lost or added."""

import json
import time

import pytest

from tests.gateway_process import Gateway
from tests.path.client import Client
from tests.upstream import Behaviour, Upstream

TOKENS = "w0 w1 w2 "


def test_a_stream_is_marked_as_one_that_nobody_may_buffer(alice: Client) -> None:
    answer = alice.stream("ok")
    assert answer.status == 200
    assert (answer.header("content-type") or "").startswith("text/event-stream")
    assert answer.header("cache-control") == "no-cache"
    assert answer.header("x-accel-buffering") == "no"


def test_a_stream_is_never_compressed(alice: Client) -> None:
    answer = alice.send(
        "POST", "/v1/chat/completions", b'{"model":"ok","stream":true}', {"accept-encoding": "gzip, br"}
    )
    assert answer.header("content-encoding") is None
    assert answer.text == TOKENS


def test_every_event_is_passed_on_at_once(alice: Client, upstream: Upstream, model: str) -> None:
    upstream.behave(Behaviour(tokens=5, delay=0.3), model=model)
    began = time.monotonic()
    with alice.open(model, stream=True) as line:
        line.read_until(b'"w0 "')
        first = time.monotonic() - began
        line.read_until(b'"w3 "')
    assert first < 1.0
    assert time.monotonic() - began > first + 0.8


HANDWRITINGS = {
    "no space": Behaviour(space=False),
    "crlf": Behaviour(line_end="\r\n"),
    "cr": Behaviour(line_end="\r"),
    "crlf byte by byte": Behaviour(line_end="\r\n", write=1),
    "cr byte by byte": Behaviour(line_end="\r", write=1),
    "comments and names": Behaviour(comments=True, event_name="message"),
    "several lines an event": Behaviour(multi_line=True),
    "several lines byte by byte": Behaviour(multi_line=True, line_end="\r\n", write=1),
    "no last blank line": Behaviour(last_blank=False),
    "no last blank line, no [DONE]": Behaviour(last_blank=False, done=False),
    "three bytes at a time": Behaviour(write=3, comments=True, space=False),
    "until the connection closes": Behaviour(framing="close"),
    "of a known length": Behaviour(framing="length"),
    "a byte order mark": Behaviour(first="\ufeff"),
    "ids, retries and empty events": Behaviour(first="id: 7\nretry: 10\n\nevent: ping\n\ndata:\n\n"),
}


@pytest.mark.parametrize("case", HANDWRITINGS)
def test_every_handwriting_of_a_provider_comes_out_the_same(
    alice: Client, upstream: Upstream, model: str, case: str
) -> None:
    upstream.behave(HANDWRITINGS[case], model=model)
    answer = alice.stream(model)
    assert not answer.cut
    assert answer.text == TOKENS
    assert answer.events[-1] == "[DONE]"
    assert answer.chunks[-1]["choices"][0]["finish_reason"] == "stop"


def test_characters_split_between_packets_stay_whole(alice: Client) -> None:
    assert alice.stream("byte-by-byte").text == "grüß 世界 👋"


def test_an_event_of_several_megabytes_passes(alice: Client) -> None:
    answer = alice.stream("big-line")
    assert answer.text == TOKENS + "x" * 4_000_000
    assert answer.events[-1] == "[DONE]"


def test_chunks_keep_their_bytes(alice: Client, upstream: Upstream, model: str) -> None:
    upstream.behave(Behaviour(chunk={"system_fingerprint": None, "x": {"b": 1.0, "a": "é"}}), model=model)
    answer = alice.stream(model)
    [seen] = upstream.log(model)
    sent = seen.sent.decode().removesuffix("\n\n").split("\n\n")
    usage = [event for event in sent if '"choices": []' in event]
    assert len(usage) == 1
    assert [f"data: {event}" for event in answer.events] == [event for event in sent if event not in usage]


def test_tool_calls_pass_as_they_are(alice: Client, upstream: Upstream, model: str) -> None:
    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}
    piece = {"index": 0, "function": {"arguments": '{"città": "Zü'}}
    upstream.behave(
        Behaviour(deltas=[{"tool_calls": [call]}, {"tool_calls": [piece]}], finish="tool_calls"), model=model
    )
    deltas = [chunk["choices"][0]["delta"] for chunk in alice.stream(model).chunks]
    assert deltas[1:3] == [{"tool_calls": [call]}, {"tool_calls": [piece]}]


def test_several_choices_stay_interleaved(alice: Client) -> None:
    chunks = alice.stream("ok", n=2).chunks
    indexes = [chunk["choices"][0]["index"] for chunk in chunks]
    assert indexes == [0, 1] * 5


def test_vendor_fields_pass_and_absent_ones_stay_absent(
    alice: Client, upstream: Upstream, model: str
) -> None:
    delta = {"reasoning_content": "hm", "reasoning": None, "refusal": None, "annotations": [{"a": 1}]}
    choice = {"logprobs": {"content": [{"token": "w", "logprob": -0.5}]}}
    upstream.behave(Behaviour(delta=delta, choice=choice, chunk={"service_tier": "default"}), model=model)
    chunk = alice.stream(model).chunks[1]
    assert chunk["choices"][0]["delta"] == {"content": "w0 ", **delta}
    assert chunk["choices"][0]["logprobs"] == choice["logprobs"]
    assert chunk["service_tier"] == "default"
    assert "system_fingerprint" not in chunk


def test_done_comes_once_when_the_provider_forgot_it(alice: Client) -> None:
    events = alice.stream("forgets-done").events
    assert events[-1] == "[DONE]"
    assert events.count("[DONE]") == 1


def test_nothing_behind_done_is_passed_on(alice: Client) -> None:
    answer = alice.stream("talks-after-done")
    assert answer.text == TOKENS
    assert answer.events[-1] == "[DONE]"
    assert b"late" not in answer.body


def test_the_answer_ends_with_done_even_if_the_provider_lingers(
    alice: Client, upstream: Upstream, model: str
) -> None:
    upstream.behave(Behaviour(after_done=": bye\n\n", fault="hang", fault_after=99), model=model)
    began = time.monotonic()
    answer = alice.stream(model)
    assert time.monotonic() - began < 1.0
    assert answer.events[-1] == "[DONE]"
    [row] = alice.gateway.usage(1, answer.request_id)
    assert (row["status"], row["completion_tokens"], row["estimated"]) == ("ok", 3, False)


def test_an_upstream_that_compresses_unasked_does_not_reach_the_client_as_garbage(
    alice: Client, upstream: Upstream, model: str
) -> None:
    upstream.behave(Behaviour(gzip=True), model=model)
    answer = alice.stream(model)
    [seen] = upstream.log(model)
    assert seen.header("accept-encoding") == "identity"
    assert answer.status == 502 or answer.text == TOKENS


def test_a_slow_reader_slows_the_provider_down(
    gateway: Gateway, alice: Client, upstream: Upstream, model: str
) -> None:
    upstream.behave(Behaviour(texts=["x" * 100_000] * 400), model=model)
    with alice.open(model, stream=True) as line:
        line.read_until(b"xxx")
        time.sleep(0.7)
        before = upstream.log(model)[0].bytes_sent
        time.sleep(0.3)
        held = upstream.log(model)[0].bytes_sent
        assert before == held < 25_000_000
        time.sleep(1.5)  # longer than IDLE_TIMEOUT: it is the client that is slow, not the provider
        line.read_until(b"data: [DONE]\n\n")
        assert len(line.received) > 40_000_000
    [row] = gateway.usage(1, line.request_id)
    assert row["status"] == "ok"


def test_a_stream_that_makes_progress_has_no_total_timeout(
    alice: Client, upstream: Upstream, model: str
) -> None:
    upstream.behave(Behaviour(tokens=12, delay=0.35), model=model)
    began = time.monotonic()
    answer = alice.stream(model)
    assert time.monotonic() - began > 4.0  # TOTAL_TIMEOUT is 3 s here
    assert answer.events[-1] == "[DONE]"
    assert json.loads(answer.events[-2])["choices"][0]["finish_reason"] == "stop"
