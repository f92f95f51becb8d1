"""`manage.py drain`: what it does to the deployment, and how it waits for the workers of a server."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from pytest_django import Settings

from gateway.management.commands import drain as command
from providers.changes import ConfigVersion
from providers.models import Deployment, Model
from tests.gateway.furnished import deployment, provider
from tests.gateway.live_worker import Worker

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def data(settings: Settings, tmp_path: Path) -> Path:
    settings.DATA_DIR = tmp_path
    return tmp_path


@pytest.fixture
def row() -> Deployment:
    return deployment("llm (OpenAI)", provider(), Model.objects.create(name="llm"))


@pytest.fixture
def worker(data: Path, row: Deployment, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    monkeypatch.setattr(command, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(command, "_QUIET_SECONDS", 0.05)
    worker = Worker(data, row.pk)
    yield worker
    worker.end()


def drain(*options: str) -> tuple[dict[str, object], list[str]]:
    """What it printed, and its lines for people."""
    out, err = io.StringIO(), io.StringIO()
    call_command("drain", *options, stdout=out, stderr=err)
    assert out.getvalue().count("\n") == 1
    return json.loads(out.getvalue()), err.getvalue().splitlines()


def test_it_sets_the_state_with_its_history_and_a_new_version(row: Deployment) -> None:
    before = ConfigVersion.current()
    said, _ = drain(row.name)
    assert said == {"deployment": "llm (OpenAI)", "state": "draining", "in_flight": None}
    row.refresh_from_db()
    assert row.state == "draining"
    assert ConfigVersion.current() > before
    newest, first = row.history.all()
    assert (newest.state, newest.history_change_reason, first.state) == (
        "draining",
        "manage.py drain",
        "active",
    )


@pytest.mark.parametrize("state", ["draining", "disabled"])
def test_what_takes_nothing_new_already_is_left_as_it_is(row: Deployment, state: str) -> None:
    Deployment.objects.update(state=state)
    before = ConfigVersion.current()
    assert drain(row.name)[0]["state"] == state
    assert (ConfigVersion.current(), row.history.count()) == (before, 1)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("LLM", "llm (OpenAI)"), ("llm (OpenAJ)", "llm (OpenAI)"), ("zzz", "llm (OpenAI)")],
)
def test_an_unknown_name_is_an_error_with_the_nearest_ones(row: Deployment, name: str, nearest: str) -> None:
    with pytest.raises(CommandError) as told:
        drain(name)
    assert str(told.value) == f"There is no deployment {name!r}; the nearest are: {nearest}."
    row.refresh_from_db()
    assert row.state == "active"


def test_without_any_deployment_there_is_none_at_all() -> None:
    with pytest.raises(CommandError, match=r"no deployment 'llm'; there is none at all\."):
        drain("llm")


def test_waiting_without_a_server_sets_the_state_and_says_so(row: Deployment, data: Path) -> None:
    with pytest.raises(CommandError) as told:
        drain(row.name, "--wait")
    why = f"No server runs on this data directory ({data})."
    assert str(told.value) == f"{why} llm (OpenAI) takes nothing new."
    row.refresh_from_db()
    assert row.state == "draining"


def test_a_timeout_needs_something_to_wait_for(row: Deployment) -> None:
    with pytest.raises(CommandError, match="goes with --wait"):
        drain(row.name, "--timeout", "3")
    row.refresh_from_db()
    assert row.state == "active"


def test_without_wait_it_tells_how_many_are_in_flight(row: Deployment, worker: Worker) -> None:
    worker.says = [(0, 4)]
    assert drain(row.name)[0]["in_flight"] == 4


def test_it_waits_for_the_version_and_then_for_the_last_request(row: Deployment, worker: Worker) -> None:
    new = ConfigVersion.current() + 10
    worker.says = [(-1, 0), (-1, 0), (new, 3), (new, 3), (new, 1), (new, 0)]
    said, lines = drain(row.name, "--wait")
    assert said["in_flight"] == 0
    assert lines[0].startswith("waiting for every worker to know")
    assert lines[1:] == ["3 in flight", "1 in flight", "0 in flight"]


def test_a_request_that_was_about_to_be_sent_is_waited_for(row: Deployment, worker: Worker) -> None:
    new = ConfigVersion.current() + 10
    worker.says = [(new, 0), (new, 1), (new, 0)]
    _, lines = drain(row.name, "--wait")
    assert lines == ["0 in flight", "1 in flight", "0 in flight"]


def test_a_timeout_says_how_many_there_still_were(row: Deployment, worker: Worker) -> None:
    worker.says = [(ConfigVersion.current() + 10, 2)]
    with pytest.raises(CommandError) as told:
        drain(row.name, "--wait", "--timeout", "0.1")
    assert str(told.value) == "2 are in flight at llm (OpenAI) after 0.1 s; it takes nothing new."


def test_a_timeout_says_that_not_every_worker_knew(row: Deployment, worker: Worker) -> None:
    worker.says = [(-1, 0)]
    with pytest.raises(CommandError, match=r"Not every worker knew after 0\.1 s that llm"):
        drain(row.name, "--wait", "--timeout", "0.1")


def test_an_interrupt_leaves_it_draining(row: Deployment, worker: Worker) -> None:
    worker.says = [(ConfigVersion.current() + 10, 1)]
    worker.interrupt_at = 3
    with pytest.raises(CommandError) as told:
        drain(row.name, "--wait")
    assert str(told.value) == (
        "1 is in flight at llm (OpenAI) when this was interrupted; it takes nothing new."
    )
    row.refresh_from_db()
    assert row.state == "draining"
