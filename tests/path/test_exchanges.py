"""Prompts and answers are kept for keys that ask for it, whole, put together or broken off."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.gateway_process import Entry, Gateway, config_of
from tests.path.client import HELLO, Client
from tests.upstream import Behaviour, Upstream, error

SHORT = {"FIRST_BYTE_TIMEOUT": "2", "IDLE_TIMEOUT": "2", "TOTAL_TIMEOUT": "3", "EXCHANGE_MAX_KB": "4"}
_KEEP = "from keys.models import ApiKey; k = ApiKey.objects.get(name={!r}); k.keep_exchanges = {}; k.save()"
_READ = (
    "import json; from usage.models import Exchange; "
    "print(json.dumps(list(Exchange.objects.filter(request_id={!r}).order_by('pk').values()), default=str))"
)
_RULE = "from usage.models import RedactionRule; RedactionRule.objects.filter(name={!r}).update(enabled={})"


def shell(gateway: Gateway, code: str) -> str:
    return gateway.manage("shell", "--verbosity", "0", "-c", code)


def keep(gateway: Gateway, name: str, on: bool = True) -> None:
    shell(gateway, _KEEP.format(name, on))


def kept(gateway: Gateway, request_id: str, count: int = 1, seconds: float = 6.0) -> list[dict[str, Any]]:
    """The exchanges of a request, as soon as there are so many."""
    deadline = time.monotonic() + seconds
    while True:
        rows: list[dict[str, Any]] = json.loads(shell(gateway, _READ.format(request_id)))
        if len(rows) >= count:
            return rows
        assert time.monotonic() < deadline, f"{len(rows)} of {count} exchanges"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def provider() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def kept_at(provider: Upstream) -> Iterator[Gateway]:
    with Gateway(config_of([Entry("m", provider.url)]), SHORT) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def carol(kept_at: Gateway) -> Client:
    """Someone whose exchanges are kept."""
    key = kept_at.create_key("carol")
    keep(kept_at, "carol")
    return Client(kept_at, key)


def test_a_whole_answer_is_kept_as_it_came(carol: Client, kept_at: Gateway, provider: Upstream) -> None:
    provider.behave(Behaviour(tokens=3))
    answer = carol.chat("m", vendor="mine")
    [row] = kept(kept_at, answer.request_id)
    assert json.loads(row["request"]) == {"model": "m", "messages": HELLO, "vendor": "mine"}
    assert row["answer"].encode() == answer.body
    assert (row["complete"], row["stream"], row["key"]) == (True, False, "carol")


def test_a_stream_is_kept_as_one_answer(carol: Client, kept_at: Gateway, provider: Upstream) -> None:
    provider.behave(Behaviour(tokens=4, delta={"reasoning_content": "hm "}))
    answer = carol.stream("m", n=2)
    [row] = kept(kept_at, answer.request_id)
    said = json.loads(row["answer"])
    assert said["object"] == "chat.completion"
    assert [choice["index"] for choice in said["choices"]] == [0, 1]
    assert said["choices"][1]["message"]["content"] == answer.text == "w0 w1 w2 w3 "
    assert said["choices"][0]["message"]["reasoning_content"] == "hm hm hm hm "
    assert said["choices"][0]["finish_reason"] == "stop"
    assert said["usage"]["completion_tokens"] == 8
    assert (row["complete"], row["stream"]) == (True, True)


def test_a_stream_that_broke_is_kept_as_far_as_it_came(
    carol: Client, kept_at: Gateway, provider: Upstream
) -> None:
    provider.behave(Behaviour(tokens=9, fault="close", fault_after=4))
    answer = carol.stream("m")
    [row] = kept(kept_at, answer.request_id)
    said = json.loads(row["answer"])["choices"][0]
    assert (said["message"]["content"], said["finish_reason"]) == ("w0 w1 w2 ", None)
    assert row["complete"] is False


def test_what_the_client_did_not_wait_for_is_kept_as_far_as_it_came(
    carol: Client, kept_at: Gateway, provider: Upstream
) -> None:
    provider.behave(Behaviour(tokens=500, delay=0.02))
    line = carol.open("m", stream=True)
    line.read_until(b'"w3 "')
    line.leave()
    [row] = kept(kept_at, line.request_id)
    assert json.loads(row["answer"])["choices"][0]["message"]["content"].startswith("w0 w1 w2 w3 ")
    assert row["complete"] is False


def test_each_attempt_of_a_request_is_kept(carol: Client, kept_at: Gateway, provider: Upstream) -> None:
    provider.behave(error(400))
    answer = carol.chat("m")
    [row] = kept(kept_at, answer.request_id)
    assert json.loads(row["answer"])["error"]["message"] == "upstream says 400"
    [attempt] = kept_at.usage(1, answer.request_id)
    assert row["attempt_id"] == attempt["attempt_id"]


def test_long_texts_are_cut_with_a_mark(carol: Client, kept_at: Gateway, provider: Upstream) -> None:
    provider.behave(Behaviour(tokens=0, big=30_000))
    for stream in (False, True):
        answer = carol.chat("m", stream=stream, padding="é" * 9000)
        [row] = kept(kept_at, answer.request_id)
        for side in ("request", "answer"):
            assert len(row[side].encode()) <= 4096 + 60
            assert row[side].endswith(f"\n[cut off here: {row[f'{side}_bytes']} bytes in all]")
        assert row["answer_bytes"] > 30_000


def test_nothing_is_kept_of_others_and_a_switch_holds_within_two_seconds(
    kept_at: Gateway, provider: Upstream
) -> None:
    provider.behave(Behaviour())
    dave = Client(kept_at, kept_at.create_key("dave"))
    before = dave.chat("m")
    keep(kept_at, "dave")
    time.sleep(2.0)
    during = dave.chat("m")
    keep(kept_at, "dave", on=False)
    time.sleep(2.0)
    after = dave.chat("m")
    kept_at.usage(1, after.request_id)
    assert len(kept(kept_at, during.request_id)) == 1
    assert kept(kept_at, before.request_id, 0) + kept(kept_at, after.request_id, 0) == []


def test_rules_take_out_what_they_name_also_when_it_is_escaped(
    carol: Client, kept_at: Gateway, provider: Upstream
) -> None:
    provider.behave(Behaviour(texts=["Write to ", "bob@", "example", ".org", " now"]))
    shell(kept_at, _RULE.format("E-mail addresses", True))
    said = rb"I am\nalice\u0040example.com."
    body = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"%b"}]}' % said
    answer = carol.send("POST", "/v1/chat/completions", body)
    [row] = kept(kept_at, answer.request_id)
    shell(kept_at, _RULE.format("E-mail addresses", False))
    assert json.loads(row["request"])["messages"][0]["content"] == "I am\n[e-mail]."
    assert json.loads(row["answer"])["choices"][0]["message"]["content"] == "Write to [e-mail] now"


def test_a_kill_loses_no_exchange_of_an_answered_request() -> None:
    with Upstream() as upstream, Gateway(config_of([Entry("m", upstream.url)])) as gateway:
        carol = Client(gateway, gateway.create_key("carol"))
        keep(gateway, "carol")
        answered = [carol.chat("m", stream=number % 2 == 0, padding="x" * 40_000) for number in range(12)]
        gateway.kill()
        gateway.start()
        rows = [row for answer in answered for row in kept(gateway, answer.request_id)]
        assert len(rows) == 12
        assert all(row["complete"] and len(row["request"]) > 40_000 for row in rows)


def test_no_prompt_stays_in_the_journal(carol: Client, kept_at: Gateway, provider: Upstream) -> None:
    provider.behave(Behaviour())
    answer = carol.chat("m", vendor="between us")
    kept(kept_at, answer.request_id)
    deadline = time.monotonic() + 5
    while any(b"between us" in file.read_bytes() for file in kept_at.data.glob("journal/*/*.journal")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
