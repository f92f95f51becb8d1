"""Prices in the console: what holds, what is to come, and what has none."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse

from providers.changes import ConfigVersion
from providers.models import Deployment, Model, Price
from tests.gateway.furnished import deployment, provider

pytestmark = pytest.mark.django_db

LIST = "/admin/providers/price/"
DEPLOYMENTS = "/admin/providers/deployment/"
NOW = datetime.now(UTC)


@pytest.fixture
def llm() -> Deployment:
    return deployment("llm-a", provider(), Model.objects.create(name="llm"))


def form(**fields: str) -> dict[str, str]:
    given = {
        "kind": "",
        "upstream_model": "",
        "deployment": "",
        "tiers": "[]",
        "per_request": "0",
        "per_image": "0",
        "per_second": "0",
        "per_character": "0",
    }
    at = {"effective_from_0": "2026-01-01", "effective_from_1": "00:00:00"}
    return given | at | {"input": "0.15", "output": "0.6"} | fields


def price(**fields: object) -> Price:
    return Price.objects.create(
        **{"kind": "openai", "upstream_model": "gpt-4o", "effective_from": NOW} | fields
    )


def test_a_price_for_all_is_added_and_bumps_the_version(admin_client: Client) -> None:
    before = ConfigVersion.current()
    admin_client.post(f"{LIST}add/", form(kind="openai", upstream_model="gpt-4o", input="0.0375"))
    assert Price.objects.get().input == Decimal("0.0375")
    assert ConfigVersion.current() > before


def test_a_price_is_of_a_deployment_or_of_a_model(admin_client: Client, llm: Deployment) -> None:
    text = admin_client.post(f"{LIST}add/", form(kind="openai")).text
    assert "either of one deployment, or of a kind and its model" in text
    admin_client.post(f"{LIST}add/", form(deployment=str(llm.pk), kind="openai"))
    assert (Price.objects.get().deployment, Price.objects.get().kind) == (llm, "")


@pytest.mark.parametrize("amount", ["-1", "a lot", "1e9", "0.0000000001", "NaN"])
def test_an_amount_that_is_no_price_is_refused(admin_client: Client, amount: str) -> None:
    answer = admin_client.post(f"{LIST}add/", form(kind="openai", upstream_model="m", input=amount))
    assert answer.status_code == 200
    assert not Price.objects.exists()


@pytest.mark.parametrize(
    "tiers", ["{}", '[{"above": 0}]', '[{"above": 5, "inptu": 1}]', '[{"above": 5, "input": -1}]']
)
def test_tiers_are_checked(admin_client: Client, tiers: str) -> None:
    admin_client.post(f"{LIST}add/", form(kind="openai", upstream_model="m", tiers=tiers))
    assert not Price.objects.exists()


def test_the_form_shows_amounts_as_people_write_them(admin_client: Client) -> None:
    row = price(input=Decimal("0.15"))
    text = admin_client.get(f"{LIST}{row.pk}/change/").text
    assert 'value="0.15"' in text
    assert "0.150000000" not in text


def test_changing_a_price_says_that_costs_stay(admin_client: Client) -> None:
    row = price()
    answer = admin_client.post(
        f"{LIST}{row.pk}/change/", form(kind="openai", upstream_model="gpt-4o"), follow=True
    )
    assert "manage.py rerate rates them anew" in answer.text


def test_the_list_says_what_is_past_current_and_to_come(admin_client: Client) -> None:
    for days in (-9, -1, 5):
        price(effective_from=NOW + timedelta(days))
    price(upstream_model="other", effective_from=NOW - timedelta(20))
    text = admin_client.get(LIST).text
    assert [text.count(f">{word}<") for word in ("past", "current", "to come")] == [1, 2, 1]


def test_deployments_say_their_price_or_that_they_have_none(admin_client: Client, llm: Deployment) -> None:
    assert "no price" in admin_client.get(DEPLOYMENTS).text
    price(input=Decimal("2.5"), output=Decimal(10))
    assert "$2.5 / $10" in admin_client.get(DEPLOYMENTS).text
    price(deployment=llm, kind="", upstream_model="", input=Decimal(1), effective_from=NOW + timedelta(1))
    assert "$1 / $0 is to come" in admin_client.get(DEPLOYMENTS).text


def test_deployments_are_filtered_by_having_a_price(admin_client: Client, llm: Deployment) -> None:
    deployment("free", llm.provider, llm.model, upstream_model="unheard-of")
    price()
    assert "free</span>" in admin_client.get(f"{DEPLOYMENTS}?price=none").text
    assert "llm-a</span>" not in admin_client.get(f"{DEPLOYMENTS}?price=none").text
    assert "llm-a</span>" in admin_client.get(f"{DEPLOYMENTS}?price=some").text


def test_the_home_page_names_deployments_without_a_price(admin_client: Client, llm: Deployment) -> None:
    assert "llm-a has no price" in admin_client.get(reverse("admin:index")).text
    price(effective_from=NOW + timedelta(1))
    assert "llm-a has no price" in admin_client.get(reverse("admin:index")).text
    price()
    assert "has no price" not in admin_client.get(reverse("admin:index")).text


def test_a_deployment_shows_its_own_prices(admin_client: Client, llm: Deployment) -> None:
    price(deployment=llm, kind="", upstream_model="", input=Decimal("7.25"))
    assert 'value="7.25"' in admin_client.get(f"{DEPLOYMENTS}{llm.pk}/change/").text
