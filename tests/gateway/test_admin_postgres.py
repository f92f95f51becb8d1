"""Pages whose sums the database makes, on PostgreSQL; on SQLite other tests open them."""

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client

from keys.models import EndUser, Limit
from providers.models import Model
from tests.gateway.furnished import asked, furnish
from tests.usage.conftest import (  # noqa: F401  fixtures
    migrated_postgres_url,
    postgres_ledger,
)
from usage.models import Attempt, DailyUsage, HourlyUsage

pytestmark = pytest.mark.postgres


@pytest.fixture
def client_of_admin(postgres_ledger: str, client: Client) -> Iterator[Client]:  # noqa: F811
    with transaction.atomic():
        client.force_login(User.objects.create_superuser("olivia"))
        furnish(1)
        yield client
        transaction.set_rollback(True)  # other tests of this process share the database


def test_pages_of_limits_end_users_and_teams_open(client_of_admin: Client) -> None:
    people = EndUser.objects.get()
    for url in (
        *(
            "/admin/",
            "/admin/keys/limit/?of=everyone",
            "/admin/keys/team/",
            "/admin/keys/enduser/?limits=own",
        ),
        *(f"/admin/keys/enduser/{people.pk}/change/", "/admin/usage/limitalert/?percent=50"),
    ):
        assert client_of_admin.get(url).status_code == 200


def test_bars_and_trials_count_the_same(client_of_admin: Client) -> None:
    for rows in (Attempt, HourlyUsage, DailyUsage):
        rows.objects.all().delete()
    asked(3, 2, end_user="bob")
    limits = [
        Limit.objects.create(metric="requests", amount=4, window=window, each_end_user=each)
        for window, each in (("hour", False), ("total", False), ("total", True))
    ]
    for limit in limits:
        told = client_of_admin.get(f"/admin/limits/used/?whole=1&id={limit.pk}").json()[str(limit.pk)]
        assert ("75 %" in told) != limit.each_end_user
        page = client_of_admin.get(f"/admin/limits/try/?limit={limit.pk}")
        assert "Would have passed" in page.text


def test_a_model_is_found_by_its_alias(client_of_admin: Client) -> None:
    Model.objects.create(name="large", aliases=["gpt-4"], hidden_aliases=["old"])
    for alias in ("gpt-4", "old"):
        assert "also gpt-4, old" in client_of_admin.get(f"/admin/providers/model/?q={alias}").text
    assert "also gpt-4" not in client_of_admin.get("/admin/providers/model/?q=nobody").text
