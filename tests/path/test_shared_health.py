"""What one worker learns of a deployment holds for all of them: two gateways on one Redis."""

import email.utils
import itertools
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import _database
from tests.gateway.serving import until
from tests.gateway_process import Entry, Row
from tests.path.client import Client, Reply
from tests.services import Postgres
from tests.torture.hosts import Hosts, entry
from tests.torture.hosts import hosts as made
from tests.upstream import BEFORE_HEADERS, Behaviour, Upstream, error, refused_port

pytestmark = [pytest.mark.postgres, pytest.mark.redis]

SILENT = 0.5  # seconds that a deployment may take
FAILURES = {
    "503": error(503),
    "resets": Behaviour(fault="reset", fault_after=BEFORE_HEADERS),
    "hangs": Behaviour(fault="hang", fault_after=BEFORE_HEADERS),
}
RESTS = ("retry-after", "retry-after-ms", "date")
QUICK = ("probe", "recovery")  # put aside for a second at first
PREPARE = """
from providers.changes import change
from providers.models import Model
with change():
    Model.objects.filter(name__in=["probe", "recovery"]).update(eject_seconds=1)
"""


@pytest.fixture(scope="module")
def hosts(postgres: Postgres) -> Iterator[Hosts]:
    with refused_port() as port:

        def entries(upstream: Upstream, spare: Upstream) -> Iterator[Entry]:
            for model in (*FAILURES, "refuses", "outage", *QUICK):
                base = f"http://127.0.0.1:{port}/v1" if model == "refuses" else upstream.url
                yield entry(model, base, f"bad-{model}", timeout=SILENT)
                for good in ("second", "third"):
                    yield entry(model, spare.url, f"{good}-{model}")
            for form in RESTS:
                yield entry(f"rests-{form}", upstream.url)

        for url in _database(postgres.url("postgres"), "switchyard_shared_health"):
            with made(url, entries, PREPARE) as running:
                yield running


class Turns:
    """Requests of one client, at the two hosts in turn."""

    def __init__(self, hosts: Hosts, key: str, model: str) -> None:
        self._clients = itertools.cycle([Client(hosts.a, key), Client(hosts.b, key)])
        self._model = model

    def ask(self) -> Reply:
        return next(self._clients).chat(self._model)

    def ask_for(self, seconds: float) -> list[Reply]:
        """One request after the other."""
        until = time.monotonic() + seconds
        found = []
        while time.monotonic() < until:
            found.append(self.ask())
        return found


def crowd(hosts: Hosts, key: str, model: str, seconds: float, clients: int = 6) -> list[Reply]:
    with ThreadPoolExecutor(clients) as pool:
        told = [pool.submit(Turns(hosts, key, model).ask_for, seconds) for _ in range(clients)]
        return [reply for each in told for reply in each.result()]


@pytest.fixture(scope="module")
def key(hosts: Hosts) -> str:
    return hosts.key("alice")


@pytest.mark.parametrize("case", FAILURES)
def test_five_failures_at_both_hosts_together_are_enough(hosts: Hosts, key: str, case: str) -> None:
    kept = {seen.connection for seen in hosts.upstream.requests}
    hosts.upstream.behave(FAILURES[case], model=f"bad-{case}")
    turns = Turns(hosts, key, case)
    assert {turns.ask().status for _ in range(60)} == {200}
    # a kept connection that breaks says nothing of the deployment
    asked = [seen for seen in hosts.upstream.log(f"bad-{case}") if seen.connection not in kept]
    assert 5 <= len(asked) <= 6  # one more while the fifth is told


def _rows(hosts: Hosts, ids: set[str]) -> list[Row]:
    """All attempts at these requests; both hosts ship to one database."""
    return [row for row in hosts.a.exported() if row["request_id"] in ids]


def test_connections_that_are_refused_count_together_too(hosts: Hosts, key: str) -> None:
    turns = Turns(hosts, key, "refuses")
    answers = [turns.ask() for _ in range(60)]
    assert {answer.status for answer in answers} == {200}
    ids = {answer.request_id for answer in answers}
    until(lambda: len(_rows(hosts, ids)) >= 65, "the rows of all attempts")
    failed = [row for row in _rows(hosts, ids) if row["status"] == "failed"]
    assert 5 <= len(failed) <= 6


def test_many_at_once_ask_it_no_more_than_were_in_flight(hosts: Hosts, key: str) -> None:
    hosts.upstream.behave(error(503), model="bad-outage")
    answers = crowd(hosts, key, "outage", 2.0)
    assert {answer.status for answer in answers} == {200}
    assert 5 <= len(hosts.upstream.log("bad-outage")) <= 5 + 6


def test_one_request_of_all_probes(hosts: Hosts, key: str) -> None:
    hosts.upstream.behave(*[error(503)] * 5, FAILURES["hangs"], model="bad-probe")
    turns = Turns(hosts, key, "probe")
    hosts.upstream.wait(lambda log: turns.ask().status == 200 and len(log) >= 5, "bad-probe")
    before = len(hosts.upstream.log("bad-probe"))
    ejected = time.time()
    # a second's pause, half a second's silence, and two more seconds of pause
    assert {answer.status for answer in crowd(hosts, key, "probe", 2.4)} == {200}
    probes = hosts.upstream.log("bad-probe")[before:]
    assert len(probes) == 1
    assert probes[0].arrived > ejected + 0.8


def test_a_recovery_is_known_to_all_and_its_share_grows_back(hosts: Hosts, key: str) -> None:
    hosts.upstream.behave(*[error(503)] * 5, Behaviour(), model="bad-recovery")
    turns = Turns(hosts, key, "recovery")
    hosts.upstream.wait(lambda log: turns.ask().status == 200 and len(log) >= 5, "bad-recovery")
    hosts.upstream.wait(lambda log: turns.ask().status == 200 and len(log) >= 6, "bad-recovery")
    before = len(hosts.upstream.log("bad-recovery"))
    for _ in range(100):
        assert turns.ask().status == 200
    # a tenth of its share at first, at both hosts; later up to a third
    assert 2 <= len(hosts.upstream.log("bad-recovery")) - before < 25


@pytest.mark.parametrize("form", RESTS)
def test_a_provider_that_names_a_time_is_left_alone_by_all(hosts: Hosts, key: str, form: str) -> None:
    model = f"rests-{form}"
    hosts.upstream.behave(error(429, headers=[_named(form)]), Behaviour(), model=model)
    turns = Turns(hosts, key, model)
    assert turns.ask().status == 429
    asked = hosts.upstream.log(model)[0].arrived
    time.sleep(0.2)  # a second is promised to the other host, and milliseconds are needed
    answers = turns.ask_for(asked + 1.9 - time.time())
    assert {answer.status for answer in answers} == {429}
    assert all(0 < int(answer.header("retry-after") or 0) <= 3 for answer in answers)
    assert len(hosts.upstream.log(model)) == 1
    hosts.upstream.wait(lambda log: turns.ask().status == 200, model)


def _named(form: str) -> tuple[str, str]:
    match form:
        case "retry-after-ms":
            return form, "2000"
        case "date":  # of whole seconds: two at least
            return "retry-after", email.utils.formatdate(time.time() + 3, usegmt=True)
    return form, "2"
