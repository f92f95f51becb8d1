"""Amounts as people write them, and which price holds when."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction
from hypothesis import given
from hypothesis import strategies as st

from providers.changes import ConfigVersion
from providers.models import Deployment, Model, Price, Provider
from providers.price_book import timelines, with_price, without_price
from providers.prices import (
    BadPrice,
    Charges,
    PriceList,
    Rates,
    amount,
    charges_of_text,
    in_effect,
    plain_text,
    read_tiers,
    timeline,
)
from providers.snapshot import load

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def at(moment: int, id: int = 0) -> PriceList:
    return PriceList(id, Rates(), effective_from=moment)


def test_the_latest_price_that_has_begun_holds() -> None:
    prices = [at(10, 1), at(20, 2), at(30, 3)]
    assert [price and price.id for price in (in_effect(prices, t) for t in (9, 10, 19, 20, 99))] == [
        None,
        1,
        1,
        2,
        3,
    ]


def test_a_price_of_its_own_wins_from_when_it_begins() -> None:
    prices = timeline([at(20, 2)], [at(30, 3), at(10, 1)])
    assert [price.id for price in prices] == [1, 2]


@pytest.mark.parametrize(
    ("given", "scale", "dollars"),
    [
        (1.5e-07, 10**6, "0.15"),
        ("1.5e-07", 10**6, "0.15"),
        (Decimal("3.75e-8"), 10**6, "0.0375"),
        (7, 1, "7"),
        (0, 10**6, "0"),
        ("0.0000000005", 1, "0.000000001"),
    ],
)
def test_amounts_are_read_exactly(given: object, scale: int, dollars: str) -> None:
    assert plain_text(amount(given, scale)) == dollars


@pytest.mark.parametrize(
    "value", [-1, "-0.1", "", "free", None, True, [], "NaN", "Infinity", float("nan"), "1e400", 10**7, "1e6"]
)
def test_what_is_no_price_is_refused(value: object) -> None:
    with pytest.raises(BadPrice):
        amount(value)


@given(st.decimals(0, 999_999, places=9))
def test_amounts_survive_being_written(value: Decimal) -> None:
    assert amount(plain_text(value)) == value


@pytest.mark.parametrize(
    "tiers",
    [
        {},
        ["x"],
        [{"input": 1}],
        [{"above": -1}],
        [{"above": True}],
        [{"above": 1.5}],
        [{"above": 1}, {"above": 1}],
        [{"above": 1, "inptu": 1}],
        [{"above": 1, "input": "x"}],
    ],
)
def test_tiers_that_are_none_are_refused(tiers: object) -> None:
    with pytest.raises(BadPrice):
        read_tiers(tiers)


def test_charges_survive_being_written() -> None:
    charges = Charges(
        Decimal("0.15"), Decimal("2.5"), cached_input=Decimal(0), tiers=((200, {"input": Decimal("0.3")}),)
    )
    text = charges.as_text()
    assert (text["input"], text["cached_input"], text["cache_write"]) == ("0.15", "0", None)
    assert charges_of_text(text) == charges


def test_what_a_tier_leaves_out_is_as_below_it() -> None:
    charges = Charges(
        Decimal(1), Decimal(2), cached_input=Decimal("0.5"), tiers=((9, {"input": Decimal(4)}),)
    )
    assert charges.price_list(1, 0).rates_for(10) == Rates(4 * 10**9, 2 * 10**9, cached_input=5 * 10**8)


# --- in the database ---------------------------------------------------------------------------


@pytest.fixture
def alice(db: None) -> Deployment:
    provider = Provider.objects.create(name="OpenAI", base_url="https://api.openai.com/v1")
    model = Model.objects.create(name="llm")
    return Deployment.objects.create(name="a", model=model, provider=provider, upstream_model="gpt-4o")


def general(**fields: object) -> Price:
    return Price.objects.create(
        **{"kind": "openai", "upstream_model": "gpt-4o", "effective_from": NOW} | fields
    )


def own(deployment: Deployment, **fields: object) -> Price:
    return Price.objects.create(**{"deployment": deployment, "effective_from": NOW} | fields)


def priced(deployment: Deployment) -> list[int]:
    return [price.id for price in timelines([deployment])[deployment.pk]]


def test_a_deployment_has_the_prices_of_its_kind_and_model(alice: Deployment) -> None:
    first, second = general(), general(effective_from=NOW + timedelta(1))
    general(kind="groq")
    general(upstream_model="gpt-5")
    assert priced(alice) == [first.pk, second.pk]


def test_its_own_prices_win(alice: Deployment) -> None:
    old, _ = general(effective_from=NOW - timedelta(9)), general(effective_from=NOW + timedelta(1))
    mine = own(alice)
    assert priced(alice) == [old.pk, mine.pk]


def test_the_database_gives_back_every_digit(alice: Deployment) -> None:
    row = own(alice, input=Decimal("999999.123456789"), output=Decimal("0.000000001"))
    row.refresh_from_db()
    assert row.price_list().rates == Rates(input=999_999_123_456_789, output=1)


def test_a_price_begins_at_its_millisecond(alice: Deployment) -> None:
    row = own(alice, effective_from=datetime(2026, 1, 1, microsecond=123_000, tzinfo=UTC))
    assert row.price_list().effective_from % 1000 == 123


@pytest.mark.parametrize("fields", [{}, {"kind": "openai"}, {"upstream_model": "m"}])
def test_a_price_of_nothing_is_refused(alice: Deployment, fields: dict[str, str]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Price.objects.create(**fields)


def test_two_prices_cannot_begin_at_once(alice: Deployment) -> None:
    general()
    own(alice)
    with pytest.raises(IntegrityError), transaction.atomic():
        general()
    with pytest.raises(IntegrityError), transaction.atomic():
        own(alice)


def test_deployments_without_a_price_that_holds_are_found(alice: Deployment) -> None:
    rows = Deployment.objects.all()
    general(effective_from=datetime.now(UTC) + timedelta(1))
    assert list(without_price(rows)) == [alice]
    own(alice, effective_from=datetime.now(UTC) - timedelta(1))
    assert (list(without_price(rows)), list(with_price(rows))) == ([], [alice])


def test_the_snapshot_follows_a_new_price(alice: Deployment) -> None:
    assert load().models["llm"].targets[alice.pk].prices == ()
    before = ConfigVersion.current()
    row = general(input=Decimal("2.5"))
    assert ConfigVersion.current() > before
    [price] = load().models["llm"].targets[alice.pk].prices
    assert (price.id, price.rates.input) == (row.pk, 2_500_000_000)


def test_a_price_that_cannot_be_read_does_not_stop_the_others(alice: Deployment) -> None:
    general(tiers=[{"above": "many"}])
    good = general(effective_from=NOW + timedelta(1))
    assert priced(alice) == [good.pk]
