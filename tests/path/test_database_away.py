"""PostgreSQL that is away when the gateway starts, goes while it serves, or falls silent."""

import time
from collections.abc import Iterator

import pytest

from tests.gateway_process import Entry
from tests.path.client import Client
from tests.path.house import PROMISED, House, house, until
from tests.upstream import Upstream

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def home(upstream: Upstream) -> Iterator[House]:
    with house([Entry("llm", upstream.url), Entry("other", upstream.url)]) as running:
        yield running


def status(client: Client, model: str = "llm") -> int:
    return client.chat(model).status


def test_a_start_without_the_database(home: House) -> None:
    alice = home.client("alice", "--limit", "requests=1000/day", "--models", "llm")
    bob = home.client("bob")
    until(home.copied, "copies of all that there is")
    home.gateway.kill()
    home.disable("bob")
    carol = home.client("carol")
    home.server.stop()
    try:
        began = time.monotonic()
        home.gateway.start()
        assert [status(alice), status(alice, "other"), status(bob)] == [200, 404, 200]
        assert time.monotonic() - began < PROMISED
        refused = home.stranger.chat("llm")
        assert (refused.status, refused.error["code"]) == (503, "database_unavailable")
        ready = alice.get("/health/ready")
        assert (ready.status, ready.json["database"], "copy" in ready.json["reason"]) == (200, "away", True)
    finally:
        home.server.start()
    until(lambda: (status(alice), status(bob), status(carol)) == (200, 401, 200), "what changed meanwhile")
    assert home.stranger.chat("llm").status == 401
    assert not home.is_away()
    assert "Traceback" not in home.gateway.log.read_text()
