import re
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client

from keys.issuing import issue
from providers.models import Model
from tests.gateway.furnished import deployment, furnish, hour, provider

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


def test_connecting_names_this_gateway(admin_client: Client) -> None:
    Model.objects.create(name="llm")
    text = admin_client.get("/admin/connect/").text
    assert "OPENAI_API_BASE_URL=http://testserver/v1" in text
    assert 'model="llm"' in text


def test_names_are_shown_as_text(admin_client: Client) -> None:
    hour(0, model="<script>alert(1)</script>")
    assert "<script>alert" not in home(admin_client)
