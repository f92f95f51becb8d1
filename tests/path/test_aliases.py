"""A model under its other names: the same answers, rights, limits and usage."""

import json
from collections.abc import Iterator

import pytest

from tests.gateway_process import Entry, Gateway, config_of
from tests.path.client import Client
from tests.upstream import Upstream

ALIASES = {"gpt/4:o": "llm", "old": {"model": "llm", "hidden": True}}


@pytest.fixture(scope="module")
def gateway(upstream: Upstream) -> Iterator[Gateway]:
    entries = [Entry("llm", upstream.url, "aliased-upstream"), Entry("small", upstream.url)]
    written = json.loads(config_of(entries)) | {"router_settings": {"model_group_alias": ALIASES}}
    with Gateway(json.dumps(written)) as gateway:
        yield gateway


def test_an_alias_is_answered_by_its_model_and_used_as_its_model(
    gateway: Gateway, upstream: Upstream
) -> None:
    alice = Client(gateway, gateway.create_key("alice"))
    for number, name in enumerate(("gpt/4:o", "old", "llm"), 1):
        answer = alice.chat(name)
        assert answer.status == 200, answer.body
        assert len(upstream.log("aliased-upstream")) == number
        (row,) = gateway.usage(1, answer.request_id)
        assert row["model"] == "llm"


def test_aliases_are_listed_unless_hidden(gateway: Gateway) -> None:
    bob = Client(gateway, gateway.create_key("bob"))
    assert [model["id"] for model in bob.get("/v1/models").json["data"]] == ["llm", "gpt/4:o", "small"]
    assert bob.get("/v1/models/gpt/4:o").json["id"] == "gpt/4:o"
    assert bob.get("/v1/models/old").json["id"] == "old"


def test_rights_are_those_of_the_model(gateway: Gateway) -> None:
    carol = Client(gateway, gateway.create_key("carol", "--models", "llm"))
    dave = Client(gateway, gateway.create_key("dave", "--models", "small"))
    assert carol.chat("old").status == 200
    refused = dave.chat("gpt/4:o")
    assert (refused.status, refused.error["code"]) == (404, "model_not_found")
    assert [model["id"] for model in dave.get("/v1/models").json["data"]] == ["small"]


def test_limits_of_a_model_count_all_its_names(gateway: Gateway) -> None:
    erin = Client(gateway, gateway.create_key("erin", "--limit", "requests=2/day@llm"))
    assert [erin.chat(name).status for name in ("llm", "old", "gpt/4:o", "llm")] == [200, 200, 429, 429]
