from datetime import UTC, datetime

import pytest
from django.test import Client

from keys.issuing import issue
from keys.models import ApiKey, EndUser, Limit, Member, Team
from tests.gateway.furnished import day

pytestmark = pytest.mark.django_db

TEAMS, PEOPLE = "/admin/keys/team/", "/admin/keys/enduser/"
EMPTY = {f"{each}-{what}_FORMS": "0" for each in ("members", "limits") for what in ("TOTAL", "INITIAL")}


def save(client: Client, **fields: str) -> str:
    return client.post(f"{TEAMS}add/", {"name": "ops"} | EMPTY | fields, follow=True).text


def test_members_are_written_on_the_page_of_their_team(admin_client: Client) -> None:
    member = {"members-0-name": "Alice", "members-0-email": "alice@example.com"}
    save(admin_client, **{"members-TOTAL_FORMS": "1"}, **member)
    alice = Member.objects.get(team__name="ops")
    assert (alice.name, alice.email) == ("Alice", "alice@example.com")


def test_the_page_of_a_team_leads_to_its_keys(admin_client: Client) -> None:
    team = Team.objects.create(name="ops")
    alice = Member.objects.create(team=team, name="Alice")
    key, _ = issue("laptop", team=team)
    ApiKey.objects.filter(pk=key.pk).update(member=alice)
    text = admin_client.get(f"{TEAMS}{team.pk}/change/").text
    assert text.count(f'href="/admin/keys/apikey/{key.pk}/change/"') == 2  # of the team, and of Alice


def test_alerts_go_to_addresses_alone(admin_client: Client) -> None:
    assert "ops at example is no e-mail address." in save(
        admin_client, alert_emails="a@example.com, ops at example"
    )
    save(admin_client, alert_emails=" a@example.com,,b@example.com ")
    assert Team.objects.get().alert_emails == "a@example.com, b@example.com"


def test_the_list_of_teams_counts_members_and_keys_apart(admin_client: Client) -> None:
    team = Team.objects.create(name="ops")
    for name in ("Alice", "Bob", "Carol"):
        Member.objects.create(team=team, name=name)
    for name in ("one", "two"):
        issue(name, team=team)
    row = admin_client.get(TEAMS).context["cl"].result_list[0]
    assert (row.member_total, row.key_total) == (3, 2)


def test_end_users_show_what_they_used_in_the_last_month(admin_client: Client) -> None:
    bob = EndUser.objects.create(name="bob")
    EndUser.objects.create(name="carol")
    for days_ago, model in ((0, "llm"), (3, "gpt"), (40, "old")):
        day(days_ago, end_user="bob", model=model, retries=1, cost_nano=10**9)
    day(1, end_user="bob", status="refused", requests=1000)
    text = admin_client.get(PEOPLE).text
    assert ">18<" in text
    assert ">$2.00<" in text
    assert f"{datetime.now(UTC):%d %b %Y}" in text
    assert "not in 30 days" in text
    page = admin_client.get(f"{PEOPLE}{bob.pk}/change/").text
    assert ">llm</span>" in page
    assert ">gpt</span>" in page
    assert ">old</span>" not in page


def test_an_end_user_is_added_by_hand_with_limits(admin_client: Client) -> None:
    limit = {"metric": "cost", "amount": "2.5", "window": "day", "time_zone": "UTC", "mode": "enforce"}
    given = {"name": "dave", "limits-TOTAL_FORMS": "1", "limits-INITIAL_FORMS": "0"}
    admin_client.post(f"{PEOPLE}add/", given | {f"limits-0-{name}": text for name, text in limit.items()})
    assert Limit.objects.get(end_user__name="dave").amount == 2_500_000_000


def test_end_users_are_found_by_whether_they_have_limits(admin_client: Client) -> None:
    bob = EndUser.objects.create(name="bob")
    EndUser.objects.create(name="carol")
    for _ in range(2):
        Limit.objects.create(end_user=bob, metric="tokens", amount=1)
    for chosen, names in (("own", ["bob"]), ("none", ["carol"])):
        rows = admin_client.get(f"{PEOPLE}?limits={chosen}").context["cl"].result_list
        assert [row.name for row in rows] == names
