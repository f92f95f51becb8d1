import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.template.loader import render_to_string
from django.test import Client
from django.utils import timezone

from gateway.console.trial import beginning, chart
from gateway.console.tried import outcome
from keys.issuing import issue
from keys.models import EndUser, Limit
from tests.gateway.furnished import asked
from usage.whatif import Day, Draft, Verdict

PAGE = "/admin/limits/try/"
NOW = datetime(2026, 11, 25, 17, 30, tzinfo=UTC)
DRAFT = {"metric": "requests", "amount": "3", "window": "hour", "time_zone": "UTC"}


@pytest.mark.parametrize(
    ("window", "time_zone", "expected"),
    [
        ("hour", "UTC", datetime(2026, 11, 18, 17, 30, tzinfo=UTC)),
        ("total", "UTC", datetime(2026, 11, 18, 17, 30, tzinfo=UTC)),
        ("day", "Asia/Kolkata", datetime(2026, 11, 17, 18, 30, tzinfo=UTC)),
        ("week", "UTC", datetime(2026, 11, 16, tzinfo=UTC)),
        ("month", "UTC", datetime(2026, 11, 1, tzinfo=UTC)),
    ],
)
def test_a_trial_begins_with_a_whole_window(window: str, time_zone: str, expected: datetime) -> None:
    assert beginning(Draft("requests", 1, window, time_zone), NOW) == expected


def test_quiet_days_have_their_place_in_the_chart() -> None:
    days = (Day(date(2026, 11, 23), admitted=3, refused=1),)
    verdict = Verdict(3, 1, days, None, None, 3, 4)
    shown = chart(verdict, Draft("requests", 3, "day"), NOW - timedelta(days=3), NOW)
    assert [(bar.day.day, bar.admitted, bar.refused) for bar in shown.bars] == [
        *((22, 0, 0), (23, 3, 1), (24, 0, 0), (25, 0, 0)),
    ]
    parts = [(part.tone, part.top, part.height) for part in shown.bars[1].parts]
    assert (shown.top, parts) == (4, [("good", 25, 75), ("held", 0, 25)])


# --- the page ----------------------------------------------------------------------------------


def told(client: Client, query: Mapping[str, str]) -> str:
    return re.sub(r"\s+", " ", client.get(PAGE, query).text)


def test_a_draft_is_tried_on_last_weeks_requests(admin_client: Client) -> None:
    asked(5)
    asked(2, minutes_ago=60 * 24 * 2)
    asked(4, minutes_ago=60 * 24 * 20)
    text = told(admin_client, DRAFT)
    assert "3 requests per hour for everyone" in text
    assert re.search(r'refused</h3> <p class="sy-figure sy-alarm">2</p> <p class="sy-dim">29 % of', text)
    assert re.search(r'passed</h3> <p class="sy-figure">5</p>', text)
    assert "5 requests</p>" in text, "the largest window"
    assert ": 2 refused, 3 passed" in text
    assert not Limit.objects.exists()


def test_a_saved_limit_is_tried_from_its_page_as_it_is(admin_client: Client) -> None:
    alice, _ = issue("alice")
    asked(3, key_id=alice.public_id, cost_nano=10**9)
    asked(9, key_id="id-of-bob", cost_nano=10**9)
    limit = Limit.objects.create(
        key=alice, metric="cost", amount=2_500_000_000, window="total", mode="shadow"
    )
    link = re.search(
        r'href="([^"]*try[^"]*)"', admin_client.get(f"/admin/keys/limit/{limit.pk}/change/").text
    )
    assert link
    text = re.sub(r"\s+", " ", admin_client.get(link[1], follow=True).text)
    assert "$2.5 in total for key &#x27;alice&#x27;" in text
    assert re.search(r'refused</h3> <p class="sy-figure sy-alarm">1</p>', text)
    assert 'name="amount" value="2.5"' in text
    assert "What was used before this time is not counted here." in text


def test_end_users_are_counted_apart_and_those_with_own_limits_not_at_all(admin_client: Client) -> None:
    for name, number in (("bob", 4), ("carol", 3), ("dave", 9)):
        asked(number, end_user=name)
    dave = EndUser.objects.create(name="dave")
    Limit.objects.create(end_user=dave, metric="requests", amount=1)
    text = told(admin_client, DRAFT | {"each_end_user": "on"})
    assert re.search(r'refused</h3> <p class="sy-figure sy-alarm">1</p>', text)
    assert re.search(r'passed</h3> <p class="sy-figure">6</p>', text)


def test_a_wrong_draft_is_told_so_and_tried_on_nothing(admin_client: Client) -> None:
    text = told(admin_client, DRAFT | {"amount": "2.5", "time_zone": "Europe/Nowhere"})
    assert "This is a whole number; only cost has decimals." in text
    assert "There is no such time zone" in text
    assert "Would have passed" not in text


def test_a_draft_can_be_added_as_a_shadow_limit(admin_client: Client) -> None:
    link = re.search(r'href="([^"]*)">Add it as a shadow limit', told(admin_client, DRAFT))
    assert link
    text = admin_client.get(link[1].replace("&amp;", "&")).text
    assert 'name="amount" value="3"' in text
    assert re.search(r'<option value="shadow"\s+selected', text)


def test_history_that_was_cut_is_told(db: None) -> None:
    asked(5)
    limit = Limit(metric="requests", amount=3, window="hour")
    for most, is_told in ((5, False), (4, True)):
        page = {"outcome": outcome(limit, timezone.now(), most=most), "what": "", "whose": ""}
        text = re.sub(r"\s+", " ", render_to_string("console/try_outcome.html", page))
        assert ("There were more requests than are looked at" in text) == is_told


def test_trying_is_for_those_who_may_see_limits(client: Client, db: None) -> None:
    carol = User.objects.create_user("carol", is_staff=True)
    client.force_login(carol)
    assert client.get(PAGE).status_code == 403
    carol.user_permissions.add(Permission.objects.get(codename="view_limit"))
    text = told(client, DRAFT)
    assert "3 requests per hour" in text
    assert "Add it as a shadow limit" not in text


def test_a_limit_that_is_gone_is_not_found(admin_client: Client) -> None:
    for limit in ("9999", "9" * 40, "x"):
        assert admin_client.get(PAGE, {"limit": limit}).status_code == 404
