"""The console says of deployments that drain what still runs there."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from providers.models import Deployment, Model
from tests.gateway.furnished import deployment, provider
from tests.gateway.live_worker import Worker
from tests.gateway.test_admin_queries import PINNED

pytestmark = pytest.mark.django_db
LIST = "admin:providers_deployment_changelist"


@pytest.fixture(autouse=True)
def data(settings: Settings, tmp_path: Path) -> Path:
    settings.DATA_DIR = tmp_path
    return tmp_path


@pytest.fixture
def row() -> Deployment:
    return deployment("llm/a", provider(), Model.objects.create(name="llm"), state="draining")


@pytest.fixture
def worker(data: Path, row: Deployment) -> Iterator[Worker]:
    worker = Worker(data, row.pk)
    yield worker
    worker.end()


def page(client: Client, row: Deployment) -> str:
    return client.get(reverse("admin:providers_deployment_change", args=[row.pk])).text


@pytest.mark.parametrize(("count", "words"), [(3, "3 in flight"), (0, "nothing in flight")])
def test_the_list_and_the_page_tell_how_many_are_in_flight(
    admin_client: Client, row: Deployment, worker: Worker, count: int, words: str
) -> None:
    worker.says = [(1, count)]
    assert words in admin_client.get(reverse(LIST)).text
    assert words in page(admin_client, row)


def test_what_nobody_can_tell_is_shown_as_such(admin_client: Client, row: Deployment) -> None:
    assert "how many are in flight is unknown" in admin_client.get(reverse(LIST)).text
    assert "how many are in flight is unknown" in page(admin_client, row)


def test_a_worker_that_hangs_holds_no_page_up(admin_client: Client, row: Deployment, worker: Worker) -> None:
    worker.says = [(1, 3)]
    with worker.hanging():
        assert "how many are in flight is unknown" in page(admin_client, row)


def test_a_list_says_nothing_of_what_runs_at_active_ones(
    admin_client: Client, row: Deployment, worker: Worker
) -> None:
    worker.says = [(1, 3)]
    Deployment.objects.update(state="active")
    assert "in flight" not in admin_client.get(reverse(LIST)).text


@pytest.mark.parametrize("place", ["list", "page", "home"])
@pytest.mark.parametrize(
    ("aside", "wrong", "words"),
    [
        (12.4, None, ["put aside", "asked again in 12 s"]),
        (0.0, None, ["put aside", "asked again with the next request"]),
        (12.4, 401, ["set up wrongly", "its provider answers 401"]),
    ],
)
def test_who_is_put_aside_or_set_up_wrongly_is_shown(
    admin_client: Client,
    row: Deployment,
    worker: Worker,
    place: str,
    aside: float,
    wrong: int | None,
    words: list[str],
) -> None:
    Deployment.objects.update(state="active")
    worker.says = [(1, 0)]
    worker.aside = {str(row.pk): aside}
    worker.wrong = {str(row.pk): wrong} if wrong else {}
    url = {"list": reverse(LIST), "page": "", "home": reverse("admin:index")}[place]
    text = admin_client.get(url).text if url else page(admin_client, row)
    assert all(word in text for word in words)


def test_a_page_tells_it_of_active_ones_too_beside_what_is_wrong(
    admin_client: Client, row: Deployment, worker: Worker
) -> None:
    worker.says = [(1, 2)]
    Deployment.objects.update(state="active")
    provider_of = row.provider
    provider_of.secret_reference = "NEBIUS_API_KEY"
    provider_of.save()
    assert "NEBIUS_API_KEY is not set, 2 in flight" in page(admin_client, row)


def test_what_drains_costs_the_list_no_query(
    admin_client: Client, row: Deployment, worker: Worker, django_assert_num_queries: Callable[[int], Any]
) -> None:
    worker.says = [(1, 3)]
    admin_client.get(reverse(LIST))
    with django_assert_num_queries(PINNED[LIST]):
        admin_client.get(reverse(LIST))
