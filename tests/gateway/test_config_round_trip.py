"""Whatever the admin lets one set of routing: exported, it imports to the same rows, and nothing differs."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from providers.litellm_records import MODEL_SETTINGS
from providers.models import Deployment, Fallback, Model, Provider
from providers.retries import RETRIED_KINDS
from tests.gateway.config_files import imported, run, written

pytestmark = pytest.mark.django_db

NAMES = ("a", "b b", "c/d", "openai/*", "*")
SINGLE = NAMES[:3]
TIMES = st.none() | st.sampled_from([0.001, 0.5, 3.0, 12.25, 86_400.0])
MODEL = st.fixed_dictionaries(
    {
        "hidden": st.booleans(),
        "strategy": st.sampled_from(["weighted", "latency"]),
        "max_attempts": st.none() | st.integers(1, 10),
        "retries_by_error": st.dictionaries(st.sampled_from(RETRIED_KINDS), st.integers(0, 9), max_size=5),
        "max_queue": st.none() | st.sampled_from([0, 1, 500]),
        "eject_after": st.none() | st.sampled_from([0, 1, 5, 32_767]),
        **dict.fromkeys(("deadline", "connect_timeout", "timeout", "stream_timeout"), TIMES),
        **dict.fromkeys(("idle_timeout", "eject_seconds"), TIMES),
    }
)
DEPLOYMENT = st.fixed_dictionaries(
    {
        "weight": st.integers(0, 3),
        "priority": st.integers(-1, 1),
        "queue_seconds": st.none() | st.sampled_from([0.0, 2.5]),
        "tags": st.lists(st.sampled_from(["paid", "default", "eu west"]), max_size=2, unique=True),
        **dict.fromkeys(("connect_timeout", "timeout", "stream_timeout", "idle_timeout"), TIMES),
        "eject_seconds": TIMES,
    }
)
# Only to a later one: no loop.
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [(name, to) for i, to in enumerate(SINGLE) for name in (*SINGLE[i + 1 :], *NAMES[3:])]
        ),
        st.sampled_from(["any", "context_window", "content_policy"]),
        st.integers(0, 2),
    ),
    max_size=6,
    unique_by=lambda step: (step[0], step[1]),
)
FIELDS_OF_DEPLOYMENTS = ("weight", "priority", "queue_seconds", "tags", "connect_timeout", "timeout")
MORE_FIELDS = ("stream_timeout", "idle_timeout", "eject_seconds", "upstream_model", "model__name")


def forget_everything() -> None:
    for table in (Fallback, Deployment, Model, Provider):
        table.objects.all().delete()


def make(models: dict[str, dict[str, Any]], deployments: list[dict[str, Any]], steps: list[Any]) -> None:
    provider = Provider.objects.create(name="groq", kind="groq", base_url="https://api.groq.com/openai/v1")
    rows = {name: Model.objects.create(name=name, **fields) for name, fields in models.items()}
    for number, (fields, row) in enumerate(zip(deployments, [*rows.values()] * 2, strict=False)):
        upstream = "*" if "*" in row.name and number % 2 else f"m{number}"
        deployment = Deployment(
            name=f"d{number}", model=row, provider=provider, upstream_model=upstream, **fields
        )
        deployment.full_clean()
        deployment.save()
    for (name, to), on, position in steps:
        if {name, to} <= rows.keys():
            fallback = Fallback(model=rows[name], to=rows[to], on=on, position=position)
            fallback.full_clean()
            fallback.save()


def state() -> dict[str, Any]:
    """All that routing goes by; of fallbacks their order."""
    fallbacks: dict[str, list[str]] = {}
    for row in Fallback.objects.order_by("model__name", "on", "position", "pk"):
        fallbacks.setdefault(f"{row.model.name} {row.on}", []).append(row.to.name)
    return {
        "models": list(Model.objects.order_by("name").values("name", "strategy", *MODEL_SETTINGS)),
        "deployments": list(
            Deployment.objects.order_by("name").values("name", *FIELDS_OF_DEPLOYMENTS, *MORE_FIELDS)
        ),
        "fallbacks": fallbacks,
    }


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    models=st.dictionaries(st.sampled_from(NAMES), MODEL, min_size=1, max_size=4),
    deployments=st.lists(DEPLOYMENT, min_size=4, max_size=8),
    steps=STEPS,
    alike=st.booleans(),
)
def test_an_export_imports_to_the_same_routing(
    models: dict[str, dict[str, Any]],
    deployments: list[dict[str, Any]],
    steps: list[Any],
    alike: bool,
    tmp_path: Path,
) -> None:
    forget_everything()
    if alike:  # what all models share is written elsewhere
        models = dict.fromkeys(models, next(iter(models.values())))
    make(models, deployments, steps)
    before = state()
    path = written(tmp_path, run("export_config"))
    assert run("diff_config", path) == ""
    forget_everything()
    report = imported(path)
    assert {v["verdict"] for v in report["verdicts"]} <= {"applied", "changed", "warning"}
    assert state() == before
    assert run("diff_config", path) == ""
    for model in Model.objects.all():
        model.full_clean()
