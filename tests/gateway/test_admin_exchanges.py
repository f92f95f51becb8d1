"""Operators read what was kept, see nothing run in it, and delete all of a key."""

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client

from tests.gateway.furnished import attempt
from usage.models import Attempt, Exchange, RedactionRule

pytestmark = pytest.mark.django_db

LIST = "/admin/usage/exchange/"
RULES = "/admin/usage/redactionrule/"


def exchange(number: int, **fields: Any) -> Exchange:
    of: Attempt = attempt(number, **{k: v for k, v in fields.items() if k in ("key", "key_id")})
    given = {"request": '{"a":1}', "answer": "{}", "request_id": of.request_id, "key": of.key}
    return Exchange.objects.create(
        attempt_id=of.pk,
        key_id=of.key_id,
        model=of.model,
        **{k: v for k, v in given.items() if k not in fields},
        **{k: v for k, v in fields.items() if k != "key_id"},
    )


def delete_all_of(client: Client, row: Exchange) -> Any:
    data = {"action": "delete_of_keys", "_selected_action": [str(row.pk)]}
    return client.post(LIST, data, follow=True)


def test_a_request_leads_to_what_was_said(admin_client: Client) -> None:
    row = exchange(1, request='{"messages":["Grüß <b>dich</b>"]}')
    page = admin_client.get(f"/admin/usage/attempt/{row.pk}/change/").text
    assert f'href="{LIST}{row.pk}/change/"' in page
    other = attempt(2)
    assert "not kept" in admin_client.get(f"/admin/usage/attempt/{other.pk}/change/").text


def test_what_was_said_is_indented_and_escaped(admin_client: Client) -> None:
    row = exchange(
        1, request='{"messages":["<script>alert(1)</script>"]}', answer="<img src=x>\n[cut off here]"
    )
    page = admin_client.get(f"{LIST}{row.pk}/change/").text
    assert "{\n  &quot;messages&quot;: [\n    &quot;&lt;script&gt;alert(1)&lt;/script&gt;&quot;" in page
    assert "&lt;img src=x&gt;\n[cut off here]" in page
    assert "<script>alert" not in page
    assert "<img src=x>" not in page


def test_all_exchanges_of_a_key_are_deleted_and_that_is_written_down(admin_client: Client) -> None:
    rows = [exchange(number) for number in range(3)]
    exchange(9, key="carol", key_id="id-carol")
    answer = delete_all_of(admin_client, rows[0])
    assert "Deleted 3 prompts and answers of key bob" in answer.text
    assert list(Exchange.objects.values_list("key", flat=True)) == ["carol"]
    entry = LogEntry.objects.get()
    assert (entry.object_id, entry.user.username) == ("id-bob", "admin")
    assert "Deleted 3 prompts and answers" in entry.change_message


def test_who_may_only_look_cannot_delete(client: Client) -> None:
    reader = User.objects.create_user("eve", password="x", is_staff=True)
    reader.user_permissions.add(Permission.objects.get(codename="view_exchange"))
    client.force_login(reader)
    row = exchange(1)
    assert client.get(LIST).status_code == 200
    delete_all_of(client, row)
    assert Exchange.objects.count() == 1


def test_who_may_see_requests_may_not_see_what_was_said(client: Client) -> None:
    reader = User.objects.create_user("eve", password="x", is_staff=True)
    reader.user_permissions.add(Permission.objects.get(codename="view_attempt"))
    client.force_login(reader)
    row = exchange(1)
    assert client.get(LIST).status_code == 403
    assert client.get(f"{LIST}{row.pk}/change/").status_code == 403


def test_nothing_is_written_or_added_by_hand(admin_client: Client) -> None:
    row = exchange(1)
    assert admin_client.get(f"{LIST}add/").status_code == 403
    assert admin_client.post(f"{LIST}{row.pk}/change/", {"request": "x"}).status_code == 403
    assert admin_client.get(f"{LIST}{row.pk}/delete/").status_code == 403


def test_rules_are_there_to_be_switched_on(admin_client: Client) -> None:
    assert list(RedactionRule.objects.values_list("name", "enabled")) == [
        ("API keys", False),
        ("Card numbers", False),
        ("E-mail addresses", False),
    ]
    assert admin_client.get(RULES).status_code == 200


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("(", "no regular expression"),
        (r"(a+)+b", "takes too long"),
        (r"\w+@x", "takes too long"),
        ("x*", "everywhere"),
    ],
)
def test_a_rule_that_would_hang_or_hit_everything_is_refused(
    admin_client: Client, pattern: str, problem: str
) -> None:
    answer = admin_client.post(f"{RULES}add/", {"name": "mine", "pattern": pattern, "replacement": "-"})
    assert problem in answer.text
    assert not RedactionRule.objects.filter(name="mine").exists()


def test_anomalies_are_shown_and_found(admin_client: Client) -> None:
    attempt(1, model="m-1", anomaly="negative", estimated=True)
    attempt(2, model="m-2", anomaly="implausible")
    attempt(3, model="m-3")
    page = admin_client.get("/admin/usage/attempt/?anomaly=any").text
    assert "usage negative" in page
    assert "usage implausible" in page
    assert "m-3" not in page
    assert "m-2" not in admin_client.get("/admin/usage/attempt/?anomaly=negative").text


def test_what_was_said_in_a_chat_is_found(admin_client: Client) -> None:
    row = exchange(1, key="alice", chat_id="chat-1")
    exchange(2, key="carol", chat_id="chat-2")
    page = admin_client.get(f"{LIST}?chat=chat-1").text
    assert 'title="alice"' in page
    assert 'title="carol"' not in page
    assert f'href="{LIST}?chat=chat-1"' in admin_client.get(f"{LIST}{row.pk}/change/").text
