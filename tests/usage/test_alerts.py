"""People are told once that a limit fills up, by mail and webhook, whoever looks and whatever fails."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connections

from gateway.celery import app
from keys.issuing import issue
from keys.models import ApiKey, EndUser, Limit, Member, Team
from tests.services import free_port
from tests.usage.mailroom import Mailbox, Sink, mail_server, webhook_sink
from tests.usage.rows import settled
from tests.usage.tallies import NOON
from usage import alerts, ledger, tasks
from usage.models import LimitAlert

LATER = NOON + timedelta(minutes=5)


@pytest.fixture
def mailbox(settings: LazySettings) -> Iterator[Mailbox]:
    with mail_server() as box:
        settings.EMAIL_URL = "smtp://127.0.0.1"
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", box.port
        settings.ALERT_FROM = "switchyard@example.com"
        settings.ALERT_EMAILS = ["ops@example.com"]
        yield box


@pytest.fixture
def sink(settings: LazySettings) -> Iterator[Sink]:
    with webhook_sink() as there:
        settings.ALLOWED_PRIVATE_UPSTREAMS = ["127.0.0.1"]
        settings.ALERT_WEBHOOK_URL = there.url
        yield there


@pytest.fixture
def alice(ledger_db: str) -> ApiKey:
    return issue("alice")[0]


def daily(key: ApiKey | None, amount: int = 10, **values: Any) -> Limit:
    given = {"metric": "requests", "window": "day", **values}
    return Limit.objects.create(key=key, amount=amount, **given)


def use(key: ApiKey, count: int = 1, at: datetime = NOON, **values: Any) -> None:
    ledger.write([settled(key.name, key_id=key.public_id, at=at, **values) for _ in range(count)])


def told() -> list[int]:
    """The thresholds that people were told of; others were noticed only."""
    rows = LimitAlert.objects.exclude(mailed_at=None, posted_at=None).order_by("pk")
    return [row.percent for row in rows]


def test_each_threshold_is_told_once_as_it_is_crossed(alice: ApiKey, mailbox: Mailbox, sink: Sink) -> None:
    daily(alice)
    for used, subjects in [(4, 0), (1, 1), (2, 1), (1, 2), (1, 2), (1, 3), (5, 3)]:
        use(alice, used)
        for _ in range(2):
            alerts.watch(LATER)
        assert len(mailbox.messages) == len(sink.bodies) == subjects
    assert [body["percent"] for body in sink.bodies] == [50, 80, 100]
    assert mailbox.messages[1]["subject"] == "Switchyard: 80 % of 10 requests per day used by key 'alice'"


def test_of_several_crossed_at_once_the_highest_is_told(alice: ApiKey, mailbox: Mailbox, sink: Sink) -> None:
    daily(alice)
    use(alice, 11)
    alerts.watch(LATER)
    alerts.watch(LATER + timedelta(hours=2))
    assert [body["percent"] for body in sink.bodies] == [100]
    assert len(mailbox.messages) == 1
    assert sorted(LimitAlert.objects.values_list("percent", flat=True)) == [50, 80, 100]
    assert not LimitAlert.objects.filter(told_at=None).exists()


def test_a_webhook_gets_what_it_needs_to_decide(alice: ApiKey, sink: Sink) -> None:
    limit = daily(alice, 2 * 10**9, metric="cost", time_zone="Asia/Kolkata")
    use(alice, cost_nano=1_700_000_000)
    alerts.watch(LATER)
    [body] = sink.bodies
    assert body == {
        "id": str(LimitAlert.objects.get(percent=80).pk),
        "event": "limit_threshold",
        "text": "80 % of $2 per day used by key 'alice'",
        "limit": limit.pk,
        "holder": "key 'alice'",
        "model": None,
        "metric": "cost",
        "window": "day",
        "window_start": "2026-11-02T18:30:00Z",
        "percent": 80,
        "used": 1_700_000_000,
        "amount": 2_000_000_000,
        "resets_at": "2026-11-03T18:30:00Z",
    }


def test_operators_the_team_and_the_member_are_told_each_once(alice: ApiKey, mailbox: Mailbox) -> None:
    team = Team.objects.create(name="readers", alert_emails="lead@example.com, OPS@example.com, nonsense")
    alice.team, alice.member = team, Member.objects.create(team=team, name="Alice", email="alice@example.com")
    alice.save()
    daily(alice)
    use(alice, 5)
    alerts.watch(LATER)
    [recipients] = mailbox.recipients
    assert sorted(map(str.lower, recipients)) == ["alice@example.com", "lead@example.com", "ops@example.com"]


def test_the_mail_says_how_full_it_is_and_when_it_starts_anew(alice: ApiKey, mailbox: Mailbox) -> None:
    daily(alice)
    use(alice, 9)
    alerts.watch(LATER)
    text = mailbox.messages[0].get_content()
    assert "Key 'alice' has used 9 of 10 requests per day." in text
    assert "Starts anew: 2026-11-04 00:00 UTC" in text


def test_two_who_look_at_once_tell_once(alice: ApiKey, mailbox: Mailbox, sink: Sink) -> None:
    for amount in (10, 11, 12):
        daily(alice, amount)
    use(alice, 20)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(_watch_apart, range(3)))
    assert sorted(body["amount"] for body in sink.bodies) == [10, 11, 12]
    assert len(mailbox.messages) == 3


def test_a_mail_server_that_fails_is_asked_again_and_the_webhook_is_not(
    alice: ApiKey, mailbox: Mailbox, sink: Sink
) -> None:
    daily(alice)
    use(alice, 5)
    mailbox.refusing = True
    alerts.watch(LATER)
    alerts.watch(LATER + timedelta(seconds=30))
    row = LimitAlert.objects.get()
    assert (row.tries, row.told_at, row.mailed_at) == (1, None, None)
    assert row.problem.startswith("e-mail: SMTP")
    mailbox.refusing = False
    alerts.watch(LATER + timedelta(minutes=2))
    row.refresh_from_db()
    assert (row.tries, row.problem, len(mailbox.messages), len(sink.bodies)) == (2, "", 1, 1)
    assert row.told_at is not None


def test_a_webhook_that_is_down_keeps_no_mail_from_its_readers(
    alice: ApiKey, mailbox: Mailbox, sink: Sink, settings: LazySettings
) -> None:
    settings.ALERT_WEBHOOK_URL = f"http://127.0.0.1:{free_port()}/hooks/secret"
    daily(alice)
    use(alice, 5)
    alerts.watch(LATER)
    row = LimitAlert.objects.get()
    assert row.problem.startswith("webhook: ConnectError")
    settings.ALERT_WEBHOOK_URL = sink.url
    alerts.watch(LATER + timedelta(minutes=2))
    assert (len(mailbox.messages), len(sink.bodies)) == (1, 1)


def test_after_a_day_it_is_given_up(alice: ApiKey, sink: Sink) -> None:
    sink.status = 500
    daily(alice)
    use(alice, 5)
    for hours in range(27):
        alerts.tell(LATER + timedelta(hours=hours))
        alerts.notice(Limit.objects.get(), LATER)
    before = len(sink.bodies)
    alerts.tell(LATER + timedelta(days=3))
    assert len(sink.bodies) == before
    row = LimitAlert.objects.get()
    assert (row.told_at, row.next_try_at, row.problem) == (None, None, "webhook: it answered 500")


def test_the_next_day_is_told_anew(alice: ApiKey, sink: Sink) -> None:
    daily(alice)
    use(alice, 5)
    alerts.watch(LATER)
    use(alice, 5, at=NOON + timedelta(days=1))
    alerts.watch(LATER + timedelta(days=1))
    assert [body["window_start"] for body in sink.bodies] == ["2026-11-03T00:00:00Z", "2026-11-04T00:00:00Z"]


def test_what_was_used_before_a_reset_is_not_told(alice: ApiKey, sink: Sink) -> None:
    limit = daily(alice, window="total")
    use(alice, 9)
    alerts.watch(LATER)
    limit.reset_at = LATER + timedelta(minutes=1)
    limit.save()
    alerts.watch(LATER + timedelta(minutes=2))
    assert told() == [80]
    use(alice, 8, at=LATER + timedelta(minutes=2))
    alerts.watch(LATER + timedelta(minutes=3))
    assert [(body["percent"], body["window_start"]) for body in sink.bodies] == [
        (80, None),
        (80, "2026-11-03T12:06:00Z"),
    ]


def test_an_amount_that_was_raised_fills_up_anew(alice: ApiKey, sink: Sink) -> None:
    limit = daily(alice)
    use(alice, 9)
    alerts.watch(LATER)
    limit.amount = 30
    limit.save()
    alerts.watch(LATER)
    assert told() == [80]
    use(alice, 6)
    alerts.watch(LATER)
    assert [body["percent"] for body in sink.bodies] == [80, 50]


@pytest.mark.parametrize(
    "values",
    [
        {"mode": "shadow"},
        {"alerts": False},
        {"window": "hour"},
        {"metric": "parallel", "window": ""},
        {"each_end_user": True},
        {"amount": 0},
    ],
    ids=str,
)
def test_limits_that_refuse_nothing_for_long_are_not_told(
    alice: ApiKey, sink: Sink, values: dict[str, Any]
) -> None:
    daily(alice, **values)
    use(alice, 20)
    alerts.watch(LATER)
    assert sink.bodies == []


def test_limits_of_everyone_a_team_and_an_end_user_are_told_too(alice: ApiKey, sink: Sink) -> None:
    daily(None)
    daily(None, team=Team.objects.create(name="readers"))
    daily(None, end_user=EndUser.objects.create(name="bob"))
    use(alice, 5, end_user="bob")
    alerts.watch(LATER)
    assert sorted(body["holder"] for body in sink.bodies) == ["end user 'bob'", "everyone", "team 'readers'"]


def test_with_nobody_to_tell_it_is_noticed_all_the_same(alice: ApiKey) -> None:
    daily(alice)
    use(alice, 5)
    alerts.watch(LATER)
    row = LimitAlert.objects.get()
    assert (row.percent, row.mailed_at, row.posted_at) == (50, None, None)
    assert row.told_at is not None


def test_a_key_that_is_idle_costs_no_look_at_the_ledger(
    alice: ApiKey, django_assert_max_num_queries: Any
) -> None:
    use(alice, 9, at=NOON - timedelta(days=3))
    daily(alice)
    with django_assert_max_num_queries(2):
        alerts.watch(LATER)


def test_past_windows_are_forgotten_and_totals_are_not(alice: ApiKey, sink: Sink) -> None:
    daily(alice)
    daily(alice, window="total")
    use(alice, 5)
    alerts.watch(LATER)
    alerts.forget(0, LATER + timedelta(days=9999))
    alerts.forget(30, LATER + timedelta(days=29))
    assert LimitAlert.objects.count() == 2
    alerts.forget(30, LATER + timedelta(days=31))
    assert LimitAlert.objects.get().limit.window == "total"


def test_it_is_looked_at_twice_a_minute(alice: ApiKey, sink: Sink) -> None:
    now = datetime.now(UTC)
    daily(alice, window="total")
    use(alice, 5, at=now)
    tasks.watch_limits()
    assert len(sink.bodies) == 1
    schedule = app.conf.beat_schedule["watch-limits"]
    assert (schedule["task"], schedule["schedule"]) == (tasks.watch_limits.name, 30.0)


def _watch_apart(_: int) -> None:
    try:
        alerts.watch(LATER)
    finally:
        connections.close_all()
