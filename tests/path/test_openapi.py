"""The document of what is served: it is what the code says, and the gateway keeps to it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import call_command
from django.urls import get_resolver

from gateway.openapi import OPERATIONS
from gateway.surfaces import SURFACES
from tests import schemathesis_run
from tests.gateway_process import Gateway
from tests.path.client import Client
from tests.upstream import Upstream

pytestmark = pytest.mark.early


@pytest.fixture(scope="module")
def provider() -> Iterator[Upstream]:
    with Upstream("openapi") as running:
        yield running


@pytest.fixture(scope="module")
def alice(provider: Upstream) -> Iterator[Client]:
    with Gateway(schemathesis_run.config(provider)) as running:
        yield Client(running, running.create_key("alice"))


def test_the_served_document_is_what_the_code_says(alice: Client, tmp_path: Path) -> None:
    made = tmp_path / "openapi.json"
    options = {"urlconf": "gateway.api_urls", "format": "openapi-json", "file": str(made)}
    call_command("spectacular", **options, validate=True, fail_on_warn=True)
    assert made.read_text() == schemathesis_run.DOCUMENT.read_text(), "run make openapi"
    stranger = Client(alice.gateway, "")
    assert stranger.get("/openapi.json").json == json.loads(made.read_text())


def test_every_address_is_in_it() -> None:
    served = {str(each.pattern) for each in get_resolver("gateway.api_urls").url_patterns}
    documented = {path.strip("/") for _, path in OPERATIONS}
    assert documented >= set(SURFACES)
    named = {pattern.replace("<str:name>", "{name}") for pattern in served}
    assert {n for n in named if not n.startswith("^")} == documented - {"models/{name}"}


def test_nothing_that_the_document_allows_breaks_the_gateway(
    alice: Client, provider: Upstream, tmp_path: Path
) -> None:
    code, said = schemathesis_run.run(alice, provider, tmp_path, seconds=30, examples=15)
    assert code == 0, said[-6000:]
    assert min(schemathesis_run.crossed(alice).values()) > 0
    assert alice.get("/health").status == 200
