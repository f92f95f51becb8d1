"""The configuration as workers see it: what can be asked, and nothing that cannot."""

from dataclasses import FrozenInstanceError
from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest
from django.conf import LazySettings
from pytest_django import DjangoAssertNumQueries

from providers.changes import ConfigVersion
from providers.models import Deployment, Model, Price, Provider
from providers.snapshot import Rows, Target, build, load, read_rows
from providers.tables import Table

pytestmark = pytest.mark.django_db
LONG_AGO = datetime(2020, 1, 1, 12, 30, 0, 123456, tzinfo=UTC)


def provider(**values: object) -> Provider:
    row = Provider(**({"name": "Acme", "base_url": "https://llm.example/v1/"} | values))
    row.set_secret("sk-Alice-0123456789")
    row.save()
    return row


def deploy(at: Provider | None = None, **values: object) -> Deployment:
    model, _ = Model.objects.get_or_create(name="llm")
    given = {"name": "first", "model": model, "upstream_model": "org/llm"} | values
    return Deployment.objects.create(provider=at or provider(), **given)


def only_target() -> Target:
    (target,) = load().models["llm"].targets.values()
    return target


def names() -> list[str]:
    return [target.name for target in load().models["llm"].targets.values()]


def test_a_deployment_becomes_a_target() -> None:
    row = deploy(weight=2, priority=1, max_parallel_requests=10, default_params={"temperature": 0.2})
    target = only_target()
    assert (target.id, target.provider, target.upstream_model) == (row.pk, "Acme", "org/llm")
    assert (target.destination.authority, target.base_path) == ("llm.example", "/v1")
    assert target.headers == (("authorization", "Bearer sk-Alice-0123456789"),)
    assert (target.share.weight, target.share.priority, target.slots) == (2, 1, 10)
    assert dict(target.defaults) == {"temperature": b"0.2"}


def test_it_carries_its_version_and_cannot_be_changed() -> None:
    deploy()
    snapshot = load()
    assert snapshot.version == ConfigVersion.current() > 0
    assert snapshot.ejections().keys() == {deployment.pk for deployment in Deployment.objects.all()}
    with pytest.raises(FrozenInstanceError):
        snapshot.version = 7  # type: ignore[misc]
    with pytest.raises(TypeError):
        snapshot.models["other"] = snapshot.models["llm"]  # type: ignore[index]


