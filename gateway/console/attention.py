"""What needs the operator: deployments that cannot answer, keys that stop working, limits used up."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import F, Q
from django.urls import reverse

from gateway.console.fill import span_now
from keys.issuing import find
from keys.limit_text import measure
from keys.models import ApiKey, Limit
from keys.scopes import holder_of
from providers import running
from providers.models import Deployment, Model
from providers.price_book import without_price
from providers.readiness import Standing, standings
from providers.standing_badge import seen
from usage.models import LimitAlert

PUBLISHED_MASTER_KEY = "sk-litellm-admin"
SHOWN = 8
NAMED = 3  # what one notice names before it counts the rest
SOON = timedelta(days=7)
LONGEST_WINDOW = timedelta(days=31)
LOOKED_AT = 100  # of the newest alerts


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to look at; `tone` is bad, warn or plain."""

    tone: str
    text: str
    detail: str
    url: str

    @property
    def icon(self) -> str:
        return {"bad": "error", "warn": "warning"}.get(self.tone, "pause_circle")


def _of_deployment(row: Deployment, standing: Standing) -> Notice | None:
    url = reverse("admin:providers_deployment_change", args=[row.pk])
    if standing.word in ("not configured", "set up wrongly"):
        return Notice("bad", f"{row.name} is {standing.word}", standing.reason, url)
    if standing.word == "put aside":
        return Notice("warn", f"{row.name} is put aside", standing.reason, url)
    if standing.word != "active":
        return Notice(
            "plain", f"{row.name} is {standing.word}", standing.reason or f"of {row.model.name}", url
        )
    return None


def _of_model(model: Model, found: dict[int, Standing]) -> Notice | None:
    rows = list(model.deployments.all())
    if any(found[row.pk].serves for row in rows):
        return None
    why = "none of its deployments can answer" if rows else "it has no deployment"
    return Notice(
        "bad", f"{model.name} cannot answer", why, reverse("admin:providers_model_change", args=[model.pk])
    )


def _of_keys(now: datetime) -> Iterable[Notice]:
    ending = ApiKey.objects.filter(enabled=True, expires_at__gt=now, expires_at__lte=now + SOON)
    for name, pk, end in ending.order_by("expires_at").values_list("name", "pk", "expires_at")[:SHOWN]:
        assert end is not None, "chosen by its end"
        yield Notice(
            "warn",
            f"Key {name} expires soon",
            f"{end:%d %b %H:%M} UTC",
            reverse("admin:keys_apikey_change", args=[pk]),
        )
    published = find(PUBLISHED_MASTER_KEY)
    if published is not None and published.enabled:
        text = "This master key stands in public examples: anybody can use this gateway"
        yield Notice(
            "bad",
            f"Key {published.name} is public",
            text,
            reverse("admin:keys_apikey_change", args=[published.pk]),
        )


def _of_prices() -> Iterable[Notice]:
    active = Deployment.objects.filter(state=Deployment.State.ACTIVE, provider__enabled=True)
    found = list(without_price(active).order_by("name").values_list("pk", "model_id", "name"))
    if not found:
        return
    names = [name for _, _, name in found]
    many = len(names) > 1
    text = f"{len(names)} deployments have no price" if many else f"{names[0]} has no price"
    told = f"{': ' * many}{', '.join(names[:NAMED]) * many}"
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    url = reverse("admin:providers_deployment_changelist") + "?price=none"
    if _has_cost_limits({pk for pk, _, _ in found}, {model for _, model, _ in found}):
        yield Notice("bad", text, f"limits of cost are in force and cannot see it{told}{more}", url)
    else:
        yield Notice("warn", text, f"tokens are counted, costs are not{told}{more}", url)


def _has_cost_limits(deployments: set[int], models: set[int]) -> bool:
    """Whether a limit of cost is in force that could let requests to these through."""
    limits = Limit.objects.filter(metric=Limit.Metric.COST, mode=Limit.Mode.ENFORCE)
    holding = Q(deployment=None, model=None) | Q(deployment__in=deployments) | Q(model__in=models)
    may_ask = Q(key=None) | Q(key__all_models=True) | Q(key__allowed_models__in=models)
    return limits.filter(holding, may_ask).exists()


def _of_limits(now: datetime) -> Iterable[Notice]:
    """Limits that are used up until their window ends, as alerts noted it."""
    noted = LimitAlert.objects.filter(percent=100, noticed_at__gt=now - LONGEST_WINDOW)
    noted = noted.filter(limit__mode=Limit.Mode.ENFORCE, amount=F("limit__amount"))
    holders = ("key", "team", "end_user", "deployment")
    rows = noted.select_related(*(f"limit__{name}" for name in holders)).order_by("-noticed_at")
    told: set[int] = set()
    for alert in rows[:LOOKED_AT]:
        limit = alert.limit
        since = span_now(limit.window, limit.time_zone, limit.reset_at, now).since
        if limit.pk in told or (since is not None and alert.window_start < since):
            continue
        told.add(limit.pk)
        url = reverse("admin:keys_limit_change", args=[limit.pk])
        yield Notice("warn", f"{measure(limit)} is used up", f"by {holder_of(limit)}", url)


def notices(now: datetime) -> list[Notice]:
    """All that needs attention, the worst first."""
    models = list(Model.objects.prefetch_related("deployments__provider", "deployments__model"))
    rows = [row for model in models for row in model.deployments.all()]
    found = standings(rows)
    live = running.now() if rows else None
    each = [
        *(_of_model(model, found) for model in models),
        *(_of_deployment(row, seen(found[row.pk], live, row.pk)) for row in rows),
        *_of_keys(now),
        *_of_prices(),
        *_of_limits(now),
    ]
    rank = {"bad": 0, "warn": 1, "plain": 2}
    return sorted((notice for notice in each if notice), key=lambda notice: rank[notice.tone])
