"""The home page: the last day, what needs attention, and the next step of a newcomer."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db.models import Sum
from django.http import HttpRequest
from django.urls import reverse

from gateway.console.attention import SHOWN, notices
from gateway.console.day import Row, first_hour, last_day
from keys.models import ApiKey
from providers.models import Deployment, Provider
from usage.models import HourlyUsage

SUMMED = ("requests", "prompt_tokens", "completion_tokens", "cost_nano", "latency_ms")


@dataclass(frozen=True, slots=True)
class Step:
    """One step from nothing to the first answer."""

    title: str
    text: str
    url: str
    done: bool


def rows_since(start: datetime) -> list[Row]:
    """Sums by hour, model and status, from the roll-ups."""
    grouped = HourlyUsage.objects.filter(hour__gte=start).order_by().values_list("hour", "model", "status")
    return [Row(*sums) for sums in grouped.annotate(*(Sum(name) for name in SUMMED))]


def steps() -> list[Step]:
    """The way to the first answer, each step with whether it is done."""
    return [
        Step(
            "Add a provider",
            "An account at a service, or your own server, and its API key.",
            reverse("admin:providers_provider_add"),
            Provider.objects.exists(),
        ),
        Step(
            "Add a model",
            "The name clients ask for, and the deployment that answers.",
            reverse("admin:providers_model_add"),
            Deployment.objects.exists(),
        ),
        Step(
            "Create an API key",
            "For an application or a person; shown once.",
            reverse("admin:keys_apikey_add"),
            ApiKey.objects.filter(is_admin=False).exists(),
        ),
        Step(
            "Send the first request",
            "Connect Open WebUI, an OpenAI SDK or curl.",
            reverse("connect"),
            HourlyUsage.objects.exists(),
        ),
    ]


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add to the context of the home page; reads roll-ups only."""
    now = datetime.now(UTC)
    found = notices(now)
    way = steps()
    return {
        **context,
        "title": "Home",
        "day": last_day(rows_since(first_hour(now)), now),
        "notices": found[:SHOWN],
        "more_notices": max(0, len(found) - SHOWN),
        "steps": [] if all(step.done for step in way) else way,
        "next_step": next((step for step in way if not step.done), None),
    }
