"""Configuration and keys with two workers, real Redis and a PostgreSQL that goes, at full numbers."""

from collections.abc import Callable, Iterator
from dataclasses import asdict

import pytest

from tests.path.house import PROMISED, House, house
from tests.torture.config_changes import changes
from tests.torture.database_away import How, boot, outage

pytestmark = [pytest.mark.torture, pytest.mark.postgres, pytest.mark.redis, pytest.mark.timeout(600)]
type Write = Callable[[dict[str, object]], None]


@pytest.fixture
def home(redis_url: str) -> Iterator[House]:
    with house(["llm"], {"REDIS_URL": redis_url, "WEB_CONCURRENCY": "2"}) as running:
        yield running


def test_snapshot_thousand_changes(home: House, torture_result: Write) -> None:
    told = changes(home, count=1000, pause=0.05, rate=40)
    torture_result(asdict(told))
    assert (told.mixed, told.refused) == ([], {})
    assert told.answered == told.requests >= 1000
    assert told.versions_seen >= 20
    assert told.late <= 2.0


@pytest.mark.parametrize("how", ["stopped", "killed", "silent", "hung"])
def test_snapshot_boot(home: House, how: How, torture_result: Write) -> None:
    told = boot(home, how, keys=50, strangers=5)
    torture_result(asdict(told))
    assert told.served == 50
    assert told.served_after <= PROMISED
    assert told.strangers == {"503 database_unavailable": 5}
    assert told.healed_after <= PROMISED


@pytest.mark.parametrize("how", ["stopped", "killed", "silent", "hung"])
def test_snapshot_outage(home: House, how: How, torture_result: Write) -> None:
    told = outage(home, how, seconds=30, rate=40, before=10, name=how)
    torture_result(asdict(told))
    assert told.failed == 0
