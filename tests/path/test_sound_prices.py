"""Sound costs what its provider asks: by the second that is heard, by the character that is spoken."""

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.gateway_process import Entry, Gateway, Row, config_of
from tests.path.client import Client, Reply
from tests.upstream import Behaviour, Upstream

WHISPER = {"input_cost_per_second": 0.0001}
SPEAKER = {"input_cost_per_character": 1.5e-05}
BY_TOKENS = {"input_cost_per_token": 2.5e-06, "input_cost_per_audio_token": 6e-06}
HEARD = "/v1/audio/transcriptions"
_numbers = itertools.count()


@pytest.fixture(scope="module")
def provider() -> Iterator[Upstream]:
    with Upstream("sound") as running:
        yield running


@pytest.fixture(scope="module")
def house(provider: Upstream) -> Iterator[Gateway]:
    prices = {"whisper": WHISPER, "tts": SPEAKER, "by-tokens": BY_TOKENS}
    entries = [Entry(name, provider.url, params=price) for name, price in prices.items()]
    with Gateway(config_of(entries)) as running:
        yield running


@pytest.fixture
def alice(house: Gateway) -> Client:
    return Client(house, house.create_key(f"alice-{next(_numbers)}"))


def with_budget(house: Gateway, dollars: str) -> Client:
    name = f"of-{dollars}-{next(_numbers)}"
    return Client(house, house.create_key(name, "--limit", f"cost={dollars}/total"))


def hear(who: Client, size: int, model: str = "whisper", **fields: str) -> Reply:
    parts = [
        f'--b\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in {"model": model, **fields}.items()
    ]
    head = b'--b\r\ncontent-disposition: form-data; name="file"; filename="a.mp3"\r\n\r\n'
    form = b"".join(parts) + head + b"\0" * size + b"\r\n--b--\r\n"
    return who.send("POST", HEARD, form, {"content-type": "multipart/form-data; boundary=b"})


def speak(who: Client, text: str) -> Reply:
    body = {"model": "tts", "input": text, "voice": "alloy"}
    return who.send("POST", "/v1/audio/speech", json.dumps(body).encode())


def only_row(house: Gateway, answer: Reply) -> Row:
    [row] = house.usage(1, answer.request_id)
    return row


@pytest.mark.parametrize(
    "told", [{"usage": {"type": "duration", "seconds": 95}}, {"duration": 94.6}], ids=["usage", "verbose"]
)
def test_what_is_heard_costs_by_the_second(
    house: Gateway, alice: Client, provider: Upstream, told: dict[str, Any]
) -> None:
    provider.behave(Behaviour(body=json.dumps({"text": "Hi", **told})))
    row = only_row(house, hear(alice, 5000))
    assert (row["status"], row["cost_nano"], row["priced"]) == ("ok", 95 * 100_000, True)
    assert (row["estimated"], row["prompt_tokens"]) == (False, 0)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ('{"text": "Hi"}', "application/json"),
        ("Hi", "text/plain"),
        ("1\n00:00:00,000 --> 00:00:01,000\nHi", ""),
    ],
)
def test_where_nobody_tells_how_long_it_was_its_size_does(
    house: Gateway, alice: Client, provider: Upstream, answer: str, kind: str
) -> None:
    provider.behave(Behaviour(body=answer, content_type=kind or "application/x-subrip"))
    row = only_row(house, hear(alice, 16_000 * 60, response_format="text"))
    assert (row["status"], row["cost_nano"], row["estimated"]) == ("ok", 61 * 100_000, True)


def test_what_failed_costs_nothing(house: Gateway, alice: Client, provider: Upstream) -> None:
    provider.behave(Behaviour(status=400, body='{"error": {"message": "no sound"}}'))
    assert only_row(house, hear(alice, 5000))["cost_nano"] == 0
    assert only_row(house, speak(alice, "Hello"))["cost_nano"] == 0


def test_tokens_are_charged_as_tokens(house: Gateway, alice: Client, provider: Upstream) -> None:
    told = {"type": "tokens", "input_tokens": 100, "output_tokens": 3, "total_tokens": 103}
    details = {"input_token_details": {"text_tokens": 0, "audio_tokens": 100}}
    provider.behave(Behaviour(body=json.dumps({"text": "Hi", "usage": told | details})))
    row = only_row(house, hear(alice, 5000, "by-tokens"))
    assert (row["prompt_tokens"], row["cost_nano"]) == (100, 100 * 6000)


@pytest.mark.parametrize("text", ["Hello there", "Grüße, 世界 👋"])
def test_what_is_spoken_costs_by_the_character(
    house: Gateway, alice: Client, provider: Upstream, text: str
) -> None:
    provider.behave(Behaviour(body="sound", content_type="audio/mpeg"))
    answer = speak(alice, text)
    assert (answer.status, answer.body) == (200, b"sound")
    assert only_row(house, answer)["cost_nano"] == len(text) * 15_000


def test_speech_that_a_budget_cannot_pay_is_not_made(house: Gateway, provider: Upstream) -> None:
    who = with_budget(house, "0.001")
    provider.behave(Behaviour(body="sound", content_type="audio/mpeg"))
    assert speak(who, "x" * 67).error["code"] == "insufficient_quota"
    assert speak(who, "x" * 60).status == 200
    assert speak(who, "x" * 7).error["code"] == "insufficient_quota"


@pytest.mark.parametrize("model", ["whisper", "by-tokens"])
def test_sound_that_a_budget_might_not_pay_is_not_heard(
    house: Gateway, provider: Upstream, model: str
) -> None:
    who = with_budget(house, "0.01")
    provider.behave(Behaviour(body='{"text": "Hi", "usage": {"type": "duration", "seconds": 60}}'))
    before = len(provider.log(model))
    refused = hear(who, 200_000, model)  # more than three minutes of the densest speech
    assert (refused.status, refused.error["code"]) == (429, "insufficient_quota")
    assert len(provider.log(model)) == before
    assert hear(who, 60_000, model).status == 200
