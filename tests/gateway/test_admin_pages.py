import re
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from keys.models import ApiKey, EndUser, Limit, Team
from providers.models import Deployment, Fallback, Model, Price, Provider
from tests.gateway.furnished import furnish
from usage.models import Attempt, HourlyUsage, LimitAlert

pytestmark = pytest.mark.django_db

EDITED: list[type[Any]] = [Provider, Model, Deployment, Fallback, Price, Team, ApiKey, EndUser, Limit]
READ: list[type[Any]] = [Attempt, HourlyUsage, LimitAlert]


def page(model: type[Any], name: str, *args: object) -> str:
    return reverse(f"admin:{model._meta.label_lower.replace('.', '_')}_{name}", args=args)


@pytest.mark.parametrize("model", EDITED + READ)
def test_every_list_and_row_opens(admin_client: Client, model: type[Any]) -> None:
    furnish(1)
    row = model.objects.first()
    for url in (page(model, "changelist"), page(model, "change", row.pk)):
        assert admin_client.get(url).status_code == 200


@pytest.mark.parametrize("model", EDITED)
def test_every_row_can_be_added_and_shows_its_history(admin_client: Client, model: type[Any]) -> None:
    furnish(1)
    row = model.objects.first()
    assert admin_client.get(page(model, "add")).status_code == 200
    assert "Created" in admin_client.get(page(model, "history", row.pk)).text
    version = row.history.first()
    assert admin_client.get(page(model, "simple_history", row.pk, version.pk)).status_code == 200


@pytest.mark.parametrize("model", READ)
def test_usage_is_read_only(admin_client: Client, model: type[Any]) -> None:
    furnish(1)
    row = model.objects.first()
    assert admin_client.get(page(model, "add")).status_code == 403
    assert admin_client.post(page(model, "change", row.pk), {}).status_code == 403
    assert admin_client.post(page(model, "delete", row.pk), {"post": "yes"}).status_code == 403


def test_bookkeeping_is_not_shown() -> None:
    shown = {model.__name__ for model in admin.site._registry}
    assert not shown & {"ConfigVersion", "KeyChange", "DirtyHour"}
    assert shown >= {"User", "Group"}


def test_every_page_has_the_policy_and_names_no_other_host(admin_client: Client) -> None:
    for url in (reverse("admin:index"), reverse("admin:login"), reverse("connect"), page(Provider, "add")):
        answer = admin_client.get(url, follow=True)
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
        assert not re.findall(r'(?:src|href)="(?:https?:)?//', answer.text)
        assert not re.findall(r"<script(?![^>]*src=)(?![^>]*json)", answer.text), "inline scripts are refused"


def test_a_row_is_titled_as_it_is_written(admin_client: Client) -> None:
    model = Model.objects.create(name="llm")
    text = admin_client.get(page(Model, "change", model.pk)).text
    assert re.search(r'class="sy-crumb">llm<', text)


def test_who_may_only_look_sees_no_other_part(client: Client) -> None:
    carol = User.objects.create_user("carol", password="a long enough one", is_staff=True)
    carol.user_permissions.add(Permission.objects.get(codename="view_provider"))
    client.force_login(carol)
    furnish(1)
    row = Provider.objects.get()
    assert client.get(page(Provider, "change", row.pk)).status_code == 200
    assert client.post(page(Provider, "change", row.pk), {"name": "x"}).status_code == 403
    assert client.get(page(ApiKey, "changelist")).status_code == 403
    assert page(ApiKey, "changelist") not in client.get(reverse("admin:index")).text.split("sy-home")[0]


def test_nobody_finds_secrets_letter_by_letter(admin_client: Client) -> None:
    furnish(1)
    for url in (
        page(ApiKey, "changelist") + "?verifier__startswith=a",
        page(Provider, "changelist") + "?secret_sealed__startswith=v1",
    ):
        assert admin_client.get(url).status_code == 400
