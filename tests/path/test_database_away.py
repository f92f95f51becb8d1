"""PostgreSQL that is away when the gateway starts, or goes while it serves."""

import stat
from collections.abc import Iterator

import pytest

from tests.path.client import Client
from tests.path.house import House, house, until
from tests.torture.database_away import How, away, boot, outage

pytestmark = pytest.mark.postgres
# 10 s are promised; the rest is for a busy machine.
BUSY = 40.0


@pytest.fixture(scope="module")
def home() -> Iterator[House]:
    with house(["llm", "other"]) as running:
        yield running


def status(client: Client, model: str = "llm") -> int:
    return client.chat(model).status


@pytest.mark.parametrize("how", ["stopped", "silent"])
def test_a_start_without_the_database_serves_known_keys_and_heals(home: House, how: How) -> None:
    told = boot(home, how, keys=3, strangers=2)
    assert told.served == 3
    assert told.served_after <= BUSY
    assert told.strangers == {"503 database_unavailable": 2}
    assert (told.ready["status"], told.ready["database"], "reason" in told.ready) == ("ok", "away", True)
    assert told.healed_after <= BUSY
    assert "Traceback" not in home.gateway.log.read_text()


def test_rights_limits_and_expiry_hold_for_a_key_that_is_known_from_disk(home: House) -> None:
    narrow = home.client("narrow", "--models", "llm", "--limit", "requests=2/day")
    past = home.client("past")
    home.shell(
        "from django.utils import timezone; from keys.models import ApiKey; "
        "ApiKey.objects.filter(name='past').update(expires_at=timezone.now())"
    )
    until(home.copied, "copies of all that there is", BUSY)
    with away(home, "stopped"):
        home.gateway.kill()
        home.gateway.start()
        asked = [status(narrow, "other"), status(narrow), status(narrow), status(narrow)]
        assert asked == [404, 200, 200, 429]
        assert "has expired" in past.chat("llm").error["message"]
    until(lambda: not home.is_away(), "the database", BUSY)


@pytest.mark.parametrize("how", ["killed", "hung"])
def test_nobody_waits_for_a_database_that_goes_while_it_serves(home: House, how: How) -> None:
    told = outage(home, how, seconds=6, rate=15, before=2, name=how)
    assert told.failed == 0
    until(lambda: not home.is_away(), "the database", BUSY)
    assert status(home.stranger) == 401


def test_copies_are_for_the_gateway_alone_and_are_made_again(home: House) -> None:
    until(home.copied, "copies of all that there is", BUSY)
    for name in ("configuration", "keys"):
        path = home.gateway.data / "copies" / name
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        path.unlink()
    home.client("carol")
    home.shell("from providers.models import Model; Model.objects.update(hidden=False)")
    until(home.copied, "copies after what was changed", BUSY)
