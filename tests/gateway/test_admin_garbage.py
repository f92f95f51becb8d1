"""Whatever a URL or a form says: the console answers in words, never with an error of its own."""

from typing import Any

import pytest
from django.test import Client

from keys.models import ApiKey
from providers.models import Deployment, Model
from tests.gateway.furnished import furnish
from tests.gateway.test_admin_keys import NO_LIMITS
from tests.gateway.test_admin_models import form

pytestmark = pytest.mark.django_db

LONG = "9" * 40
KEYS, MODELS, DEPLOYMENTS = "/admin/keys/apikey/", "/admin/providers/model/", "/admin/providers/deployment/"


@pytest.fixture
def furnished_client(admin_client: Client) -> Client:
    furnish(1)
    return admin_client


@pytest.mark.parametrize(
    "url",
    [
        *(f"{KEYS}add/?team=", f"{KEYS}add/?allowed_models=", f"{KEYS}add/?expires_at="),
        *(f"{DEPLOYMENTS}add/?model=", f"{DEPLOYMENTS}add/?provider=", "/admin/keys/limit/add/?key="),
        *("/admin/providers/price/add/?effective_from=", f"{MODELS}add/?aliases=", f"{MODELS}add/?info="),
        "/admin/providers/fallback/add/?model=",
    ],
)
def test_a_link_to_a_new_row_may_say_anything(furnished_client: Client, url: str) -> None:
    for value in (LONG, "x", "-1", "%00", "1,2", "²"):
        assert furnished_client.get(url + value).status_code == 200, value


@pytest.mark.parametrize(
    "url",
    [
        *(f"{KEYS}?team__id__exact=", f"{DEPLOYMENTS}?model__id__exact=", f"{DEPLOYMENTS}?model="),
        *(f"{DEPLOYMENTS}?provider__id__exact=", f"{DEPLOYMENTS}?tag=", f"{DEPLOYMENTS}?q=", f"{MODELS}?p="),
        f"{MODELS}?id=",
    ],
)
def test_a_list_may_be_asked_for_anything(furnished_client: Client, url: str) -> None:
    for value in (LONG, "x", "-1", "%00"):
        assert furnished_client.get(url + value, follow=True).status_code in (200, 400), value


def test_a_link_to_a_new_row_still_says_what_it_may(furnished_client: Client) -> None:
    team = ApiKey.objects.get().team
    assert team is not None
    assert f'<option value="{team.pk}" selected' in furnished_client.get(f"{KEYS}add/?team={team.pk}").text
    of = Deployment.objects.get()
    page = furnished_client.get(f"{DEPLOYMENTS}add/?model={of.model_id}&provider={of.provider_id}").text
    assert f'<option value="{of.model_id}" selected' in page
    assert f'<option value="{of.provider_id}" selected' in page


@pytest.mark.parametrize("value", [LONG, "x", "-1"])
@pytest.mark.parametrize(
    "fields",
    [
        *(("team",), ("allowed_models",), ("member",)),
        ("limits-0-model",),
    ],
)
def test_a_row_that_there_is_not_is_told(furnished_client: Client, fields: Any, value: str) -> None:
    sent = NO_LIMITS | {"name": "new", "limits-TOTAL_FORMS": "1", "limits-0-metric": "tokens"}
    answer = furnished_client.post(f"{KEYS}add/", sent | dict.fromkeys(fields, value))
    assert answer.status_code == 200
    assert not ApiKey.objects.filter(name="new").exists()


def test_a_deployment_full_of_garbage_is_told(furnished_client: Client) -> None:
    names = ("model", "provider", "weight", "priority", "max_parallel_requests", "timeout", "queue_seconds")
    sent = dict.fromkeys(names, LONG) | {"name": "new", "default_params": "[" * 100_000, "state": LONG}
    answer = furnished_client.post(f"{DEPLOYMENTS}add/", sent)
    assert answer.status_code == 200
    assert not Deployment.objects.filter(name="new").exists()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"a": NaN}', "NaN, Infinity and half characters cannot be kept."),
        ('{"a": "\\ud800"}', "NaN, Infinity and half characters cannot be kept."),
        ('{"a\\u0000": [1]}', "The character NUL cannot be kept."),
        ("[" * 200 + "]" * 200, "This is nested deeper than 100 times."),
        ("[" * 100_000, "Enter a valid JSON."),
        ("9" * 5000, "Enter a valid JSON."),
        ("{", "Enter a valid JSON."),
    ],
)
def test_json_that_not_every_database_keeps_is_told(admin_client: Client, text: str, why: str) -> None:
    answer = admin_client.post(f"{MODELS}add/", form(info=text))
    assert answer.status_code == 200
    assert why in answer.text
    assert not Model.objects.exists()


def test_json_is_kept_as_it_is(admin_client: Client) -> None:
    admin_client.post(f"{MODELS}add/", form(info='{"a": ["é", "\\\\u0000", 1e300, null, {}]}'))
    assert Model.objects.get().info == {"a": ["é", "\\u0000", 1e300, None, {}]}


@pytest.mark.parametrize("action", ["hide", "delete_selected", "no-such"])
def test_rows_that_could_not_be_are_not_chosen(furnished_client: Client, action: str) -> None:
    before = Model.objects.count()
    sent = {"action": action, "_selected_action": [LONG, "x", "\0"]}
    assert furnished_client.post(MODELS, sent, follow=True).status_code == 200
    assert Model.objects.count() == before
