import re
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from django.test import Client

from keys.issuing import find, issue
from keys.models import ApiKey, KeyChange, Limit, Member, Team
from providers.models import Model

pytestmark = pytest.mark.django_db

LIST = "/admin/keys/apikey/"
# what a browser sends of every key's form
NO_LIMITS = {"limits-TOTAL_FORMS": "0", "limits-INITIAL_FORMS": "0", "without_redis": "local"}
KEY = re.compile(r"sk-sy-\w{12}-\w{46}")


def create(client: Client, **fields: str) -> str:
    return client.post(f"{LIST}add/", {"name": "alice", "all_models": "on"} | NO_LIMITS | fields).text


def test_a_new_key_is_shown_once_and_works(admin_client: Client) -> None:
    text = create(admin_client)
    shown = set(KEY.findall(text))
    assert len(shown) == 1
    row = find(shown.pop())
    assert row is not None
    assert row.name == "alice"
    for url in (LIST, f"{LIST}{row.pk}/change/", f"{LIST}{row.pk}/history/"):
        assert not KEY.search(admin_client.get(url).text)
        assert row.verifier not in admin_client.get(url).text


def test_the_text_of_a_new_key_is_kept_nowhere(admin_client: Client) -> None:
    answer = admin_client.post(f"{LIST}add/", {"name": "alice", "all_models": "on"} | NO_LIMITS)
    match = KEY.search(answer.text)
    assert match
    assert "no-store" in answer.headers["Cache-Control"]
    assert not [row for row in Session.objects.all() if match[0] in str(row.get_decoded())]
    assert not LogEntry.objects.filter(change_message__contains=match[0])
    assert match[0] not in str(list(ApiKey.objects.values()) + list(ApiKey.history.values()))


def test_the_page_of_a_new_key_has_a_curl_for_a_model_it_may_use(admin_client: Client) -> None:
    Model.objects.create(name="a-model")
    mine = Model.objects.create(name="mine")
    text = create(admin_client, all_models="", allowed_models=str(mine.pk))
    assert "curl http://testserver/v1/chat/completions" in text
    assert "&quot;mine&quot;" in text or '"mine"' in text


def test_limits_are_made_with_the_key(admin_client: Client) -> None:
    limit = {"metric": "tokens", "amount": "1000", "window": "minute", "time_zone": "UTC", "mode": "enforce"}
    create(
        admin_client, **{"limits-TOTAL_FORMS": "1"}, **{f"limits-0-{name}": v for name, v in limit.items()}
    )
    assert str(Limit.objects.get(key__name="alice")) == "1,000 tokens per minute"


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"all_models": ""}, "Choose at least one model"),
        ({"expires_at_0": "2020-01-01", "expires_at_1": "00:00"}, "This is in the past"),
        ({"name": ""}, "This field is required"),
    ],
)
def test_a_key_that_could_not_be_used_is_not_made(
    admin_client: Client, fields: dict[str, str], problem: str
) -> None:
    assert problem in create(admin_client, **fields)
    assert not ApiKey.objects.exists()


def test_sending_the_form_again_makes_no_second_key(admin_client: Client) -> None:
    create(admin_client)
    assert "already exists" in create(admin_client)
    assert ApiKey.objects.count() == 1


def test_the_list_names_the_limits_in_words(admin_client: Client) -> None:
    key, _ = issue("alice")
    Limit.objects.create(key=key, metric="parallel", amount=4, window="")
    Limit.objects.create(key=key, metric="tokens", amount=200000, window="hour", mode="shadow")
    text = admin_client.get(LIST).text
    assert ">4 parallel requests</span><br>" in text
    assert ">200,000 tokens per hour, shadow</span>" in text


def test_the_list_counts_the_limits_beyond_three(admin_client: Client) -> None:
    key, _ = issue("alice")
    for window in ("minute", "hour", "day", "week", "month"):
        Limit.objects.create(key=key, metric="tokens", amount=5, window=window)
    assert ">and 2 more</span>" in admin_client.get(LIST).text


def test_a_key_used_a_moment_ago_was_used_just_now(admin_client: Client) -> None:
    key, _ = issue("alice")
    for seconds, told in ((5, "just now"), (130, "2\xa0minutes ago")):
        ApiKey.objects.filter(pk=key.pk).update(last_used_at=datetime.now(UTC) - timedelta(seconds=seconds))
        assert told in admin_client.get(LIST).text


def test_unusable_keys_say_why(admin_client: Client) -> None:
    issue("expired", expires_at=datetime.now(UTC) - timedelta(days=2))
    off, _ = issue("off")
    ApiKey.objects.filter(pk=off.pk).update(enabled=False)
    text = admin_client.get(LIST).text
    assert re.search(r"sy-badge-bad[^>]*>expired<", text)
    assert re.search(r"sy-badge-plain[^>]*>disabled<", text)


def test_disabling_a_key_reports_and_tells_the_workers(admin_client: Client) -> None:
    key, _ = issue("alice")
    KeyChange.objects.all().delete()
    answer = admin_client.post(LIST, {"action": "disable", "_selected_action": [str(key.pk)]}, follow=True)
    assert "Disabled 1 API key." in answer.text
    assert KeyChange.objects.get().key_id == key.pk


def test_changing_a_key_keeps_its_text_valid(admin_client: Client) -> None:
    key, text = issue("alice")
    given = {"name": "alice-laptop", "enabled": "on", "all_models": "on"} | NO_LIMITS
    admin_client.post(f"{LIST}{key.pk}/change/", given)
    found = find(text)
    assert found is not None
    assert found.name == "alice-laptop"


def test_a_key_whose_team_is_known_is_offered_that_teams_members(admin_client: Client) -> None:
    ops, sales = Team.objects.create(name="ops"), Team.objects.create(name="sales")
    alice, bob = (
        Member.objects.create(team=team, name=name) for team, name in ((ops, "Alice"), (sales, "Bob"))
    )
    key, _ = issue("laptop", team=ops)
    for url in (f"{LIST}{key.pk}/change/", f"{LIST}add/?team={ops.pk}"):
        text = admin_client.get(url).text
        assert f'<option value="{alice.pk}">Alice</option>' in text
        assert f'<option value="{bob.pk}">' not in text


def test_a_member_of_another_team_is_told_so(admin_client: Client) -> None:
    ops, sales = Team.objects.create(name="ops"), Team.objects.create(name="sales")
    bob = Member.objects.create(team=sales, name="Bob")
    text = create(admin_client, team=str(ops.pk), member=str(bob.pk))
    assert "Bob is a member of sales: choose that team." in text
    create(admin_client, team=str(sales.pk), member=str(bob.pk))
    assert ApiKey.objects.get().member == bob


def test_a_key_says_who_names_its_end_users(admin_client: Client) -> None:
    create(admin_client, end_user_header="X-OpenWebUI-User-Email", max_end_users="20", without_redis="closed")
    key = ApiKey.objects.get()
    told = (key.end_user_header, key.max_end_users, key.without_redis)
    assert told == ("X-OpenWebUI-User-Email", 20, "closed")
