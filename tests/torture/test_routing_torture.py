"""Routing among bad providers, at full numbers, at two hosts with one PostgreSQL and one Redis."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import pytest

from tests.conftest import _database
from tests.path.test_routing_faults import (
    judge_breaks,
    judge_one_bad,
    judge_other_answers,
    judge_own_faults,
    judge_parallel,
    judge_pauses,
    judge_stalls,
    judge_storm,
    judge_too_long,
    key_of_short,
)
from tests.services import Postgres
from tests.torture import bad_answers as answers
from tests.torture import bad_providers as providers
from tests.torture import bad_streams as streams
from tests.torture import parallel as places
from tests.torture.hosts import Hosts
from tests.torture.routing_rig import BAD_OF_THREE, Models, routing_hosts

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


def test_routing_too_long(hosts: Hosts, key: str, torture_result: Write) -> None:
    told = answers.too_long(hosts, key, key_of_short(hosts), each=200)
    torture_result(asdict(told))
    judge_too_long(told)


SITUATIONS: dict[str, dict[str, Any]] = {
    "from-the-start": {"clients": 16},
    "after-a-while": {"clients": 16, "healthy": 200},
    # so many at once keep a worker from hearing for a while; within a second is what is promised
    "many-clients": {"clients": 200, "shared_within": 1.0},
    "at-a-rate": {"rate": 60},
}


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("case", BAD_OF_THREE)
def test_routing_one_of_three(
    hosts: Hosts, models: Models, key: str, case: str, situation: str, torture_result: Write
) -> None:
    told = providers.one_bad(hosts, models, key, case, requests=2000, **SITUATIONS[situation])
    torture_result(asdict(told) | {"success": told.success, "beyond": told.beyond})
    judge_one_bad(told)


def test_routing_storm(hosts: Hosts, key: str, torture_result: Write) -> None:
    told = providers.storm(hosts, key, rate=30, seconds=60, settle=5, after=10)
    torture_result(asdict(told) | {"success_after": told.success_after})
    judge_storm(told)


def test_routing_pauses(hosts: Hosts, models: Models, key: str, torture_result: Write) -> None:
    told = providers.pauses(hosts, models, key, rounds=5, rate=100)
    torture_result(asdict(told))
    judge_pauses(told)


def test_routing_parallel(hosts: Hosts, key: str, torture_result: Write) -> None:
    told = places.parallel(hosts, key, 200, before=10, after=45, hurry=False)
    torture_result(asdict(told))
    judge_parallel(told)


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
