import re
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import IntegrityError, transaction
from django.test import Client

from keys.issuing import issue
from keys.models import EndUser, KeyChange, Limit, Team
from providers.models import Deployment, Model
from tests.gateway.furnished import deployment, provider

pytestmark = pytest.mark.django_db

LIST = "/admin/keys/limit/"
TOKENS = {"metric": "tokens", "amount": "1000", "window": "minute", "time_zone": "UTC", "mode": "enforce"}


def add(client: Client, **fields: object) -> str:
    given = TOKENS | {name: str(value) for name, value in fields.items()}
    return client.post(f"{LIST}add/", given, follow=True).text


@pytest.fixture
def holders() -> dict[str, Any]:
    """One of each that a limit may be of."""
    key, _ = issue("alice")
    return {
        "key": key,
        "team": Team.objects.create(name="ops"),
        "end_user": EndUser.objects.create(name="bob"),
        "deployment": deployment("llm-a", provider(), Model.objects.create(name="llm")),
    }


@pytest.mark.parametrize("holder", ["key", "team", "end_user", "deployment", None])
def test_a_limit_is_of_any_one_holder_or_of_everyone(
    admin_client: Client, holders: dict[str, Any], holder: str | None
) -> None:
    add(admin_client, **({holder: holders[holder].pk} if holder else {}))
    limit = Limit.objects.get()
    named = {name: getattr(limit, name) for name in holders if getattr(limit, name) is not None}
    assert named == ({holder: holders[holder]} if holder else {})
    text = admin_client.get(LIST).text
    assert (f">{holders[holder].name}</a>" if holder else ">everyone<") in text


@pytest.mark.parametrize("second", ["team", "end_user", "deployment"])
def test_a_limit_of_two_is_refused_in_words(
    admin_client: Client, holders: dict[str, Any], second: str
) -> None:
    text = add(admin_client, key=holders["key"].pk, **{second: holders[second].pk})
    assert "A limit is of one key, team, end user or deployment, or of everyone." in text
    assert "is violated" not in text
    with pytest.raises(IntegrityError), transaction.atomic():
        Limit.objects.create(metric="tokens", amount=1, key=holders["key"], **{second: holders[second]})


@pytest.mark.parametrize(
    ("holder", "told"),
    [
        ("end_user", "A limit of one end user is not counted for each end user."),
        ("deployment", "A limit of a deployment is not counted for each end user."),
    ],
)
def test_one_end_user_or_a_deployment_has_no_limit_for_each(
    admin_client: Client, holders: dict[str, Any], holder: str, told: str
) -> None:
    text = add(admin_client, **{holder: holders[holder].pk}, each_end_user="on")
    assert told in text
    assert "is violated" not in text
    with pytest.raises(IntegrityError), transaction.atomic():
        Limit.objects.create(metric="tokens", amount=1, each_end_user=True, **{holder: holders[holder]})


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"amount": "2.5"}, "This is a whole number; only cost has decimals."),
        ({"amount": "-1"}, "greater than or equal to 0"),
        ({"amount": "many"}, "Enter a number such as 1000"),
        ({"amount": "NaN"}, "Enter a number such as 1000"),
        ({"amount": "4000000000000001"}, "less than or equal to 4000000000000000"),
        ({"amount": "1e99"}, "less than or equal to 4000000000000000"),
        ({"metric": "cost", "amount": "0.0000000001"}, "no more than 9 decimal places"),
        ({"metric": "cost", "amount": "4000000.01"}, "The most that is counted is $4,000,000."),
        ({"window": ""}, "Choose the window in which this is counted."),
        ({"metric": "parallel", "window": "day"}, "Parallel requests are counted at any moment"),
        ({"time_zone": "Europe/Nowhere"}, "There is no such time zone"),
    ],
)
def test_what_cannot_be_counted_is_refused_in_words(
    admin_client: Client, fields: dict[str, str], told: str
) -> None:
    assert told in add(admin_client, **fields)
    assert not Limit.objects.exists()


def test_a_deployment_has_no_limit_per_model_or_of_parallel_requests(
    admin_client: Client, holders: dict[str, Any]
) -> None:
    of = holders["deployment"]
    assert "A deployment serves one model" in add(admin_client, deployment=of.pk, model=of.model_id)
    text = add(admin_client, deployment=of.pk, metric="parallel", window="")
    assert "Set the deployment&#x27;s own max parallel requests." in text
    assert not Limit.objects.exists()


@pytest.mark.parametrize(
    ("typed", "stored", "shown"),
    [
        ("12.50", 12_500_000_000, "12.5"),
        ("0.000000001", 1, "0.000000001"),
        ("4000000", 4 * 10**15, "4000000"),
        ("100", 10**11, "100"),
        ("0", 0, "0"),
    ],
)
def test_cost_is_typed_and_shown_in_dollars_and_stored_exactly(
    admin_client: Client, typed: str, stored: int, shown: str
) -> None:
    add(admin_client, metric="cost", amount=typed, window="month")
    limit = Limit.objects.get()
    assert limit.amount == stored
    text = admin_client.get(f"{LIST}{limit.pk}/change/").text
    assert re.search(rf'name="amount" value="{re.escape(shown)}"', text)


