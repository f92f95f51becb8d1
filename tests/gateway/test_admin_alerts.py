from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client

from keys.issuing import issue
from keys.models import Limit
from usage.models import LimitAlert

pytestmark = pytest.mark.django_db

LIST = "/admin/usage/limitalert/"
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


def alert(of: str, percent: int, **fields: Any) -> LimitAlert:
    key, _ = issue(of)
    limit = Limit.objects.create(key=key, metric="cost", amount=2 * 10**9, window="day")
    given = {"window_start": NOON, "noticed_at": NOON, "used": 1_500_000_000, "amount": limit.amount}
    return LimitAlert.objects.create(limit=limit, percent=percent, **(given | fields))


def test_alerts_name_the_limit_its_holder_and_how_full_it_was(admin_client: Client) -> None:
    alert("alice", 50, mailed_at=NOON)
    text = admin_client.get(LIST).text
    assert ">$2 per day</a>" in text
    assert ">alice</a>" in text
    assert "$1.5 of $2" in text
    assert ">e-mail</span>" in text


def test_alerts_are_found_by_threshold_and_by_what_went_wrong(admin_client: Client) -> None:
    alert("alice", 50)
    alert("bob", 100, problem="mail server: connection refused")
    for query, names in (("percent=100", ["bob"]), ("told=problem", ["bob"]), ("q=alice", ["alice"])):
        rows = admin_client.get(f"{LIST}?{query}").context["cl"].result_list
        assert [row.limit.key.name for row in rows] == names
    assert "mail server: connection refused" in admin_client.get(LIST).text


def test_alerts_are_read_only(admin_client: Client) -> None:
    row = alert("alice", 80)
    assert admin_client.get(f"{LIST}{row.pk}/change/").status_code == 200
    assert admin_client.post(f"{LIST}{row.pk}/change/", {"percent": "1"}).status_code == 403
    assert admin_client.get(f"{LIST}add/").status_code == 403
