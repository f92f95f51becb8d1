"""Gateways and providers that the whole-path tests share; every test has models of its own."""

import itertools
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.gateway_process import Entry, Gateway, config_of
from tests.path.client import Client
from tests.upstream import NAMED, Behaviour, Upstream

SCRATCH = 350
PAIRS = 120
SHORT_TIMEOUTS = {"FIRST_BYTE_TIMEOUT": "2", "IDLE_TIMEOUT": "2", "TOTAL_TIMEOUT": "3"}
DOORS = {"direct": "true", "django": "false"}


class SharedUpstream(Upstream):
    """A provider of many tests, which must not be told what it does for all of them."""

    def behave(self, *behaviours: Behaviour, model: str | None = None) -> None:
        """For one upstream model ("" where a request names none); without behaviours, as it was."""
        assert model is not None, "name a model: other tests use this provider too"
        super().behave(*behaviours, model=model)

    def reset(self) -> None:
        raise AssertionError("other tests read this log too")


@pytest.fixture(scope="session")
def upstream() -> Iterator[Upstream]:
    """The provider behind every model. Tell it what to do by the test's own model."""
    with SharedUpstream("a") as provider:
        yield provider


@pytest.fixture(scope="session")
def spare() -> Iterator[Upstream]:
    """The provider of the second deployment of each pair."""
    with SharedUpstream("b") as provider:
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


class Doors:
    """A running gateway for each door, started when first asked for, and Alice's key for it."""

    def __init__(self, config: str, running: ExitStack) -> None:
        self._config, self._running = config, running
        self._open: dict[str, Client] = {}

    def alice(self, door: str) -> Client:
        if door not in self._open:
            env = {**SHORT_TIMEOUTS, "MAX_BODY_MB": "24", "DIRECT_DOOR": DOORS[door]}
            gateway = self._running.enter_context(Gateway(self._config, env))
            self._open[door] = Client(gateway, gateway.create_key("alice"))
        return self._open[door]


@pytest.fixture(scope="session")
def doors(upstream: Upstream, spare: Upstream) -> Iterator[Doors]:
    with ExitStack() as running:
        yield Doors(config_of(_entries(upstream, spare)), running)


@pytest.fixture(params=DOORS)
def alice(request: pytest.FixtureRequest, doors: Doors) -> Client:
    """Someone with a key without limits, at each of the gateway's two doors."""
    return doors.alice(request.param)


@pytest.fixture
def gateway(alice: Client) -> Gateway:
    """The running gateway behind the door of this test."""
    return alice.gateway


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
