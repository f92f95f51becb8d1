"""The console's page of a model: its strategy and aliases."""

import re
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from providers.models import Deployment, Model
from providers.snapshot import load
from tests.gateway.furnished import deployment, provider

pytestmark = pytest.mark.django_db

LIST = "/admin/providers/model/"


def form(**fields: str) -> dict[str, str]:
    inlines = {
        f"{prefix}-{name}": "0"
        for prefix in ("deployments", "fallbacks", "limits")
        for name in ("TOTAL_FORMS", "INITIAL_FORMS", "MIN_NUM_FORMS", "MAX_NUM_FORMS")
    }
    return {"name": "llm", "kind": "chat", "strategy": "weighted", "info": "{}", **inlines, **fields}


def add(client: Client, **fields: str) -> str:
    return client.post(f"{LIST}add/", form(**fields), follow=True).text


def test_a_strategy_and_aliases_one_a_line_are_saved_and_served(admin_client: Client) -> None:
    add(admin_client, strategy="latency", aliases="gpt-4\r\n\r\n gpt-4o ", hidden_aliases="old")
    row = Model.objects.get()
    assert (row.strategy, row.aliases, row.hidden_aliases) == ("latency", ["gpt-4", "gpt-4o"], ["old"])
    snapshot = load()
    assert all(snapshot.find(name) is snapshot.models["llm"] for name in ("gpt-4", "gpt-4o", "old"))
    assert (snapshot.models["llm"].strategy, snapshot.models["llm"].aliases) == (
        "latency",
        ("gpt-4", "gpt-4o"),
    )


def test_the_page_shows_aliases_one_a_line_and_the_list_names_them(admin_client: Client) -> None:
    row = Model.objects.create(name="llm", aliases=["gpt-4", "<b>"], hidden_aliases=["old"])
    deployment("first", provider(), row)
    assert "gpt-4\n&lt;b&gt;</textarea>" in admin_client.get(f"{LIST}{row.pk}/change/").text
    page = admin_client.get(f"{LIST}?q=gpt-4").text
    assert "also gpt-4, &lt;b&gt;, old" in page
    assert "1 active" in page


def test_saving_a_page_as_it_is_changes_nothing(admin_client: Client) -> None:
    row = Model.objects.create(name="llm", aliases=["gpt-4"])
    as_shown = form(aliases="gpt-4") | {"initial-info": "{}"}
    admin_client.post(f"{LIST}{row.pk}/change/", as_shown)
    assert LogEntry.objects.get().get_change_message() == "No fields changed."


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"aliases": "small"}, "&#x27;small&#x27; is another model already."),
        ({"aliases": "tiny"}, "&#x27;tiny&#x27; is an alias of the model &#x27;small&#x27; already."),
        (
            {"hidden_aliases": "tiny-old"},
            "&#x27;tiny-old&#x27; is an alias of the model &#x27;small&#x27; already.",
        ),
        ({"name": "tiny"}, "&#x27;tiny&#x27; is an alias of the model &#x27;small&#x27;."),
        ({"aliases": "llm"}, "&#x27;llm&#x27; is among the names of this model twice."),
        ({"aliases": "a\na"}, "&#x27;a&#x27; is among the names of this model twice."),
        ({"aliases": "a", "hidden_aliases": "a"}, "&#x27;a&#x27; is among the names of this model twice."),
        ({"aliases": "a" * 201}, "is no name: one line of at most 200 characters is expected."),
    ],
)
def test_every_name_stands_for_one_model(admin_client: Client, fields: dict[str, str], why: str) -> None:
    Model.objects.create(name="small", aliases=["tiny"], hidden_aliases=["tiny-old"])
    assert why in add(admin_client, **fields)
    assert Model.objects.count() == 1


def test_a_model_may_be_renamed_to_its_alias_of_before(admin_client: Client) -> None:
    row = Model.objects.create(name="llm", aliases=["gpt-4"])
    admin_client.post(f"{LIST}{row.pk}/change/", form(name="gpt-4", aliases="llm"))
    row.refresh_from_db()
    assert (row.name, row.aliases) == ("gpt-4", ["llm"])


