"""What one deployment cannot do the next one does, and the client never notices."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.gateway_process import Entry, Gateway, config_of
from tests.path.client import Client
from tests.upstream import BEFORE_HEADERS, Behaviour, Upstream, error, refused_port

FAILURES = {
    **{str(status): error(status) for status in (401, 403, 404, 408, 409, 429, 500, 502, 503, 529)},
    "a reset": Behaviour(fault="reset", fault_after=BEFORE_HEADERS),
    "a close": Behaviour(fault="close", fault_after=BEFORE_HEADERS),
    "silence": Behaviour(fault="hang", fault_after=BEFORE_HEADERS),
    "a redirect": Behaviour(status=302, headers=[("location", "http://example.com/")], body=""),
    "an error in a 200": Behaviour(body='{"error":{"message":"overloaded"}}'),
    "an empty 200": Behaviour(body=""),
    "html": Behaviour(body="<html></html>", content_type="text/html"),
}
RESTED = 0.02  # a connection is used again only a few milliseconds after its answer
STREAM_FAILURES = {
    "an error first": Behaviour(first='data: {"error":{"message":"overloaded"}}\n\n'),
    "only comments": Behaviour(fault="comments", fault_after=0),
    "headers, then a reset": Behaviour(fault="reset", fault_after=0),
    "headers, then silence": Behaviour(fault="hang", fault_after=0),
    "no event at all": Behaviour(body="", content_type="text/event-stream"),
}


@pytest.mark.parametrize("case", FAILURES)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_the_next_deployment_answers(
    alice: Client, upstream: Upstream, spare: Upstream, pair: str, case: str, stream: bool
) -> None:
    upstream.behave(FAILURES[case], model=pair)
    answer = alice.chat(pair, stream=stream)
    assert answer.status == 200
    assert answer.body.count(b"w2 ") == 1
    attempts = len(upstream.log(pair)) + len(spare.log(pair))
    *failed, last = alice.gateway.usage(attempts, answer.request_id)
    assert [row["status"] for row in failed] == ["failed"] * len(upstream.log(pair))
    assert all(row["error_class"] for row in failed)
    assert [row["attempt_id"] for row in failed] == [seen.request_id for seen in upstream.log(pair)]
    assert last["status"] == "ok"
    assert [last["attempt_id"]] == [seen.request_id for seen in spare.log(pair)]
    # asked twice only where a kept connection may have been at fault
    assert len(failed) == 1 or (case in ("a reset", "a close") and len(failed) == 2)


@pytest.mark.parametrize("case", STREAM_FAILURES)
def test_a_stream_that_fails_before_its_first_event_is_given_to_the_next(
    alice: Client, upstream: Upstream, spare: Upstream, pair: str, case: str
) -> None:
    upstream.behave(STREAM_FAILURES[case], model=pair)
    answer = alice.stream(pair)
    assert (answer.status, answer.text) == (200, "w0 w1 w2 ")
    assert len(spare.log(pair)) == 1


def test_a_stream_that_has_begun_is_never_begun_again(
    alice: Client, upstream: Upstream, spare: Upstream, pair: str
) -> None:
    upstream.behave(Behaviour(fault="reset", fault_after=3), model=pair)
    answer = alice.stream(pair)
    assert answer.text.count("w0") == 1
    assert spare.log(pair) == []


def test_no_deployment_is_asked_twice(alice: Client, upstream: Upstream, spare: Upstream, pair: str) -> None:
    upstream.behave(error(500), model=pair)
    spare.behave(error(503), model=pair)
    answer = alice.chat(pair)
    assert answer.status in (500, 502, 503)
    assert answer.error["message"]
    assert (len(upstream.log(pair)), len(spare.log(pair))) == (1, 1)
    assert [row["http_status"] for row in alice.gateway.usage(2, answer.request_id)] == [500, 503]


def test_a_deployment_that_refuses_connections_costs_no_client_error(spare: Upstream) -> None:
    with refused_port() as port:
        dead = Entry("m", f"http://127.0.0.1:{port}/v1", params={"order": 1})
        with Gateway(config_of([dead, Entry("m", spare.url, params={"order": 2})])) as gateway:
            alice = Client(gateway, gateway.create_key("alice"))
            answers = [alice.chat("m", stream=number % 2 == 0) for number in range(12)]
            assert {answer.status for answer in answers} == {200}
            rows = gateway.usage(12 + 5)  # after five failures it is left alone
    assert [row["status"] for row in rows].count("ok") == 12
    # after five failures in a row it is left alone for a while
    assert 5 <= [row["error_class"] for row in rows].count("connect_failed") <= 6, rows


def test_a_kept_connection_that_died_is_replaced_unnoticed(
    alice: Client, upstream: Upstream, model: str
) -> None:
    upstream.behave(Behaviour(dies_on_reuse=True), Behaviour(), model=model)
    answers = []
    for _ in range(6):
        answers.append(alice.chat(model))
        time.sleep(RESTED)
    assert {answer.status for answer in answers} == {200}
    rows = [row for answer in answers for row in alice.gateway.usage(1, answer.request_id)]
    assert [row["attempt_id"] for row in rows] == [seen.request_id for seen in upstream.log(model)]
    assert "failed" in {row["status"] for row in rows}


def test_a_connection_closed_while_idle_is_not_used_again(
    alice: Client, upstream: Upstream, model: str
) -> None:
    upstream.behave(Behaviour(idle_close=0.05), model=model)
    for stream in (False, True, False, True):
        answer = alice.chat(model, stream=stream)
        assert answer.status == 200
        upstream.wait(lambda log: all(seen.closed for seen in log), model)
    assert len({seen.connection for seen in upstream.log(model)}) == 4


def test_a_connection_that_says_close_is_not_used_again(
    alice: Client, upstream: Upstream, model: str
) -> None:
    upstream.behave(Behaviour(keep_alive=False), model=model)
    assert [alice.chat(model).status for _ in range(4)] == [200] * 4


def test_connections_are_kept_and_used_again(alice: Client, upstream: Upstream, model: str) -> None:
    for stream in (False, True, False, True, False):
        alice.chat(model, stream=stream)
        time.sleep(RESTED)
    assert len({seen.connection for seen in upstream.log(model)}) == 1


def test_a_stray_answer_is_never_given_to_the_next_request(
    gateway: Gateway, alice: Client, upstream: Upstream, model: str
) -> None:
    body = '{"choices":[{"message":{"content":"of somebody else"}}]}'
    stray = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n{body}"
    upstream.behave(Behaviour(stray=stray), model=model)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda number: alice.chat(model, stream=number % 2 == 0), range(200)))
    assert {answer.status for answer in answers} == {200}
    assert not [answer for answer in answers if b"somebody else" in answer.body]


def test_an_interim_response_before_the_answer_is_skipped(
    alice: Client, upstream: Upstream, model: str
) -> None:
    upstream.behave(Behaviour(interim=True), model=model)
    answers = [alice.chat(model), alice.stream(model), alice.chat(model)]
    assert [answer.status for answer in answers] == [200] * 3
    assert answers[1].text == "w0 w1 w2 "


def test_a_full_deployment_is_skipped_for_the_next(upstream: Upstream, spare: Upstream) -> None:
    upstream.behave(Behaviour(head_delay=0.5), model="full")
    entries = [
        Entry("full", upstream.url, params={"order": 1, "max_parallel_requests": 2}),
        Entry("full", spare.url, params={"order": 2}),
    ]
    before = len(upstream.log("full"))
    with Gateway(config_of(entries)) as gateway, ThreadPoolExecutor(6) as pool:
        alice = Client(gateway, gateway.create_key("alice"))
        statuses = list(pool.map(lambda _: alice.chat("full").status, range(6)))
    assert statuses == [200] * 6
    assert len(upstream.log("full")) - before == 2


@pytest.mark.parametrize("wait", ["7", "0.5"])
def test_a_providers_429_reaches_the_client_with_its_wait_when_no_other_is_left(
    alice: Client, upstream: Upstream, model: str, wait: str
) -> None:
    upstream.behave(error(429, headers=[("retry-after", wait)]), model=model)
    answer = alice.chat(model)
    assert answer.status == 429
    assert float(answer.header("retry-after") or 0) >= float(wait)
    assert answer.error["message"]


def test_nothing_is_sent_to_a_provider_before_the_time_that_it_named(
    alice: Client, upstream: Upstream, model: str
) -> None:
    busy = Behaviour(
        status=429, body='{"error":{"message":"slow down"}}', headers=[("retry-after-ms", "700")]
    )
    upstream.behave(busy, Behaviour(), model=model)
    assert alice.chat(model).status == 429
    [first] = upstream.log(model)
    waits = []
    while (answer := alice.chat(model)).status == 429:
        assert answer.error["code"] == "provider_rate_limited"
        waits.append(int(answer.header("retry-after-ms") or 0))
    assert answer.status == 200
    assert waits
    assert max(waits) <= 701
    _, second = upstream.log(model)
    assert second.arrived - first.arrived >= 0.69


def test_who_is_told_to_wait_is_served_by_another(
    alice: Client, upstream: Upstream, spare: Upstream, pair: str
) -> None:
    busy = Behaviour(status=429, body="{}", headers=[("retry-after", "60")])
    upstream.behave(busy, model=pair)
    assert [alice.chat(pair).status for _ in range(5)] == [200] * 5
    assert (len(upstream.log(pair)), len(spare.log(pair))) == (1, 5)


def test_providers_that_have_too_much_are_not_asked_three_times_as_often(
    alice: Client, upstream: Upstream, spare: Upstream, pair: str
) -> None:
    for provider in (upstream, spare):
        provider.behave(error(503), model=pair)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: alice.chat(pair), range(60)))
    assert {answer.status for answer in answers} == {503}
    attempts = len(upstream.log(pair)) + len(spare.log(pair))
    assert 60 < attempts <= 60 * 1.2 + 10


def test_a_rush_with_one_bad_deployment_costs_no_client_an_answer(
    alice: Client, upstream: Upstream, spare: Upstream, pair: str
) -> None:
    upstream.behave(
        Behaviour(status=500, body="{}", content_type="application/json", head_delay=0.3), model=pair
    )
    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda _: alice.chat(pair), range(40)))
    assert {answer.status for answer in answers} == {200}
    assert len(upstream.log(pair)) > 20  # more than a budget alone would let be asked again
    assert len(spare.log(pair)) == 40
