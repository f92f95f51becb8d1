"""What a page says of an empty field is what the gateway goes by."""

from itertools import product

import pytest

from providers import effective
from providers.models import Deployment, Model, Provider
from providers.snapshot import Target, load

pytestmark = pytest.mark.django_db

TIMES = ("timeout", "stream_timeout", "idle_timeout", "connect_timeout", "eject_seconds")


def held(target: Target) -> dict[str, float]:
    return {
        "timeout": target.timeout,
        "stream_timeout": target.first_event_timeout,
        "idle_timeout": target.idle_timeout,
        "connect_timeout": target.connect_timeout or 0,
        "eject_seconds": target.ejection.seconds,
        "queue_seconds": target.queue_seconds,
    }


@pytest.mark.parametrize(("of_model", "timeout"), product((False, True), (None, 11.0)))
def test_an_empty_field_shows_what_holds(of_model: bool, timeout: float | None) -> None:
    times = {name: 20.0 + number for number, name in enumerate(TIMES)} if of_model else {}
    model = Model.objects.create(name="llm", **times)
    provider = Provider.objects.create(name="p", base_url="https://api.example.com/v1")
    row = Deployment.objects.create(
        name="a", model=model, provider=provider, upstream_model="m", timeout=timeout
    )
    holds = held(load().models["llm"].targets[row.pk])
    for field, text in effective.of_deployment(row, model).items():
        if getattr(row, field) is None:
            assert float(text.split()[0]) == holds[field], field


def test_of_a_model_too() -> None:
    row = Model.objects.create(name="llm", timeout=9)
    provider = Provider.objects.create(name="p", base_url="https://api.example.com/v1")
    Deployment.objects.create(name="a", model=row, provider=provider, upstream_model="m")
    served = load().models["llm"]
    (target,) = served.targets.values()
    shown = {field: float(text.split()[0]) for field, text in effective.of_model(row).items()}
    assert shown["deadline"] == served.deadline
    assert (shown["max_attempts"], shown["max_queue"]) == (served.max_attempts, served.max_queue)
    assert shown["eject_after"] == target.ejection.after
    empty = [name for name in TIMES if name != "timeout"]
    assert {name: shown[name] for name in empty} == {name: held(target)[name] for name in empty}
