import re
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from gateway.console.fill import Fill, span_now
from keys.issuing import issue
from keys.models import ApiKey, EndUser, Limit, Team
from tests.gateway.furnished import asked, day
from usage.rollup import roll_up

NOW = datetime(2026, 11, 25, 17, 30, tzinfo=UTC)


def moment(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-{text}+00:00")


@pytest.mark.parametrize(
    ("window", "time_zone", "since", "ends"),
    [
        ("minute", "UTC", moment("11-25 17:29"), None),
        (
            "day",
            "Asia/Kolkata",
            moment("11-24 18:30"),
            moment("11-25 18:30"),
        ),
        ("week", "UTC", moment("11-23 00:00"), moment("11-30 00:00")),
        (
            "month",
            "Europe/Berlin",
            moment("10-31 23:00"),
            moment("11-30 23:00"),
        ),
        ("total", "UTC", None, None),
    ],
)
def test_what_counts_now_is_the_window_that_holds_the_moment(
    window: str, time_zone: str, since: datetime | None, ends: datetime | None
) -> None:
    span = span_now(window, time_zone, None, NOW)
    assert (span.since, span.ends) == (since, ends)


@pytest.mark.parametrize("window", ["minute", "day", "total"])
def test_nothing_counts_from_before_a_reset(window: str) -> None:
    reset = NOW - timedelta(seconds=5)
    assert span_now(window, "UTC", reset, NOW).since == reset
    long_ago = NOW - timedelta(days=400)
    assert span_now(window, "UTC", long_ago, NOW).since == (
        long_ago if window == "total" else span_now(window, "UTC", None, NOW).since
    )


@pytest.mark.parametrize(
    ("used", "amount", "tone", "width"),
    [
        (0, 10, "good", 0),
        (79, 100, "good", 79),
        (8, 10, "warn", 80),
        (10, 10, "bad", 100),
        (30, 10, "bad", 100),
    ],
)
def test_a_bar_is_coloured_by_how_full_it_is(used: int, amount: int, tone: str, width: float) -> None:
    fill = Fill(used, amount)
    assert (fill.tone, fill.width) == (tone, width)


def test_a_limit_of_nothing_is_full() -> None:
    assert Fill(0, 0).tone == "bad"


# --- the bars of a page ------------------------------------------------------------------------


@pytest.fixture
def alice(db: None) -> ApiKey:
    return issue("alice", team=Team.objects.create(name="ops"))[0]


def used_by(key: ApiKey, number: int, **fields: object) -> None:
    asked(number, 5, key=key.name, key_id=key.public_id, team="ops", **fields)


def bars(client: Client, *limits: Limit, whole: bool = False) -> list[str]:
    query = [*(("id", str(limit.pk)) for limit in limits), *([("whole", "1")] if whole else [])]
    told = client.get(f"/admin/limits/used/?{urlencode(query)}").json()
    return [re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", told[str(limit.pk)])).strip() for limit in limits]


def test_bars_are_told_of_all_limits_of_a_page_at_once(admin_client: Client, alice: ApiKey) -> None:
    used_by(alice, 3, prompt_tokens=100, completion_tokens=50, cost_nano=10**9)
    Limit.objects.create(metric="requests", amount=1)
    of = [
        Limit.objects.create(key=alice, metric="requests", amount=4, window="total"),
        Limit.objects.create(team=alice.team, metric="tokens", amount=500, window="hour"),
        Limit.objects.create(metric="cost", amount=3 * 10**9, window="total"),
        Limit.objects.create(metric="parallel", amount=3, window=""),
        Limit.objects.create(metric="requests", amount=3, window="day", each_end_user=True),
    ]
    assert bars(admin_client, *of) == [
        "75 % does not reset by itself",
        "90 % of the last hour",
        "100 % does not reset by itself",
        "-",
        "-",
    ]


def test_the_bar_of_a_limits_own_page_says_how_much_it_is(admin_client: Client, alice: ApiKey) -> None:
    used_by(alice, 2, cost_nano=1_250_000_000)
    limit = Limit.objects.create(key=alice, metric="cost", amount=10 * 10**9, window="total")
    assert bars(admin_client, limit, whole=True) == ["$2.50 of $10, 25 % does not reset by itself"]


def test_a_calendar_window_resets_in_its_own_time_zone(admin_client: Client, alice: ApiKey) -> None:
    limit = Limit.objects.create(
        key=alice, metric="requests", amount=9, window="day", time_zone="Asia/Kolkata"
    )
    assert re.fullmatch(r"0 % resets \d+ \w{3} 00:00 IST", bars(admin_client, limit)[0])


def test_a_reset_empties_the_bar(admin_client: Client, alice: ApiKey) -> None:
    used_by(alice, 3)
    limit = Limit.objects.create(key=alice, metric="requests", amount=4, window="total")
    admin_client.post("/admin/keys/limit/reset/", {"limit": [str(limit.pk)]})
    assert bars(admin_client, limit) == ["0 % does not reset by itself"]


def test_of_a_limit_for_each_end_user_the_fullest_are_told(admin_client: Client, alice: ApiKey) -> None:
    for name, number in (("bob", 3), ("carol", 5), ("dave", 9)):
        used_by(alice, number, end_user=name)
    roll_up()
    # who has limits of their own is not held by the one for each
    Limit.objects.create(end_user=EndUser.objects.get(name="dave"), metric="requests", amount=100)
    limit = Limit.objects.create(key=alice, metric="requests", amount=10, window="total", each_end_user=True)
    assert bars(admin_client, limit, whole=True) == [
        "carol 5 of 10, 50 % bob 3 of 10, 30 % the fullest end users; does not reset by itself"
    ]


def test_nobody_used_anything_of_a_limit_for_each(admin_client: Client, alice: ApiKey) -> None:
    day(end_user="bob", key_id="id-of-another")
    limit = Limit.objects.create(key=alice, metric="requests", amount=10, window="total", each_end_user=True)
    told = bars(admin_client, limit, whole=True)
    assert told == ["no end user used anything of it; does not reset by itself"]


def test_names_of_end_users_are_shown_as_text(admin_client: Client, alice: ApiKey) -> None:
    used_by(alice, 1, end_user="<b>bob</b>")
    roll_up()
    limit = Limit.objects.create(metric="requests", amount=10, window="total", each_end_user=True)
    answer = admin_client.get(f"/admin/limits/used/?id={limit.pk}&whole=1")
    assert "<b>" not in answer.json()[str(limit.pk)]
    assert "&lt;b&gt;" in answer.json()[str(limit.pk)]


def test_bars_are_for_those_who_may_see_limits(client: Client, alice: ApiKey) -> None:
    limit = Limit.objects.create(metric="requests", amount=10, window="total")
    carol = User.objects.create_user("carol", is_staff=True)
    client.force_login(carol)
    assert client.get("/admin/limits/used/", {"id": limit.pk}).status_code == 403
    carol.user_permissions.add(Permission.objects.get(codename="view_limit"))
    assert str(limit.pk) in client.get("/admin/limits/used/", {"id": limit.pk}).json()


def test_what_is_no_limit_has_no_bar(admin_client: Client) -> None:
    assert admin_client.get(f"/admin/limits/used/?id=x&id=99999&id=-1&id={10**40}").json() == {}
