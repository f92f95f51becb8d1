"""The config file that teams bring, with nothing but its two addresses replaced."""

import http.client
import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate

import pytest

from tests.gateway_process import Gateway
from tests.path.client import CHAT, Client, chat_body
from tests.upstream import ROOT, Behaviour, Upstream, refused_port

MASTER = "sk-litellm-admin"
REQUESTS = 3000
LINES = 8


def seed(server: str, nebius: str) -> str:
    text = (ROOT / "config" / "config.yml").read_text()
    for address, replacement in [
        ("http://10.3.0.42:11434/v1", server),
        ("https://api.tokenfactory.nebius.com/v1", nebius),
    ]:
        assert text.count(address) == 1
        text = text.replace(address, replacement)
    return text


@pytest.fixture(scope="module")
def server_process() -> Iterator[Upstream]:
    with Upstream("server") as provider:
        yield provider


@pytest.fixture
def server(server_process: Upstream) -> Upstream:
    server_process.reset()
    return server_process


@pytest.fixture(scope="module")
def nebius_process() -> Iterator[Upstream]:
    with Upstream("nebius") as provider:
        yield provider


@pytest.fixture
def nebius(nebius_process: Upstream) -> Upstream:
    nebius_process.reset()
    return nebius_process


@pytest.fixture(scope="module")
def shared(server_process: Upstream, nebius_process: Upstream) -> Iterator[Gateway]:
    """For tests that leave the master key alone; each makes a key of its own."""
    config = seed(server_process.url, nebius_process.url)
    with Gateway(config, {"NEBIUS_API_KEY": "nebius-key"}) as gateway:
        yield gateway


@pytest.fixture
def seeded(server: Upstream, nebius: Upstream) -> Iterator[Gateway]:
    """With the master key's limits untouched."""
    with Gateway(seed(server.url, nebius.url), {"NEBIUS_API_KEY": "nebius-key"}) as gateway:
        yield gateway


def share(gateway: Gateway, key: str, count: int) -> Counter[int]:
    """Ask `count` times on one kept connection."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30)
    statuses: Counter[int] = Counter()
    for _ in range(count):
        connection.request("POST", CHAT, chat_body("llm"), {"authorization": f"Bearer {key}"})
        response = connection.getresponse()
        response.read()
        statuses[response.status] += 1
    connection.close()
    return statuses


def test_weights_one_and_two_split_three_thousand_requests_exactly(
    shared: Gateway, server: Upstream, nebius: Upstream
) -> None:
    key = shared.create_key("split")
    with ThreadPoolExecutor(LINES) as pool:
        shares = pool.map(lambda _: share(shared, key, REQUESTS // LINES), range(LINES))
        assert sum(shares, Counter()) == {200: REQUESTS}
    assert (len(server.log()), len(nebius.log())) == (REQUESTS // 3, REQUESTS * 2 // 3)
    rows = [row for row in shared.usage(REQUESTS) if row["key"] == "split"]
    sent = {seen.request_id for seen in [*server.log(), *nebius.log()]}
    assert len(rows) == REQUESTS
    assert {row["attempt_id"] for row in rows} == sent


def test_the_two_deployments_are_asked_as_the_file_says(
    shared: Gateway, server: Upstream, nebius: Upstream
) -> None:
    alice = Client(shared, shared.create_key("alice"))
    for _ in range(3):
        assert alice.chat("llm", top_k=3).status == 200
    [first], second = server.log(), nebius.log()[0]
    assert (first.json["model"], first.header("authorization")) == ("gpt-oss:20b", None)  # EMPTY: no key
    assert "temperature" not in first.json
    assert (second.json["model"], second.header("authorization")) == (
        "openai/gpt-oss-20b",
        "Bearer nebius-key",
    )
    assert (second.json["temperature"], second.json["top_k"]) == (0.2, 3)
    assert alice.chat("llm", temperature=1).status == 200
    assert {seen.json.get("temperature") for seen in [*server.log(), *nebius.log()]} == {None, 0.2, 1}


def test_the_fourth_request_in_a_minute_is_refused_with_limit_and_reset(seeded: Gateway) -> None:
    admin = Client(seeded, MASTER)
    answers = [admin.chat("llm") for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    refused = answers[-1]
    assert re.search(r"\b3 requests", refused.error["message"])
    assert "minute" in refused.error["message"]
    assert 1 <= int(refused.header("retry-after") or 0) <= 61
    assert refused.header("x-ratelimit-limit-requests") == "3"
    rows = seeded.usage(4)
    assert [row["status"] for row in rows] == ["ok", "ok", "ok", "refused"]


def test_a_first_request_without_max_tokens_passes_and_is_capped(
    seeded: Gateway, server: Upstream, nebius: Upstream
) -> None:
    assert Client(seeded, MASTER).stream("llm").text == "w0 w1 w2 "
    [seen] = [*server.log(), *nebius.log()]
    assert 0 < seen.json["max_tokens"] <= 1000


def test_a_spent_token_budget_refuses_with_its_name(
    seeded: Gateway, server: Upstream, nebius: Upstream
) -> None:
    for provider in (server, nebius):
        provider.behave(Behaviour(tokens=980))
    admin = Client(seeded, MASTER)
    assert admin.chat("llm").status == 200
    refused = admin.chat("llm")
    assert refused.status == 429
    assert re.search(r"\b1[ ,]?000 tokens", refused.error["message"])


def test_another_key_is_not_held_by_the_limits_of_the_first(seeded: Gateway) -> None:
    second = Client(seeded, seeded.create_key("second"))
    assert [second.chat("llm").status for _ in range(6)] == [200] * 6


def test_a_dead_first_deployment_costs_no_client_error(nebius: Upstream) -> None:
    with (
        refused_port() as port,
        Gateway(seed(f"http://127.0.0.1:{port}/v1", nebius.url), {"NEBIUS_API_KEY": "k"}) as gateway,
    ):
        alice = Client(gateway, gateway.create_key("second"))
        answers = [alice.chat("llm", stream=number % 2 == 0) for number in range(30)]
    assert {answer.status for answer in answers} == {200}
    assert len(nebius.log()) == 30


def test_ten_parallel_requests_a_deployment_and_no_more(
    shared: Gateway, server: Upstream, nebius: Upstream
) -> None:
    for provider in (server, nebius):
        provider.behave(Behaviour(head_delay=1.0))
    alice = Client(shared, shared.create_key("many"))
    with ThreadPoolExecutor(24) as pool:
        statuses = Counter(pool.map(lambda _: alice.chat("llm").status, range(24)))
    assert (most_at_once(server), most_at_once(nebius)) == (10, 10)
    assert statuses == {200: 24}  # those beyond waited for a free place


def most_at_once(provider: Upstream) -> int:
    """How many requests the provider had at one moment."""
    seen = provider.log()
    starts = [(one.arrived, 1) for one in seen]
    ends = [(one.ended_at, -1) for one in seen if one.ended_at is not None]
    return max(accumulate(change for _, change in sorted(starts + ends)))


def test_a_provider_without_its_key_is_skipped(server: Upstream, nebius: Upstream) -> None:
    with Gateway(seed(server.url, nebius.url)) as gateway:
        alice = Client(gateway, gateway.create_key("second"))
        assert [alice.chat("llm").status for _ in range(6)] == [200] * 6
    assert (len(server.log()), len(nebius.log())) == (6, 0)
