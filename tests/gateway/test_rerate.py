"""`rerate`: history is rated with the prices that held then, once, and the old costs are kept."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client
from django.urls import reverse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from providers.models import Deployment, Model, Price
from tests.gateway.furnished import deployment, provider
from tests.usage.rows import settled
from usage import ledger, rerating
from usage.models import Attempt, DirtyHour, HourlyUsage, RatedBefore, Rerating
from usage.records import Settled
from usage.rerating import Span, rerate
from usage.rollup import roll_up

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 3, 12, tzinfo=UTC)
SINCE = "2026-11-03"


@pytest.fixture
def llm() -> Deployment:
    return deployment("llm-a", provider(), Model.objects.create(name="llm"))


def price(dollars: str = "1", at: datetime = NOON - timedelta(days=9), **fields: Any) -> Price:
    given = {"kind": "openai", "upstream_model": "gpt-4o"} | fields
    return Price.objects.create(input=Decimal(dollars), effective_from=at, **given)


def write(*minutes: int, **fields: Any) -> list[Settled]:
    """Attempts of 1000 tokens each, so many minutes after noon."""
    usual: dict[str, Any] = {"prompt_tokens": 1000, "completion_tokens": 0}
    rows = [settled(at=NOON + timedelta(minutes=minute), **(usual | fields)) for minute in minutes]
    ledger.write(rows)
    return rows


def run(*flags: str, model: str = "llm", since: str = SINCE) -> str:
    out = StringIO()
    call_command("rerate", "--model", model, "--since", since, *flags, stdout=out)
    return out.getvalue()


def costs() -> list[int]:
    return list(Attempt.objects.order_by("attempt_id").values_list("cost_nano", flat=True))


def test_each_attempt_is_rated_with_the_price_of_its_time(llm: Deployment) -> None:
    first, second = price("1"), price("2", NOON + timedelta(minutes=5))
    write(1, 4, 5, 9)
    assert "llm: 4 attempts, 4 changed; cost $0.00 -> $0.006" in run()
    assert costs() == [1_000_000, 1_000_000, 2_000_000, 2_000_000]
    assert list(Attempt.objects.order_by("attempt_id").values_list("price_id", "priced")) == [
        (first.pk, True),
        (first.pk, True),
        (second.pk, True),
        (second.pk, True),
    ]


def test_attempts_at_a_wildcard_are_rated_by_the_model_that_was_asked() -> None:
    deployment("any", provider(), Model.objects.create(name="openai/*"), upstream_model="*")
    price("1", upstream_model="gpt-4o")
    price("2", upstream_model="gpt-5")
    for upstream_model in ("gpt-4o", "gpt-5", "unknown"):
        write(1, model="openai/*", deployment="any", upstream_model=upstream_model)
    run(model="openai/*")
    assert sorted(costs()) == [0, 1_000_000, 2_000_000]


def test_the_old_cost_is_kept_and_the_run_audited(llm: Deployment) -> None:
    new = price("3")
    rows = write(1, cost_nano=7, priced=True, price_id=new.pk + 1)
    run()
    audit = Rerating.objects.get()
    kept = RatedBefore.objects.get()
    assert (kept.attempt_id, kept.cost_nano, kept.price_id) == (rows[0].attempt_id, 7, new.pk + 1)
    assert (audit.rows, audit.changed, audit.cost_before, audit.cost_after) == (1, 1, 7, 3_000_000)
    assert audit.who
    assert audit.finished_at is not None


def test_the_console_shows_who_rated_what_and_the_old_cost(admin_client: Client, llm: Deployment) -> None:
    price("1", NOON)
    (row,) = write(1)
    run()
    audit = Rerating.objects.get()
    listed = admin_client.get(reverse("admin:usage_rerating_changelist")).text
    shown = admin_client.get(reverse("admin:usage_rerating_change", args=[audit.pk])).text
    of_row = admin_client.get(reverse("admin:usage_attempt_change", args=[row.attempt_id])).text
    assert "$0.00 → $0.001" in listed
    assert audit.who in listed
    assert str(row.attempt_id) in shown
    assert f"rerating {audit.pk}" in of_row


def test_the_console_lists_an_unfinished_run_and_changes_none(admin_client: Client) -> None:
    audit = Rerating.objects.create(who="alice", model="llm", since=NOON, until=NOON, config_version=1)
    page = reverse("admin:usage_rerating_change", args=[audit.pk])
    assert "unfinished" in admin_client.get(reverse("admin:usage_rerating_changelist")).text
    assert admin_client.post(page, {}).status_code == 403


def test_a_model_that_nobody_knows_is_an_error(llm: Deployment) -> None:
    with pytest.raises(CommandError, match=r"there is no model 'llmm' .*did you mean llm"):
        run(model="llmm")
    assert not Rerating.objects.exists()


def test_the_attempts_of_a_model_that_was_deleted_are_rated(llm: Deployment) -> None:
    write(1, model="gone")
    assert "gone: 1 attempts, 0 changed" in run(model="gone")


def test_rating_twice_changes_nothing(llm: Deployment) -> None:
    price()
    write(1, 2, 3)
    run()
    before = costs()
    assert "3 attempts, 0 changed" in run()
    assert (costs(), RatedBefore.objects.count()) == (before, 3)


def test_roll_ups_follow(llm: Deployment) -> None:
    write(1, 2, 70)
    roll_up()
    price("1")
    run()
    assert DirtyHour.objects.count() == 2
    roll_up()
    assert sum(HourlyUsage.objects.values_list("cost_nano", flat=True)) == 3_000_000


def test_hours_without_a_change_stay_clean(llm: Deployment) -> None:
    write(1)
    roll_up()
    run()
    assert not DirtyHour.objects.exists()


def test_only_the_model_and_the_time_asked_for_are_touched(llm: Deployment) -> None:
    price()
    write(-60, 0, 30, 60)
    write(1, model="other")
    run("--until", "2026-11-03T13:00:00Z", since="2026-11-03T12:00:00Z")
    assert costs() == [0, 1_000_000, 0, 1_000_000, 0]


def test_a_dry_run_says_what_would_change_and_changes_nothing(llm: Deployment) -> None:
    price()
    write(1, 2)
    assert "2 attempts, 2 would change; cost $0.00 -> $0.002" in run("--dry-run")
    assert costs() == [0, 0]
    assert not Rerating.objects.exists()


def test_a_refused_request_is_not_rated_and_an_interrupted_one_is_by_its_estimate(llm: Deployment) -> None:
    price(per_request=Decimal(1))
    write(1, status="refused", deployment="")
    write(2, status="failed", http_status=500, prompt_tokens=0)
    write(3, status="interrupted", http_status=None, estimated=True)
    assert "2 attempts" in run()
    assert costs() == [0, 0, 1_000_000]


def test_a_deployment_that_is_gone_is_found_by_the_price_it_had(llm: Deployment) -> None:
    known = price("1")
    write(1, price_id=known.pk, priced=True, cost_nano=1_000_000)
    known.input = Decimal(4)
    known.save()
    llm.delete()
    run()
    assert costs() == [4_000_000]


def test_what_nothing_is_known_of_keeps_its_cost(llm: Deployment) -> None:
    write(1, deployment="gone", cost_nano=5, priced=True, price_id=999)
    assert "0 changed, 1 left alone" in run()
    assert costs() == [5]


def test_without_a_price_then_the_cost_goes_and_is_no_longer_priced(llm: Deployment) -> None:
    price("1", NOON + timedelta(hours=1))
    write(1, cost_nano=5, priced=True, price_id=1)
    run()
    assert list(Attempt.objects.values_list("cost_nano", "priced", "price_id")) == [(0, False, None)]


class Killed(BaseException):
    pass


@pytest.fixture
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rerating, "BATCH", 2)


def _killed_after_a_batch(span: Span) -> None:
    def told(tally: rerating.Tally) -> None:
        raise Killed

    with pytest.raises(Killed):
        rerate(span, "alice", told)


SPAN = Span("llm", NOON - timedelta(hours=1))


@pytest.mark.usefixtures("_small_batches")
def test_a_run_that_was_killed_goes_on_where_it_was(llm: Deployment) -> None:
    price()
    write(1, 2, 3, 4, 5)
    _killed_after_a_batch(SPAN)
    assert costs() == [1_000_000] * 2 + [0] * 3
    run = rerate(SPAN, "bob")
    assert (run.rows, run.changed, run.cost_after, Rerating.objects.count()) == (5, 5, 5_000_000, 1)
    assert costs() == [1_000_000] * 5
    assert RatedBefore.objects.count() == 5


@pytest.mark.usefixtures("_small_batches")
def test_after_another_price_it_begins_anew(llm: Deployment) -> None:
    row = price()
    write(1, 2, 3)
    _killed_after_a_batch(SPAN)
    row.input = Decimal(2)
    row.save()
    rerate(SPAN, "bob")
    assert costs() == [2_000_000] * 3
    assert Rerating.objects.filter(finished_at__isnull=True).count() == 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--model", "llm", "--since", "soon"], "--since 'soon' is not an ISO date"),
        (["--model", "llm", "--since", SINCE, "--until", "1"], "--until '1' is not an ISO date"),
        (["--model", "llm", "--since", SINCE, "--until", SINCE], "--until is not after --since"),
    ],
)
def test_a_wrong_time_is_one_clear_line(flags: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        call_command("rerate", *flags)


TOKENS = st.integers(0, 10**6)
RATE = st.decimals(0, 1000, places=9)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(TOKENS, TOKENS, st.integers(0, 59)), max_size=6), st.lists(RATE, max_size=3))
def test_whatever_the_prices_rating_again_changes_nothing(
    llm: Deployment, used: list[tuple[int, int, int]], rates: list[Decimal]
) -> None:
    Attempt.objects.all().delete()
    Price.objects.all().delete()
    for number, rate in enumerate(rates):
        price(str(rate), NOON + timedelta(minutes=20 * number))
    for tokens, cached, minute in used:
        write(minute, prompt_tokens=tokens, cached_tokens=cached)
    span = Span("llm", NOON - timedelta(hours=1), NOON + timedelta(hours=1))
    first = rerate(span, "alice")
    before = costs()
    again = rerate(span, "alice")
    assert (again.changed, costs(), again.cost_before) == (0, before, first.cost_after)
    assert min(before, default=0) >= 0
