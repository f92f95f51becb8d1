"""Tags on the pages of deployments, keys and teams: one a line, found in the list, told to the workers."""

import pytest
from django.test import Client

from keys.issuing import issue
from keys.models import KeyChange, Team
from providers.models import Deployment, Model
from providers.snapshot import load
from tests.gateway.furnished import deployment, provider
from tests.gateway.test_admin_keys import NO_LIMITS
from tests.gateway.test_admin_teams import EMPTY

pytestmark = pytest.mark.django_db

DEPLOYMENTS = "/admin/providers/deployment/"
BAD_TAG = "is no tag: 100 characters at most, no commas or spaces at its ends."


@pytest.fixture
def llm() -> Deployment:
    return deployment("llm-a", provider(), Model.objects.create(name="llm"))


def change(client: Client, row: Deployment, **fields: str) -> str:
    inlines = {
        f"{prefix}-{what}_FORMS": "0" for prefix in ("prices", "limits") for what in ("TOTAL", "INITIAL")
    }
    given = {"name": row.name, "model": str(row.model_id), "provider": str(row.provider_id)}
    plain = {"upstream_model": "gpt-4o", "weight": "1", "priority": "0", "state": "active"}
    sent = given | plain | {"default_params": "{}"} | inlines | fields
    return client.post(f"{DEPLOYMENTS}{row.pk}/change/", sent, follow=True).text


def test_tags_are_written_one_a_line_or_with_commas_each_once(admin_client: Client, llm: Deployment) -> None:
    change(admin_client, llm, tags=" paid \r\neu, default\r\npaid")
    llm.refresh_from_db()
    assert llm.tags == ["paid", "eu", "default"]
    assert load().models["llm"].targets[llm.pk].tags == {"paid", "eu", "default"}
    assert "paid\neu\ndefault</textarea>" in admin_client.get(f"{DEPLOYMENTS}{llm.pk}/change/").text


@pytest.mark.parametrize("tags", ["a" * 101, "b\x07ll"])
def test_what_is_no_tag_is_told_beside_the_field(admin_client: Client, llm: Deployment, tags: str) -> None:
    assert BAD_TAG in change(admin_client, llm, tags=tags)
    key, _ = issue("alice")
    sent = NO_LIMITS | {"name": "alice", "all_models": "on", "tags": tags}
    assert BAD_TAG in admin_client.post(f"/admin/keys/apikey/{key.pk}/change/", sent).text
    assert BAD_TAG in admin_client.post("/admin/keys/team/add/", EMPTY | {"name": "ops", "tags": tags}).text


def test_a_deployment_has_at_most_fifty_tags(admin_client: Client, llm: Deployment) -> None:
    assert "At most 50 tags." in change(admin_client, llm, tags="\n".join(map(str, range(51))))


def test_times_and_the_wait_for_a_place_are_saved_and_served(admin_client: Client, llm: Deployment) -> None:
    change(admin_client, llm, queue_seconds="0", connect_timeout="1", idle_timeout="2.5", eject_seconds="9")
    target = load().models["llm"].targets[llm.pk]
    assert (target.queue_seconds, target.connect_timeout, target.idle_timeout) == (0.0, 1.0, 2.5)
    assert target.ejection.seconds == 9.0


def test_a_page_shows_what_its_model_says_where_it_is_empty(admin_client: Client, llm: Deployment) -> None:
    Model.objects.update(timeout=33, idle_timeout=4.5)
    page = admin_client.get(f"{DEPLOYMENTS}{llm.pk}/change/").text
    for text in ("33 (model)", "4.5 (model)", "3 (setting CONNECT_TIMEOUT)", "10 (setting QUEUE_SECONDS)"):
        assert f'placeholder="{text}"' in page


def test_the_list_shows_tags_and_is_filtered_and_searched_by_them(
    admin_client: Client, llm: Deployment
) -> None:
    llm.tags = ["<b>", "paid", "eu", "night", "batch", "other"]
    llm.save()
    other = deployment("llm-b", llm.provider, llm.model, tags=["eu-west"])
    page = admin_client.get(DEPLOYMENTS).text
    assert "&lt;b&gt;</span>" in page
    assert "2 more" in page

    def found(query: str) -> set[str]:
        return {row.name for row in admin_client.get(f"{DEPLOYMENTS}?{query}").context["cl"].result_list}

    assert found("tag=eu") == {llm.name}
    assert found("tag=eu-west") == {other.name}
    assert found("q=eu-w") == {other.name}
    assert found("tag=nobody") == set()


def test_tags_of_a_key_and_of_a_team_reach_the_workers(admin_client: Client) -> None:
    team = Team.objects.create(name="ops")
    key, _ = issue("alice", team=team)
    KeyChange.objects.all().delete()
    sent = NO_LIMITS | {"name": "alice", "team": str(team.pk), "all_models": "on", "tags": "paid\neu"}
    admin_client.post(f"/admin/keys/apikey/{key.pk}/change/", sent)
    admin_client.post(f"/admin/keys/team/{team.pk}/change/", EMPTY | {"name": "ops", "tags": "blue"})
    key.refresh_from_db()
    team.refresh_from_db()
    assert (key.tags, team.tags) == (["paid", "eu"], ["blue"])
    assert (key.pk, None) in KeyChange.objects.values_list("key_id", "team_id")
    assert (None, team.pk) in KeyChange.objects.values_list("key_id", "team_id")
    assert key.history.first().tags == ["paid", "eu"]
