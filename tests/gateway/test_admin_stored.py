"""Operators see which files and batches clients keep at which provider, and change nothing there."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from keys.issuing import issue
from keys.models import Team
from providers.models import Provider
from usage.models import StoredObject

pytestmark = pytest.mark.django_db

LIST = "/admin/usage/storedobject/"
FILE = {"filename": "jobs <1>.jsonl", "bytes": 2048, "purpose": "batch", "status": "processed"}
BATCH = {
    "endpoint": "/v1/chat/completions",
    "status": "in_progress",
    "request_counts": {"total": 1200, "completed": 7, "failed": 0},
    "expires_at": 1_800_000_000,
}


def kept(number: int, kind: str = "file", told: Any = None, **fields: Any) -> StoredObject:
    acme, _ = Provider.objects.get_or_create(name="Acme", base_url="https://llm.example")
    of = {"owner": "key id-bob", "key": "bob", "key_id": "id-bob", "place": str(acme.pk), **fields}
    return StoredObject.objects.create(
        kind=kind, upstream_id=f"{kind}-{number}", told=FILE if told is None else told, **of
    )


def test_a_list_says_whose_what_is_and_where(admin_client: Client) -> None:
    team = Team.objects.create(name="Writers")
    kept(1, owner=f"team {team.pk}")
    kept(2, "batch", BATCH, place="6f1b8f4e-0000-4000-8000-000000000000")
    page = admin_client.get(LIST).text
    assert "jobs &lt;1&gt;.jsonl" in page
    assert "2.0\xa0KB · batch" in page
    assert ">Acme</a>" in page
    assert "Writers" in page
    assert "7 of 1,200 requests" in page
    assert "in_progress" in page
    assert "deleted since" in page


def test_a_page_shows_all_that_the_provider_told(admin_client: Client) -> None:
    key, _ = issue("carol")
    row = kept(1, "batch", {**BATCH, "metadata": {"x": "<b>"}}, key="carol", key_id=key.public_id)
    page = admin_client.get(f"{LIST}{row.pk}/change/").text
    assert f'href="/admin/keys/apikey/{key.pk}/change/"' in page
    assert "&quot;x&quot;: &quot;&lt;b&gt;&quot;" in page
    assert "2027-01-15" in page
    assert "batch-1" in page
    gone = admin_client.get(f"{LIST}{kept(2).pk}/change/").text
    assert "bob (id-bob, deleted since)" in gone
    assert "the provider says no end" in gone


@pytest.mark.parametrize(
    "odd", [{}, {"filename": 3, "bytes": "x", "purpose": [], "status": {}, "expires_at": 10**30}]
)
@pytest.mark.parametrize("kind", ["file", "batch"])
def test_what_a_provider_tells_may_be_anything(admin_client: Client, kind: str, odd: dict[str, Any]) -> None:
    row = kept(1, kind, {**odd, "endpoint": None, "request_counts": {"total": "x"}})
    assert admin_client.get(LIST).status_code == 200
    assert admin_client.get(f"{LIST}{row.pk}/change/").status_code == 200


def test_rows_are_found_by_id_or_key_and_told_apart_by_kind(admin_client: Client) -> None:
    key, _ = issue("carol")
    kept(1)
    kept(2, "batch", BATCH, key="carol", key_id=key.public_id)

    def found(**asked: str) -> list[str]:
        answer = admin_client.get(LIST, asked)
        assert answer.status_code == 200
        return [row.upstream_id for row in answer.context["cl"].result_list]

    assert found() == ["batch-2", "file-1"]
    assert found(q="file-1") == ["file-1"]
    assert found(q="carol") == found(q=key.public_id) == found(kind__exact="batch") == ["batch-2"]
    assert found(q="nobody") == []


def test_nothing_is_changed_and_who_may_not_look_sees_nothing(admin_client: Client, client: Client) -> None:
    row = kept(1)
    for address in (f"{LIST}add/", f"{LIST}{row.pk}/delete/"):
        assert admin_client.get(address).status_code == 403
    admin_client.post(f"{LIST}{row.pk}/change/", {"upstream_id": "x"})
    row.refresh_from_db()
    assert row.upstream_id == "file-1"
    reader = User.objects.create_user("eve", password="x", is_staff=True)
    client.force_login(reader)
    assert client.get(LIST).status_code == 403
    reader.user_permissions.add(Permission.objects.get(codename="view_storedobject"))
    assert client.get(LIST).status_code == 200


def test_more_rows_are_no_more_queries(
    admin_client: Client, django_assert_num_queries: Callable[[int], Any]
) -> None:
    team = Team.objects.create(name="Writers")
    for number in range(3):
        kept(number, owner=f"team {team.pk}")
    admin_client.get(LIST)
    with django_assert_num_queries(5):
        admin_client.get(LIST)
    for number in range(3, 60):
        kept(number, owner=f"team {team.pk}")
    with django_assert_num_queries(5):
        admin_client.get(LIST)