def test_the_number_of_queries_does_not_grow_with_rows(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    acme = provider()
    for number in range(5):
        deploy(acme, name=f"deployment {number}")
    with django_assert_num_queries(6):  # version and the five tables
        assert len(load().models["llm"].targets) == 5


@pytest.mark.parametrize("state", [Deployment.State.DRAINING, Deployment.State.DISABLED])
def test_only_active_deployments_are_asked(state: str) -> None:
    deploy(state=state)
    assert names() == []


def test_a_provider_that_is_switched_off_is_not_asked() -> None:
    deploy(provider(enabled=False))
    assert names() == []


def test_references_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_BASE_URL", "http://8.8.8.8:8000")
    monkeypatch.setenv("ACME_API_KEY", "sk-Bob")
    row = Provider.objects.create(
        name="Acme", base_url="os.environ/ACME_BASE_URL", secret_reference="ACME_API_KEY"
    )
    deploy(row)
    assert only_target().destination.authority == "8.8.8.8:8000"
    assert only_target().headers == (("authorization", "Bearer sk-Bob"),)


@pytest.mark.parametrize(
    "broken",
    [
        {"base_url": "os.environ/UNSET_BASE_URL"},
        {"base_url": "os.environ/SECRET_KEY"},
        {"base_url": "http://127.0.0.1:8000"},
        {"base_url": "http://127.0.0.1:8000", "confirmed_host": "127.0.0.1:8001"},
        {"base_url": "not a URL"},
        {"extra_headers": {"x-title": "two\r\nlines"}},
    ],
)
def test_one_that_is_not_configured_is_left_out_and_the_others_served(broken: dict[str, object]) -> None:
    deploy(provider(name="Broken", **broken), name="broken")
    deploy()
    assert names() == ["first"]


def test_an_unset_reference_is_not_configured_unless_a_key_is_stored() -> None:
    row = provider(secret_reference="UNSET_API_KEY")
    deploy(row)
    assert names() == ["first"]
    row.set_secret("")
    row.save()
    assert names() == []


def test_a_secret_that_cannot_be_read_is_not_configured(settings: LazySettings) -> None:
    deploy()
    settings.SECRET_KEY = "another"
    assert names() == []


def test_a_confirmed_private_host_is_served_as_confirmed() -> None:
    deploy(provider(base_url="http://127.0.0.1:8000/v1", confirmed_host="127.0.0.1:8000"))
    assert only_target().destination.confirmed


def test_a_confirmation_of_another_port_is_none(settings: LazySettings) -> None:
    settings.ALLOWED_PRIVATE_UPSTREAMS = ["127.0.0.1"]
    deploy(provider(base_url="http://127.0.0.1:8000/v1", confirmed_host="127.0.0.1:8001"))
    assert not only_target().destination.confirmed


def test_extra_headers_win_over_our_own() -> None:
    deploy(provider(extra_headers={"Authorization": "Basic x", "X-Title": "Us"}))
    assert dict(only_target().headers) == {"authorization": "Basic x", "x-title": "Us"}


def test_times_fall_back_to_the_settings(settings: LazySettings) -> None:
    settings.TOTAL_TIMEOUT, settings.FIRST_BYTE_TIMEOUT = 60.0, 30.0
    acme = provider()
    deploy(acme, name="none")
    deploy(acme, name="whole", timeout=9.0)
    deploy(acme, name="both", timeout=9.0, stream_timeout=3.0)
    times = {t.name: (t.timeout, t.first_event_timeout) for t in load().models["llm"].targets.values()}
    assert times == {"none": (60.0, 30.0), "whole": (9.0, 9.0), "both": (9.0, 3.0)}


def test_a_model_without_deployments_is_still_a_model() -> None:
    Model.objects.create(name="llm", hidden=True, max_output_tokens=100)
    model = load().models["llm"]
    assert (model.hidden, model.most_output, dict(model.targets), model.shares) == (True, 100, {}, ())


def test_a_name_of_its_own_wins_over_an_alias_and_the_first_alias_over_later_ones() -> None:
    Model.objects.create(name="a", aliases=["c", "x"])
    Model.objects.create(name="b", hidden_aliases=["x"])
    Model.objects.create(name="c")
    snapshot = load()
    found = {name: snapshot.find(name) for name in ("a", "b", "c", "x")}
    assert {name: model and model.name for name, model in found.items()} == {
        "a": "a",
        "b": "b",
        "c": "c",
        "x": "a",
    }
    assert snapshot.find("nobody") is None


def test_rows_that_were_kept_elsewhere_build_the_same() -> None:
    acme = provider(extra_headers={"x-title": "Us"}, notes="a long note")
    row = deploy(acme, weight=2, timeout=9.5, max_parallel_requests=3, default_params={"top_p": 0.5})
    Price.objects.create(deployment=row, input=Decimal("0.123456789"), output=1, effective_from=LONG_AGO)
    Price.objects.create(kind="openai", upstream_model="org/llm", output=2)
    Model.objects.create(name="other", aliases=["gpt-4"], hidden_aliases=["x"], strategy="cost")
    rows = read_rows()
    kept = msgspec.json.encode(rows.tables())
    assert b"sk-Alice" not in kept
    tables = msgspec.json.decode(kept, type=dict[str, Table])
    assert build(Rows.of_tables(rows.version, tables)) == load()
    assert load().models["llm"].targets[row.pk].prices
