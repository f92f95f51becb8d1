"""Budgets hold at every surface: what a request may cost is reserved before it is sent, and counted once."""

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.gateway_process import Entry, Gateway, Row, config_of
from tests.path.client import Client, Reply
from tests.upstream import Behaviour, Upstream

PICTURE = {"output_cost_per_image": 0.04}
TOKENS = {"input_cost_per_token": 1e-06, "output_cost_per_token": 1e-05}
REQUEST = {"input_cost_per_request": 0.001, **TOKENS}
_numbers = itertools.count()


@pytest.fixture(scope="module")
def provider() -> Iterator[Upstream]:
    with Upstream("bounds") as running:
        yield running


@pytest.fixture(scope="module")
def house(provider: Upstream) -> Iterator[Gateway]:
    prices: dict[str, dict[str, float]] = {"pictures": PICTURE, "pictures-by-tokens": TOKENS}
    prices |= {"texts": TOKENS, "kept": REQUEST, "versed": {}}
    entries = [Entry(name, provider.url, params=price) for name, price in prices.items()]
    with Gateway(config_of(entries)) as running:
        yield running


def post(who: Client, path: str, **body: Any) -> Reply:
    return who.send("POST", path, json.dumps(body).encode())


def with_budget(house: Gateway, dollars: str) -> Client:
    name = f"of-{dollars}-{next(_numbers)}"
    return Client(house, house.create_key(name, "--limit", f"cost={dollars}/total"))


def only_row(house: Gateway, answer: Reply) -> Row:
    [row] = house.usage(1, answer.request_id)
    return row


def test_pictures_that_a_budget_cannot_pay_are_not_drawn(house: Gateway, provider: Upstream) -> None:
    who = with_budget(house, "0.10")
    provider.behave(Behaviour(body=json.dumps({"data": [{"url": "https://a.example/1.png"}] * 2})))
    refused = post(who, "/v1/images/generations", model="pictures", prompt="A cat", n=3)
    assert (refused.status, refused.error["code"]) == (429, "insufficient_quota")
    drawn = post(who, "/v1/images/generations", model="pictures", prompt="A cat", n=2)
    assert drawn.status == 200
    assert only_row(house, drawn)["cost_nano"] == 80_000_000
    assert post(who, "/v1/images/generations", model="pictures", prompt="A cat").status == 429


def test_what_is_drawn_in_a_form_is_paid_before(house: Gateway, provider: Upstream) -> None:
    who = with_budget(house, "0.10")
    form = b"".join(
        b'--b\r\ncontent-disposition: form-data; name="%s"\r\n\r\n%s\r\n' % part
        for part in ((b"n", b"3"), (b"model", b"pictures"), (b"prompt", b"A cat"))
    )
    kind = {"content-type": "multipart/form-data; boundary=b"}
    answer = who.send("POST", "/v1/images/edits", form + b"--b--\r\n", kind)
    assert (answer.status, answer.error["code"]) == (429, "insufficient_quota")


def test_pictures_paid_by_tokens_are_paid_before_too(house: Gateway) -> None:
    answer = post(
        with_budget(house, "0.05"), "/v1/images/generations", model="pictures-by-tokens", prompt="A cat"
    )
    assert (answer.status, answer.error["code"]) == (429, "insufficient_quota")


@pytest.mark.parametrize(
    "more",
    [{"prompt": ["One", "Two", "Three"]}, {"prompt": [[1], [2], [3]]}, {"prompt": "One", "best_of": 3}],
)
def test_every_answer_of_an_older_completion_is_paid_before(house: Gateway, more: dict[str, Any]) -> None:
    who = with_budget(house, "0.02")  # two answers of 999 tokens, and no third
    answer = post(who, "/v1/completions", model="texts", max_tokens=999, **more)
    assert (answer.status, answer.error["code"]) == (429, "insufficient_quota")


def test_one_prompt_is_one_however_it_is_written(house: Gateway, provider: Upstream) -> None:
    provider.behave(Behaviour())
    for prompt in ("One", ["One"], [[1, 2, 3]], [1, 2, 3]):
        answer = post(
            with_budget(house, "0.02"), "/v1/completions", model="texts", max_tokens=999, prompt=prompt
        )
        assert answer.status == 200, answer.body


@pytest.mark.parametrize("stream", [False, True])
def test_a_response_in_the_background_is_charged_with_all_that_it_may_write(
    house: Gateway, provider: Upstream, stream: bool
) -> None:
    who = with_budget(house, "0.02")
    queued = {"id": "resp_1", "object": "response", "status": "queued", "output": [], "background": True}
    begun = {"type": "response.output_text.delta", "delta": "H", "sequence_number": 1}
    event = f"event: {begun['type']}\ndata: {json.dumps(begun)}\n\n"
    provider.behave(Behaviour(body=json.dumps(queued), stream_body=event))
    asked = {"model": "texts", "input": "Hi", "background": True, "stream": stream}
    answer = post(who, "/v1/responses", max_output_tokens=1500, **asked)
    assert answer.status == 200, answer.body
    row = only_row(house, answer)
    assert (row["completion_tokens"], row["estimated"]) == (1500, True)
    assert row["cost_nano"] >= 1500 * 10_000
    refused = post(who, "/v1/responses", max_output_tokens=1500, **asked)
    assert (refused.status, refused.error["code"]) == (429, "insufficient_quota")


def test_a_response_in_the_background_without_a_bound_uses_up_what_is_left(
    house: Gateway, provider: Upstream
) -> None:
    who = with_budget(house, "0.02")
    queued = {"id": "resp_1", "object": "response", "status": "queued", "output": []}
    provider.behave(Behaviour(body=json.dumps(queued)))
    answer = post(who, "/v1/responses", model="texts", input="Hi", background=True)
    assert only_row(house, answer)["cost_nano"] > 19_000_000
    assert post(who, "/v1/responses", model="texts", input="Hi", background=True).status == 429


def test_what_writes_nothing_says_nothing_of_how_long_answers_are(house: Gateway, provider: Upstream) -> None:
    who = Client(house, house.create_key("unbound"))
    used = {"prompt_tokens": 5, "total_tokens": 5}
    provider.behave(Behaviour(body=json.dumps({"data": [{"embedding": [0.5]}], "usage": used})))
    for _ in range(20):
        assert post(who, "/v1/embeddings", model="versed", input="Hi").status == 200
    provider.behave(Behaviour(body=json.dumps({"id": "resp_3", "status": "queued", "output": []})))
    answer = post(who, "/v1/responses", model="versed", input="Hi", background=True)
    assert only_row(house, answer)["completion_tokens"] == 256  # as if nothing had been asked yet


def test_a_response_is_charged_when_it_is_made_and_not_when_it_is_read(
    house: Gateway, provider: Upstream
) -> None:
    who = Client(house, house.create_key("reader"))
    text = {"type": "output_text", "text": "Hello"}
    made = {
        "id": "resp_2",
        "object": "response",
        "status": "completed",
        "output": [{"type": "message", "role": "assistant", "content": [text]}],
        "usage": {"input_tokens": 5, "output_tokens": 6, "total_tokens": 11},
    }
    provider.behave(Behaviour(body=json.dumps(made)))
    first = post(who, "/v1/responses", model="kept", input="Hi")
    assert only_row(house, first)["cost_nano"] == 1_000_000 + 5 * 1000 + 6 * 10_000
    for path in ("", "/input_items"):
        read = who.get(f"/v1/responses/{first.json['id']}{path}")
        assert read.status == 200, read.body
        row = only_row(house, read)
        assert (row["cost_nano"], row["priced"], row["status"]) == (0, True, "ok")
