"""Routing among bad providers, at full numbers, at two hosts with one PostgreSQL and one Redis."""

from collections.abc import Callable, Iterator
from dataclasses import asdict

import pytest

from tests.conftest import _database
from tests.path.test_routing_faults import judge_breaks, judge_other_answers, judge_own_faults, judge_stalls
from tests.services import Postgres
from tests.torture import bad_answers as answers
from tests.torture import bad_streams as streams
from tests.torture.hosts import Hosts
from tests.torture.routing_rig import Models, routing_hosts

pytestmark = [pytest.mark.torture, pytest.mark.postgres, pytest.mark.redis]
type Write = Callable[[dict[str, object]], None]


@pytest.fixture(scope="module")
def hosts(postgres: Postgres) -> Iterator[Hosts]:
    for url in _database(postgres.url("postgres"), "switchyard_routing_torture"):
        with routing_hosts(url) as running:
            yield running


@pytest.fixture(scope="module")
def key(hosts: Hosts) -> str:
    return hosts.key("alice")


@pytest.fixture(scope="module")
def models() -> Models:
    return Models()


def test_routing_own_faults(hosts: Hosts, models: Models, key: str, torture_result: Write) -> None:
    told = answers.own_faults(hosts, models, key, requests=400)
    torture_result(asdict(told))
    judge_own_faults(told)


def test_routing_misconfigured(hosts: Hosts, models: Models, key: str, torture_result: Write) -> None:
    told = answers.misconfigured(hosts, models, key, requests=400)
    torture_result(asdict(told))
    judge_other_answers(told, least=5)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_routing_useless(hosts: Hosts, models: Models, key: str, stream: bool, torture_result: Write) -> None:
    told = answers.useless(hosts, models, key, 100, stream=stream)
    torture_result(asdict(told))
    judge_other_answers(told, least=5)


def test_routing_stalls(hosts: Hosts, models: Models, key: str, torture_result: Write) -> None:
    told = streams.stalls(hosts, models, key, each=50)
    torture_result(asdict(told))
    judge_stalls(told)


def test_routing_breaks(hosts: Hosts, models: Models, key: str, torture_result: Write) -> None:
    told = streams.breaks(hosts, models, key, count=200)
    torture_result(asdict(told))
    judge_breaks(told)
