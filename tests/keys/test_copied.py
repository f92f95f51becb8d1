"""A copy of keys says of each what the database says, and asks the database nothing."""

from datetime import timedelta

import msgspec
import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from keys import directory
from keys.copied import CopiedKeys, KeyTables, read_tables
from keys.entries import Entry, Standing
from keys.issuing import issue
from keys.models import ApiKey, EndUser, Limit, Team
from providers.models import Deployment, Model, Provider

pytestmark = pytest.mark.django_db


def copied(more: set[int] = frozenset()) -> CopiedKeys:  # type: ignore[assignment]
    written = msgspec.json.encode(read_tables(more))
    return CopiedKeys(msgspec.json.decode(written, type=KeyTables), frozenset())


def in_database(text: str) -> Entry:
    loaded = directory._load(text)
    assert loaded is not None
    return loaded.entry


def used(days_ago: float, name: str = "alice") -> str:
    _, text = issue(name)
    ApiKey.objects.filter(name=name).update(last_used_at=timezone.now() - timedelta(days=days_ago))
    return text


def furnish() -> list[str]:
    """Keys with rights and limits of every kind."""
    acme = Provider.objects.create(name="Acme", base_url="https://llm.example")
    llm, other = (Model.objects.create(name=name) for name in ("llm", "other"))
    deployment = Deployment.objects.create(name="llm/a", model=llm, provider=acme, upstream_model="m")
    team = Team.objects.create(name="Research", keep_exchanges=True, exchange_days=3)
    sales = Team.objects.create(name="Sales")
    bob = EndUser.objects.create(name="bob")
    alice, a = issue("alice", team=team, models=[llm, other], expires_at=timezone.now() + timedelta(days=1))
    alice.end_user_header, alice.max_end_users, alice.without_redis = "X-User", 7, "closed"
    alice.save()
    _, b = issue("berta", team=sales)
    carol, c = issue("carol", models=[])
    carol.enabled = False
    carol.save()
    _, d = issue("another make", text="sk-litellm-master-key", is_admin=True)
    Limit.objects.create(key=carol, metric="requests", amount=1, window="day", time_zone="Asia/Tokyo")
    Limit.objects.create(key=alice, metric="tokens", amount=2, model=llm, reset_at=timezone.now())
    Limit.objects.create(team=team, metric="cost", amount=3, window="month", each_end_user=True)
    Limit.objects.create(metric="requests", amount=4, mode="shadow", model=other)
    Limit.objects.create(end_user=bob, metric="requests", amount=5, model=llm)
    Limit.objects.create(deployment=deployment, metric="requests", amount=6)
    return [a, b, c, d]


def test_every_key_has_the_same_entry(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    texts = furnish()
    entries = [in_database(text) for text in texts]
    keys = copied()
    with django_assert_num_queries(0):
        assert [keys.find(text) for text in texts] == entries
    assert [len(entry.rules) for entry in entries] == [3, 1, 2, 1]


def test_limits_that_belong_to_no_key_are_the_same() -> None:
    furnish()
    keys = copied()
    assert keys.standing == directory._standing()
    assert keys.standing != Standing({}, {})


def test_a_wrong_secret_or_an_unknown_key_finds_nothing() -> None:
    furnish()
    _, text = issue("dora")
    assert copied().find(text[:-1] + "0") is None
    assert copied().find("sk-nobody") is None


def test_the_copy_has_no_key_in_it() -> None:
    texts = furnish()
    written = msgspec.json.encode(read_tables())
    secrets = [text.rpartition("-")[2] if text.startswith("sk-sy-") else text for text in texts]
    assert not [secret for secret in secrets if secret[:30].encode() in written]


def test_keys_that_were_not_used_for_long_are_not_in_it() -> None:
    new = issue("new")[1]
    lately, long_ago = used(29), used(31, "bob")
    made_long_ago = issue("carol")[1]
    ApiKey.objects.filter(name="carol").update(created_at=timezone.now() - timedelta(days=31))
    keys = copied()
    found = [keys.find(text) is not None for text in (new, lately, long_ago, made_long_ago)]
    assert found == [True, True, False, False]


def test_one_that_is_in_use_again_can_be_asked_for() -> None:
    text = used(31)
    loaded = directory._load(text)
    assert loaded is not None
    assert loaded.idle
    assert copied({loaded.entry.pk}).find(text) == loaded.entry


def test_one_that_is_used_all_the_time_is_not_idle() -> None:
    loaded = directory._load(used(27))
    assert loaded is not None
    assert not loaded.idle


def test_reading_takes_the_same_number_of_queries_however_many_keys(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    furnish()
    for number in range(20):
        Limit.objects.create(key=issue(f"key {number}")[0], metric="requests", amount=1)
    with django_assert_num_queries(7):
        tables = read_tables()
    assert len(tables.keys.rows) == 24
