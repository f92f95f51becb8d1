"""One gateway for all faults that leave its processes alone."""

from collections.abc import Iterator

import pytest

from tests.conftest import _database
from tests.services import Postgres
from tests.torture.rig import Rig
from tests.torture.rig import rig as made


@pytest.fixture(scope="module")
def rig(postgres: Postgres, redis_url: str) -> Iterator[Rig]:
    for url in _database(postgres.url("postgres"), "switchyard_torture"):
        with made(url, redis_url) as running:
            yield running
