import pytest

from providers.models import Deployment, Model, Provider
from providers.readiness import Standing, standings

pytestmark = pytest.mark.django_db


def deploy(name: str, at: Provider | None = None, **fields: object) -> Deployment:
    model, _ = Model.objects.get_or_create(name="llm")
    if at is None:
        at, _ = Provider.objects.get_or_create(name="OpenAI", base_url="https://api.openai.com/v1")
    return Deployment.objects.create(name=name, model=model, provider=at, upstream_model="m", **fields)


def found(*rows: Deployment) -> list[Standing]:
    by_id = standings(rows)
    return [by_id[row.pk] for row in rows]


def test_weights_share_the_first_tier() -> None:
    one, two, later = deploy("1", weight=1), deploy("2", weight=3), deploy("later", priority=1)
    assert [standing.share for standing in found(one, two, later)] == [0.25, 0.75, 0]


def test_the_next_tier_takes_over_when_the_first_cannot_answer() -> None:
    off, later = deploy("off", state="disabled"), deploy("later", priority=1)
    assert found(off, later) == [Standing("disabled"), Standing("active", share=1)]


def test_an_unset_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    nebius = Provider.objects.create(
        name="Nebius", base_url="os.environ/NEBIUS_BASE_URL", secret_reference="NEBIUS_API_KEY"
    )
    row = deploy("n", nebius)
    assert found(row)[0].reason == "NEBIUS_API_KEY and NEBIUS_BASE_URL are not set"
    monkeypatch.setenv("NEBIUS_API_KEY", "x")
    monkeypatch.setenv("NEBIUS_BASE_URL", "https://nebius.example/v1")
    assert found(row)[0] == Standing("active", share=1)


def test_weight_zero_stands_by_while_another_answers() -> None:
    one, idle = deploy("1"), deploy("idle", weight=0)
    assert [standing.share for standing in found(one, idle)] == [1, 0]
    assert found(idle)[0].share == 1


def test_a_disabled_provider_disables_its_deployments() -> None:
    groq = Provider.objects.create(name="Groq", base_url="https://api.groq.com/openai/v1", enabled=False)
    assert found(deploy("g", groq)) == [Standing("disabled", "provider Groq is disabled")]
