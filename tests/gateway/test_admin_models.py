"""The console's page of a model: its strategy and aliases."""

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from providers.models import Model
from providers.snapshot import load
from tests.gateway.furnished import deployment, provider

pytestmark = pytest.mark.django_db

LIST = "/admin/providers/model/"


def form(**fields: str) -> dict[str, str]:
    inlines = {
        f"{prefix}-{name}": "0"
        for prefix in ("deployments", "limits")
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