def test_what_routing_may_do_is_saved_and_served(admin_client: Client) -> None:
    own = {"max_attempts": "2", "retries_by_error_timeout": "0", "retries_by_error_connect": "4"}
    times = {"deadline": "90", "timeout": "30.5", "stream_timeout": "5", "idle_timeout": "7"}
    add(
        admin_client, **own, **times, connect_timeout="1.5", max_queue="0", eject_after="0", eject_seconds="2"
    )
    row = Model.objects.get()
    assert row.retries_by_error == {"timeout": 0, "connect": 4}
    served = load().models["llm"]
    assert (served.max_attempts, served.deadline, served.max_queue) == (2, 90.0, 0)
    assert (row.timeout, row.stream_timeout, row.idle_timeout, row.connect_timeout) == (30.5, 5.0, 7.0, 1.5)
    assert (row.eject_after, row.eject_seconds) == (0, 2.0)


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("max_attempts", "0", "greater than or equal to 1"),
        ("max_attempts", "11", "less than or equal to 10"),
        ("retries_by_error_timeout", "10", "The retries after timeout are a whole number from 0 to 9."),
        ("retries_by_error_timeout", "-1", "The retries after timeout are a whole number from 0 to 9."),
        ("retries_by_error_timeout", "many", "These are whole numbers from 0 to 9."),
        ("deadline", "0", "greater than or equal to 0.001"),
        ("timeout", "inf", "Enter a number."),
        ("stream_timeout", "1e308", "less than or equal to 86400"),
        ("max_queue", "-1", "greater than or equal to 0"),
    ],
)
def test_what_is_no_number_for_it_is_told_beside_its_field(
    admin_client: Client, field: str, value: str, why: str
) -> None:
    page = add(admin_client, **{field: value})
    assert why in page
    assert f'value="{value}"' in page, "what was typed is still there"
    assert not Model.objects.exists()


def test_empty_fields_show_what_holds_instead(admin_client: Client, settings: Any) -> None:
    settings.TOTAL_TIMEOUT, settings.QUEUE_LENGTH = 45.5, 7
    row = Model.objects.create(name="llm", timeout=20, max_attempts=5)
    page = admin_client.get(f"{LIST}{row.pk}/change/").text
    for text in (
        "45.5 (setting TOTAL_TIMEOUT)",
        "900 (setting DEADLINE)",
        "20 (whole answer)",
        "7 (setting QUEUE_LENGTH)",
    ):
        assert f'placeholder="{text}"' in page
    assert page.count('placeholder="4"') == 5, "retries after each kind of error: one less than the attempts"


def test_a_wildcard_has_a_badge_and_no_aliases(admin_client: Client) -> None:
    Model.objects.create(name="openai/*")
    assert re.search(r"sy-badge-plain[^>]*>wildcard<", admin_client.get(LIST).text)
    assert "A wildcard model has no other names" in add(admin_client, name="any/*", aliases="any")
    assert "only the name of a model itself may be a wildcard" in add(admin_client, aliases="any/*")
    assert Model.objects.count() == 1


def test_a_star_upstream_needs_a_wildcard_model(admin_client: Client) -> None:
    of = provider()
    row = {"name": "a", "provider": str(of.pk), "upstream_model": "gpt-*", "weight": "1", "priority": "0"}
    inline = {f"deployments-0-{name}": value for name, value in row.items()}
    inline |= {"deployments-0-state": "active", "deployments-TOTAL_FORMS": "1"}
    assert "this model&#x27;s name has none" in add(admin_client, **inline)
    add(admin_client, name="openai/*", **inline)
    assert Deployment.objects.get().upstream_model == "gpt-*"
    page = admin_client.post(f"{LIST}{Model.objects.get().pk}/change/", form(name="llm") | inline).text
    assert "this model&#x27;s name has none" in page