def test_saving_a_page_of_cost_unchanged_changes_nothing(admin_client: Client) -> None:
    limit = Limit.objects.create(metric="cost", amount=1, window="day")
    form = admin_client.get(f"{LIST}{limit.pk}/change/").context["adminform"].form
    given = {name: form.get_initial_for_field(field, name) or "" for name, field in form.fields.items()}
    admin_client.post(f"{LIST}{limit.pk}/change/", {**given, "alerts": "on"})
    assert Limit.objects.get().amount == 1


def test_parallel_requests_need_no_window_chosen(admin_client: Client) -> None:
    add(admin_client, metric="parallel", amount=4)
    assert Limit.objects.get().window == ""


def test_the_limits_of_a_model_stand_on_its_page_unless_they_are_of_one_holder(
    admin_client: Client, holders: dict[str, Any]
) -> None:
    model = Model.objects.get()
    Limit.objects.create(model=model, metric="requests", amount=111)
    Limit.objects.create(model=model, key=holders["key"], metric="requests", amount=222)
    text = admin_client.get(f"/admin/providers/model/{model.pk}/change/").text
    assert 'value="111"' in text
    assert 'value="222"' not in text


def test_a_deployments_limit_is_made_on_its_page(admin_client: Client, holders: dict[str, Any]) -> None:
    row = Deployment.objects.get()
    url = f"/admin/providers/deployment/{row.pk}/change/"
    form = admin_client.get(url).context["adminform"].form
    given = {name: form.get_initial_for_field(field, name) for name, field in form.fields.items()}
    given = {name: "" if value is None else value for name, value in given.items()}
    given |= {"default_params": "{}", "drop_params": "[]"}
    given |= {"prices-TOTAL_FORMS": "0", "prices-INITIAL_FORMS": "0"}
    given |= {"limits-TOTAL_FORMS": "1", "limits-INITIAL_FORMS": "0"}
    given |= {f"limits-0-{name}": value for name, value in TOKENS.items()} | {"limits-0-metric": "cost"}
    admin_client.post(url, given)
    limit = Limit.objects.get()
    assert (limit.deployment, limit.amount) == (row, 1000 * 10**9)


def test_limits_are_found_by_whose_they_are(admin_client: Client, holders: dict[str, Any]) -> None:
    for name, row in holders.items():
        Limit.objects.create(**{name: row}, metric="tokens", amount=5)
    Limit.objects.create(metric="tokens", amount=6)
    Limit.objects.create(metric="tokens", amount=7, each_end_user=True, team=holders["team"])
    for chosen, number in (
        *((name, 1) for name in ("key", "end_user", "deployment", "everyone", "each")),
        ("team", 2),
    ):
        assert len(admin_client.get(f"{LIST}?of={chosen}").context["cl"].result_list) == number
    for name in ("alice", "ops", "bob", "llm-a"):
        assert admin_client.get(f"{LIST}?q={name}").context["cl"].result_list


# --- reset -------------------------------------------------------------------------------------


def test_a_reset_is_asked_about_and_noted_with_who_and_why(admin_client: Client) -> None:
    limit = Limit.objects.create(metric="cost", amount=10**9, window="month")
    chosen = {"action": "reset_chosen", "_selected_action": [str(limit.pk)]}
    asked = admin_client.post(LIST, chosen)
    assert "Reset 1 limit?" in asked.text
    assert Limit.objects.get().reset_at is None
    KeyChange.objects.all().delete()
    text = admin_client.post(f"{LIST}reset/", {"limit": [str(limit.pk)]}, follow=True).text
    assert "Reset 1 limit: what was used until now does not count." in text
    assert Limit.objects.get().reset_at is not None
    entry = limit.history.first()
    assert (entry.history_user.username, entry.history_change_reason) == ("admin", "counter reset")
    assert KeyChange.objects.count() == 1


def test_the_page_of_a_limit_leads_to_its_reset(admin_client: Client) -> None:
    limit = Limit.objects.create(metric="cost", amount=10**9, window="month")
    url = re.search(r'href="([^"]*reset[^"]*)"', admin_client.get(f"{LIST}{limit.pk}/change/").text)
    assert url
    assert f'name="limit" value="{limit.pk}"' in admin_client.get(url[1]).text
    assert Limit.objects.get().reset_at is None


def test_who_may_only_look_at_limits_resets_none(client: Client) -> None:
    carol = User.objects.create_user("carol", is_staff=True)
    carol.user_permissions.add(Permission.objects.get(codename="view_limit"))
    client.force_login(carol)
    limit = Limit.objects.create(metric="cost", amount=10**9, window="month")
    assert client.post(f"{LIST}reset/", {"limit": [str(limit.pk)]}).status_code == 403
    assert "reset" not in client.get(f"{LIST}{limit.pk}/change/").text.split("Counted from")[0].lower()
    assert Limit.objects.get().reset_at is None
