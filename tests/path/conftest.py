"""Gateways and providers that the whole-path tests share; every test has models of its own."""

import itertools
from collections.abc import Iterator

import pytest

from tests.gateway_process import Entry, Gateway, config_of
from tests.path.client import Client
from tests.upstream import NAMED, Upstream

SCRATCH = 250
PAIRS = 80
DOORS = {"direct": "true", "django": "false"}


@pytest.fixture(scope="session")
def upstream() -> Iterator[Upstream]:
    """The provider behind every model. Tell it what to do by the test's own model."""
    with Upstream("a") as provider:
        yield provider


@pytest.fixture(scope="session")
def spare() -> Iterator[Upstream]:
    """The provider of the second deployment of each pair."""
    with Upstream("b") as provider:
        yield provider


def _entries(upstream: Upstream, spare: Upstream) -> Iterator[Entry]:
    for name in NAMED:
        yield Entry(name, upstream.url)
    for number in range(SCRATCH):
        yield Entry(f"scratch-{number}", upstream.url)
    for number in range(PAIRS):
        yield Entry(f"pair-{number}", upstream.url, params={"order": 1})
        yield Entry(f"pair-{number}", spare.url, params={"order": 2})
    yield Entry("vendor/family:7b", upstream.url, "vendor-7b")


@pytest.fixture(scope="session", params=DOORS)
def gateway(request: pytest.FixtureRequest, upstream: Upstream, spare: Upstream) -> Iterator[Gateway]:
    """A running gateway, once through each of its two doors."""
    env = {
        "DIRECT_DOOR": DOORS[request.param],
        "MAX_BODY_MB": "24",
        "FIRST_BYTE_TIMEOUT": "2",
        "IDLE_TIMEOUT": "2",
        "TOTAL_TIMEOUT": "3",
    }
    with Gateway(config_of(_entries(upstream, spare)), env) as running:
        yield running


@pytest.fixture(scope="session")
def alice(gateway: Gateway) -> Client:
    """Someone with a key without limits."""
    return Client(gateway, gateway.create_key("alice"))


_numbers = itertools.count()
_pair_numbers = itertools.count()


@pytest.fixture
def model() -> str:
    """A model with one deployment, of this test alone."""
    return f"scratch-{next(_numbers)}"


@pytest.fixture
def pair() -> str:
    """A model with a first deployment on `upstream` and a second on `spare`, of this test alone."""
    return f"pair-{next(_pair_numbers)}"
