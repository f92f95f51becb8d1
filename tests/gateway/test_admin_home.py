import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from keys.issuing import issue
from keys.models import Limit
from providers.models import Model, Price
from tests.gateway.furnished import deployment, furnish, hour, provider
from usage.models import LimitAlert

pytestmark = pytest.mark.django_db


def home(client: Client) -> str:
    return re.sub(r"\s+", " ", client.get("/admin/").text)


def test_a_newcomer_is_told_the_next_step(admin_client: Client) -> None:
    assert re.search(r'class="sy-next">.*?Add a provider', home(admin_client))
    provider()
    text = home(admin_client)
    assert re.search(r'class="sy-done">.*?Add a provider.*?class="sy-next">.*?Add a model', text)


def test_the_steps_go_when_all_are_done(admin_client: Client) -> None:
    furnish(1)
    assert "Four steps" not in home(admin_client)


def test_the_last_day_is_summed_by_model(admin_client: Client) -> None:
    hour(0)
    hour(3, status="failed", requests=5, prompt_tokens=0, completion_tokens=0, latency_ms=100)
    hour(5, model="gpt", requests=1000, prompt_tokens=12345, completion_tokens=0)
    hour(30, requests=7777)
    text = home(admin_client)
    assert "7,777" not in text
    assert re.search(r"Requests</h2> <p class=\"sy-figure\">1,015<", text)
    assert re.search(r"Errors</h2> <p class=\"sy-figure\">5<", text)
    assert re.search(r">gpt</a>.*?<td>1,000</td>.*?>llm</a>.*?<td>15</td> <td>100</td> <td>50</td>", text)


def test_what_the_day_cost_stands_beside_its_tokens(admin_client: Client) -> None:
    hour(0)
    assert not re.search(r" out, \$", home(admin_client))
    hour(1, cost_nano=1_500_000_000)
    assert re.search(r"Tokens</h2>(?:(?!</div>).)* out, \$1\.50<", home(admin_client))


def test_what_cannot_answer_is_named(admin_client: Client) -> None:
    llm = Model.objects.create(name="llm")
    deployment("a", provider(secret_reference="NEBIUS_API_KEY"), llm)
    deployment("b", provider("Groq", enabled=False), llm)
    text = home(admin_client)
    assert "a is not configured" in text
    assert "NEBIUS_API_KEY is not set" in text
    assert "provider Groq is disabled" in text
    assert "llm cannot answer" in text


def test_a_key_that_ends_soon_and_a_public_one_are_named(admin_client: Client) -> None:
    issue("alice", expires_at=datetime.now(UTC) + timedelta(days=2))
    issue("bob", expires_at=datetime.now(UTC) + timedelta(days=20))
    issue("master", text="sk-litellm-admin", is_admin=True)
    text = home(admin_client)
    assert "Key alice expires soon" in text
    assert "Key bob" not in text
    assert "Key master is public" in text


@pytest.mark.parametrize(
    ("of", "blind"),
    [
        ({}, True),
        ({"mode": "shadow"}, False),
        ({"metric": "tokens"}, False),
        ({"model": "llm"}, True),
        ({"model": "gpt"}, False),
        ({"deployment": "a"}, True),
        ({"deployment": "b"}, False),
        ({"key": "alice"}, True),
        ({"key": "bob"}, False),
    ],
)
def test_a_limit_of_cost_over_a_deployment_without_a_price_is_named(
    admin_client: Client, of: dict[str, Any], blind: bool
) -> None:
    llm, gpt = Model.objects.create(name="llm"), Model.objects.create(name="gpt")
    at = provider()
    rows: dict[str, Any] = {"llm": llm, "gpt": gpt}
    rows |= {"a": deployment("a", at, llm), "b": deployment("b", at, gpt)}
    Price.objects.create(deployment=rows["b"], input=1)
    rows |= {"alice": issue("alice")[0], "bob": issue("bob", models=[gpt])[0]}
    given = {name: rows.get(value, value) for name, value in of.items()}
    Limit.objects.create(**({"metric": "cost", "amount": 10**9, "window": "month"} | given))
    text = home(admin_client)
    assert "a has no price" in text
    assert ("limits of cost are in force and cannot see it" in text) == blind


def test_a_limit_that_is_used_up_is_named_until_its_window_ends(admin_client: Client) -> None:
    now = timezone.now()
    given = {"metric": "requests", "amount": 5, "window": "day"}
    limit = Limit.objects.create(key=issue("alice")[0], **given)
    start = now.replace(hour=0, minute=0, second=0, microsecond=0)
    row = {"limit": limit, "noticed_at": now, "percent": 100, "used": 5, "amount": 5}
    LimitAlert.objects.create(window_start=start - timedelta(days=1), **row)
    assert "is used up" not in home(admin_client)
    LimitAlert.objects.create(window_start=start, **row)
    text = home(admin_client)
    assert "5 requests per day is used up" in text
    assert "by key &#x27;alice&#x27;" in text
    Limit.objects.update(amount=10)
    assert "is used up" not in home(admin_client)


def test_connecting_names_this_gateway(admin_client: Client) -> None:
    Model.objects.create(name="llm")
    text = admin_client.get("/admin/connect/").text
    assert "OPENAI_API_BASE_URL=http://testserver/v1" in text
    assert 'model="llm"' in text


def test_names_are_shown_as_text(admin_client: Client) -> None:
    hour(0, model="<script>alert(1)</script>")
    assert "<script>alert" not in home(admin_client)
