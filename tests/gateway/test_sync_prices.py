"""`sync_prices`: what genai-prices lists for our deployments, without touching what was set by hand."""

from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from genai_prices.types import ClauseEquals, ModelInfo, ModelPrice
from genai_prices.types import Provider as Listed

from gateway.management.commands import sync_prices
from providers.models import Deployment, Model, Price
from tests.gateway.furnished import deployment, provider

pytestmark = pytest.mark.django_db


def lists(name: str, **models: str) -> Listed:
    """A provider as the package lists it, each model with its input price."""
    infos = [
        ModelInfo(id=model, match=ClauseEquals(equals=model), prices=ModelPrice(input_mtok=Decimal(price)))
        for model, price in models.items()
    ]
    return Listed(id=name, name=name, api_pattern="", models=infos)


@pytest.fixture
def llm() -> Model:
    return Model.objects.create(name="llm")


@pytest.fixture(autouse=True)
def listed(monkeypatch: pytest.MonkeyPatch) -> list[Listed]:
    """What the installed package says; a test may change it."""
    found = [lists("openai", four="2.5", five="1.25"), lists("x-ai", grok="3")]
    monkeypatch.setattr(sync_prices, "listed_providers", found)
    return found


@pytest.fixture
def deployments(llm: Model) -> list[Deployment]:
    openai, xai = provider(), provider("xAI", kind="xai", base_url="https://api.x.ai/v1")
    return [
        deployment("a", openai, llm, upstream_model="Four"),
        deployment("b", xai, llm, upstream_model="grok"),
        deployment("c", openai, llm, upstream_model="unheard-of"),
    ]


def run(*flags: str) -> str:
    out = StringIO()
    call_command("sync_prices", *flags, stdout=out)
    return out.getvalue()


def rows() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in Price.objects.order_by("effective_from"):
        found.setdefault(row.subject, []).append(f"{row.input.normalize():f} {row.source}")
    return found


def test_our_deployments_get_their_prices_and_nothing_else(deployments: list[Deployment]) -> None:
    text = run()
    assert rows() == {"openai/Four": ["2.5 sync"], "xai/grok": ["3 sync"]}
    assert "2 matched: 2 new, 0 changed, 0 same, 0 kept" in text
    assert "openai/unheard-of: unmatched" in text


def test_the_same_prices_again_change_nothing(deployments: list[Deployment]) -> None:
    run()
    assert "2 matched: 0 new, 0 changed, 2 same, 0 kept" in run()
    assert Price.objects.count() == 2


def test_a_new_price_holds_from_now_on(deployments: list[Deployment], listed: list[Listed]) -> None:
    run()
    listed[0] = lists("openai", four="2")
    before = datetime.now(UTC)
    assert "openai/Four: changed, $2 / $0 was $2.5 / $0" in run()
    assert rows()["openai/Four"] == ["2.5 sync", "2 sync"]
    assert Price.objects.latest("effective_from").effective_from >= before


@pytest.mark.parametrize("source", [Price.Source.ADMIN, Price.Source.FILE])
def test_a_price_set_by_hand_is_kept(deployments: list[Deployment], source: Price.Source) -> None:
    Price.objects.create(kind="openai", upstream_model="Four", input=Decimal(1), source=source)
    assert "openai/Four: kept, $2.5 / $0 not taken: set by hand to $1 / $0" in run()
    assert rows()["openai/Four"] == [f"1 {source.value}"]


def test_a_deployments_own_price_is_not_touched(deployments: list[Deployment]) -> None:
    Price.objects.create(deployment=deployments[0], input=Decimal(9))
    run()
    assert rows()["a"] == ["9 admin"]


def test_one_provider_can_be_chosen(deployments: list[Deployment]) -> None:
    run("--provider", "xAI")
    assert list(rows()) == ["xai/grok"]
    with pytest.raises(CommandError, match="there is no provider 'xIA'"):
        run("--provider", "xIA")


def test_a_dry_run_changes_nothing(deployments: list[Deployment]) -> None:
    assert "2 new" in run("--dry-run")
    assert not Price.objects.exists()


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync_prices, "listed_providers", [])
    with pytest.raises(CommandError, match="pip install genai-prices"):
        run()


def test_the_real_package_knows_common_models(llm: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    deployment("a", provider(), llm, upstream_model="gpt-4o-mini")
    run()
    row = Price.objects.get()
    assert (row.upstream_model, Decimal(0) < row.input < Decimal(1)) == ("gpt-4o-mini", True)
