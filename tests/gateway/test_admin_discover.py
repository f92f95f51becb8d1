"""The page of the models that a provider has: who may see it, what it shows, what it adds."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from providers.models import Deployment, Model, Provider
from tests.gateway.furnished import deployment
from tests.upstream import Behaviour, Upstream

pytestmark = pytest.mark.django_db
LIST = "/admin/providers/provider/"


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as provider:
        yield provider


@pytest.fixture
def basement(upstream: Upstream) -> Provider:
    upstream.reset()
    return Provider.objects.create(
        name="Basement",
        kind="hosted_vllm",
        base_url=upstream.url,
        confirmed_host=f"127.0.0.1:{upstream.port}",
    )


def lists(upstream: Upstream, *ids: str, **more: Any) -> None:
    body = json.dumps({"data": [{"id": id, **more} for id in ids]})
    upstream.behave(Behaviour(body=body))


def page(provider: Provider) -> str:
    return f"{LIST}{provider.pk}/discover/"


def test_the_list_says_how_each_model_stands(
    admin_client: Client, basement: Provider, upstream: Upstream
) -> None:
    lists(upstream, "qwen", "bge-m3", "<b>x", "llama", max_model_len=32768)
    deployment("a", basement, Model.objects.create(name="chat"), upstream_model="qwen")
    Model.objects.create(name="llama")
    text = admin_client.get(page(basement)).text
    assert "Basement: 4 models, 2 new" in text
    assert "&lt;b&gt;x" in text
    assert "<b>x" not in text
    assert ">embedding<" in text
    assert "32,768" in text
    assert "as chat" in text
    assert "name taken" in text
    assert text.count("data-new") == 2
    assert text.count("disabled>") == 1


def test_the_chosen_ones_are_added_and_shown(
    admin_client: Client, basement: Provider, upstream: Upstream
) -> None:
    lists(upstream, "a/b:7b", "c", "d")
    answer = admin_client.post(
        page(basement), {"chosen_ids": '["a/b:7b"]', "chosen": ["d"], "prefix": "home/"}, follow=True
    )
    assert answer.redirect_chain[-1][0].endswith(f"deployment/?provider__id__exact={basement.pk}")
    assert "Added 2 models from Basement." in answer.text
    assert sorted(Model.objects.values_list("name", "source")) == [
        ("home/a/b:7b", "admin"),
        ("home/d", "admin"),
    ]
    version = Model.objects.get(name="home/d").history.get()
    assert (version.history_user.username, version.history_change_reason) == (
        "admin",
        "discovered at Basement",
    )


def test_five_hundred_models_are_added_at_once(
    admin_client: Client, basement: Provider, upstream: Upstream
) -> None:
    ids = [f"vendor/{'very-' * 40}long-name-{number}"[:150] + f"-{number}" for number in range(500)]
    lists(upstream, *ids)
    assert admin_client.get(page(basement)).text.count("data-new") == 500
    answer = admin_client.post(page(basement), {"chosen_ids": json.dumps(ids)}, follow=True)
    assert "Added 500 models from Basement." in answer.text
    assert Deployment.objects.filter(provider=basement).count() == 500


def test_what_is_left_out_is_told(admin_client: Client, basement: Provider, upstream: Upstream) -> None:
    Model.objects.create(name="a")
    lists(upstream, "a", "b")
    answer = admin_client.post(page(basement), {"chosen": ["a"]}, follow=True)
    assert "Left out 1: a: another model has this name." in answer.text
    assert not Deployment.objects.exists()
    answer = admin_client.post(page(basement), {"chosen": ["a", "b"], "join": "on"}, follow=True)
    assert "Added 1 model and 1 deployment of models that were there from Basement." in answer.text


@pytest.mark.parametrize(
    "chosen", [{}, {"chosen_ids": "rubbish"}, {"chosen_ids": "[5]"}, {"chosen": "other"}]
)
def test_nothing_that_is_listed_was_chosen(
    admin_client: Client, basement: Provider, upstream: Upstream, chosen: dict[str, str]
) -> None:
    lists(upstream, "a")
    answer = admin_client.post(page(basement), chosen)
    assert answer.status_code == 200
    assert "Choose the models to add." in answer.text or "lists none of these any more" in answer.text
    assert not Model.objects.exists()


def test_an_empty_list_and_a_failure_are_told(
    admin_client: Client, basement: Provider, upstream: Upstream
) -> None:
    lists(upstream)
    assert "Basement lists no models" in admin_client.get(page(basement)).text
    upstream.behave(Behaviour(status=503, body='{"error": "<i>overloaded"}'))
    for answer in (admin_client.get(page(basement)), admin_client.post(page(basement), {"chosen": "a"})):
        assert answer.status_code == 200
        assert "It answered 503: &lt;i&gt;overloaded" in answer.text
    assert not Model.objects.exists()


def test_it_is_reached_from_the_list_and_from_the_provider(admin_client: Client, basement: Provider) -> None:
    other = Provider.objects.create(name="Other", base_url="https://api.example.com/v1")
    assert "Discover models" in admin_client.get(f"{LIST}{basement.pk}/change/").text
    chosen = {"action": "discover", "_selected_action": [str(basement.pk)]}
    answer = admin_client.post(LIST, chosen)
    assert (answer.status_code, answer.headers["location"]) == (302, page(basement))
    both = {"action": "discover", "_selected_action": [str(basement.pk), str(other.pk)]}
    assert "Choose one provider" in admin_client.post(LIST, both, follow=True).text


@pytest.mark.parametrize("missing", ["change_provider", "add_model", "add_deployment"])
def test_who_may_not_add_what_is_found_may_not_ask(
    client: Client, basement: Provider, upstream: Upstream, missing: str
) -> None:
    eve = User.objects.create_user("eve", password="x", is_staff=True)
    given = {"view_provider", "change_provider", "add_model", "add_deployment"} - {missing}
    eve.user_permissions.set(Permission.objects.filter(codename__in=given))
    client.force_login(eve)
    assert client.get(page(basement)).status_code == 403
    assert client.post(page(basement), {"chosen": "a"}).status_code == 403
    assert upstream.log() == []
    eve.user_permissions.add(Permission.objects.get(codename=missing))
    assert client.get(page(basement)).status_code == 200


def test_there_is_no_page_of_no_provider(admin_client: Client) -> None:
    assert admin_client.get(f"{LIST}019a49b0-0000-7000-8000-000000000001/discover/").status_code == 404
