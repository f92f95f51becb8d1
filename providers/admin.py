"""The console's pages for providers and deployments; those of models and prices are in their own modules."""

from dataclasses import replace
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin import action, display
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.views.decorators.debug import sensitive_post_parameters
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter
from unfold.views import ChangeList

from providers import model_admin, running
from providers.console import (
    ORIGIN,
    ORIGIN_FIELDS,
    ConsoleAdmin,
    Tone,
    badge,
    cell,
    code,
    link,
)
from providers.console_fields import RowFilter
from providers.discovery_admin import DiscoveringAdmin
from providers.forms import ProviderForm
from providers.models import Deployment, Provider
from providers.price_admin import PricedFilter, PriceInline, price_now
from providers.price_book import timelines
from providers.readiness import Standing, unconfigured
from providers.routing_forms import TIMES, DeploymentForm
from providers.standing_badge import LIVE, of_models, percent, seen, standing_badge

__all__ = ["DeploymentAdmin", "ProviderAdmin", "model_admin"]  # Django looks for pages here alone


@admin.register(Provider)
class ProviderAdmin(DiscoveringAdmin):
    form = ProviderForm
    list_display = ("title", "state", "kind", "address", "key_state", "deployment_count")
    list_filter = (("kind", ChoicesDropdownFilter), "enabled")
    search_fields = ("name", "base_url", "notes")
    search_help_text = "Search by name or address"
    readonly_fields = ORIGIN_FIELDS
    actions = ("discover", "enable", "disable")
    never_looked_up = frozenset({"secret_sealed"})

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        stored = obj is not None and bool(obj.secret_sealed)
        key_fields = ["api_key", *(["forget_key"] if stored else []), "secret_reference"]
        return [
            ("Account", {"fields": ["name", "kind", "base_url", "confirm_private", "enabled"]}),
            (
                "Credential",
                {
                    "fields": key_fields,
                    "description": "A stored key wins over one from the environment. "
                    "Moving the provider to another host removes the stored key.",
                },
            ),
            ("Endpoints", {"fields": ["endpoints"]}),
            ("Billing", {"fields": ["disconnect_policy"]}),
            ("More", {"classes": ["collapse"], "fields": ["extra_headers", "notes"]}),
            *([ORIGIN] if obj else []),
        ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Provider]:
        rows: QuerySet[Provider] = super().get_queryset(request)
        return rows.annotate(deployment_total=Count("deployments"))

    @method_decorator(sensitive_post_parameters("api_key"))
    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        return super().changeform_view(request, object_id, form_url, extra_context)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)  # type: ignore[no-untyped-call]
        if form.key_blanked:
            text = "The host changed, so the stored API key was removed. Enter the key of the new host."
            self.message_user(request, text, messages.WARNING)

    @display(description="Name", ordering="name")
    def title(self, obj: Provider) -> SafeString:
        return cell(obj.name)

    @display(description="Base URL", ordering="base_url")
    def address(self, obj: Provider) -> SafeString:
        return code(obj.base_url)

    @display(description="API key")
    def key_state(self, obj: Provider) -> SafeString:
        if obj.secret_sealed:
            return badge("stored", Tone.GOOD)
        if not obj.secret_reference:
            return badge("none", Tone.PLAIN)
        if reason := unconfigured(obj):
            return badge("not configured", Tone.BAD, reason)
        return badge("environment", Tone.GOOD, obj.secret_reference)

    @display(description="Deployments", ordering="deployment_total")
    def deployment_count(self, obj: Any) -> SafeString:
        url = reverse("admin:providers_deployment_changelist") + f"?provider__id__exact={obj.pk}"
        return link(url, str(obj.deployment_total))

    @display(description="State", ordering="enabled")
    def state(self, obj: Provider) -> SafeString:
        return badge("enabled", Tone.GOOD) if obj.enabled else badge("disabled", Tone.PLAIN)

    @action(description="Enable the chosen providers", permissions=["change"])
    def enable(self, request: HttpRequest, rows: QuerySet[Provider]) -> None:
        self.set_on_each(request, rows, "enabled", True, "Enabled")

    @action(description="Disable the chosen providers", permissions=["change"])
    def disable(self, request: HttpRequest, rows: QuerySet[Provider]) -> None:
        self.set_on_each(request, rows, "enabled", False, "Disabled")


SHOWN_TAGS = 4


class TagFilter(DropdownFilter):
    """Deployments with a tag, of those that there are."""

    title = "tag"
    parameter_name = "tag"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        self._tags = dict(Deployment.objects.exclude(tags=[]).order_by().values_list("pk", "tags"))
        return [(tag, tag) for tag in sorted({tag for tags in self._tags.values() for tag in tags})]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Deployment]) -> QuerySet[Deployment]:
        chosen = self.value()
        if not chosen:
            return queryset
        return queryset.filter(pk__in=[pk for pk, tags in self._tags.items() if chosen in tags])


def tag_labels(tags: list[str]) -> SafeString:
    """The first few tags, and how many more there are; all in the tooltip."""
    more = [f"{len(tags) - SHOWN_TAGS} more"] if len(tags) > SHOWN_TAGS else []
    labels = format_html_join("", '<span class="sy-tag">{}</span>', ((tag,) for tag in tags[:SHOWN_TAGS]))
    rest = format_html_join("", '<span class="sy-dim">{}</span>', ((text,) for text in more))
    return format_html('<span class="sy-tags" title="{}">{}{}</span>', ", ".join(tags), labels, rest)


class DeploymentChangeList(ChangeList):
    """Knows standing and price of each row of its page, with one query for all of them each.

    What the running server knows of each goes before: what still runs at those that drain, who is put aside.
    """

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        found = of_models({row.model_id for row in self.result_list})
        prices = timelines(self.result_list)
        for row in self.result_list:
            row.standing_now = found[row.pk]
            row.prices_known = prices[row.pk]
        live = running.now() if self.result_list else None
        for row in self.result_list:
            if row.standing_now.word == Deployment.State.DRAINING:
                row.standing_now = replace(row.standing_now, reason=running.in_flight(live, row.pk))
            else:
                row.standing_now = seen(row.standing_now, live, row.pk)


@admin.register(Deployment)
class DeploymentAdmin(ConsoleAdmin):
    form = DeploymentForm
    list_display = (
        "title",
        "standing",
        "share",
        "model_link",
        "provider_link",
        "price",
        "tier",
        "parallel",
    )
    list_filter = (
        ("state", ChoicesDropdownFilter),
        PricedFilter,
        TagFilter,
        ("model", RowFilter),
        ("provider", RowFilter),
        ("source", ChoicesDropdownFilter),
    )
    search_fields = ("name", "upstream_model", "model__name", "tags")
    search_help_text = "Search by name, model, upstream model or tag"
    list_select_related = ("model", "provider")
    autocomplete_fields = ("model", "provider")
    readonly_fields = ("now", *ORIGIN_FIELDS)
    inlines = (PriceInline,)
    actions = ("activate", "drain", "disable")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        now = ["now"] if obj else []
        return [
            ("Where it runs", {"fields": ["name", "model", "provider", "upstream_model", "state", *now]}),
            (
                "Share of the requests",
                {
                    "fields": ["weight", "priority", "max_parallel_requests", "queue_seconds"],
                    "description": "Deployments of one model and priority share its requests by weight; "
                    "the next priority is asked when none of them can answer.",
                },
            ),
            (
                "Tags",
                {
                    "fields": ["tags"],
                    "description": "A request has the tags of its key, of the key's team, and those that the "
                    "client sends in the header x-switchyard-tags or in metadata.tags.",
                },
            ),
            (
                "When it is slow or fails",
                {
                    "fields": [*TIMES, "eject_seconds"],
                    "description": "In seconds. Empty: as its model says, else as the settings do.",
                },
            ),
            ("Parameters", {"fields": ["default_params", "drop_params"]}),
            *([ORIGIN] if obj else []),
        ]

    def get_changelist(self, request: HttpRequest, **_: Any) -> type[ChangeList]:
        return DeploymentChangeList

    @display(description="Name", ordering="name")
    def title(self, obj: Deployment) -> SafeString:
        return format_html("{}{}", cell(obj.name), tag_labels(obj.tags)) if obj.tags else cell(obj.name)

    @display(description="Model", ordering="model__name")
    def model_link(self, obj: Deployment) -> SafeString:
        return link(reverse("admin:providers_model_change", args=[obj.model_id]), obj.model.name)

    @display(description="Provider and its model", ordering="provider__name")
    def provider_link(self, obj: Deployment) -> SafeString:
        url = reverse("admin:providers_provider_change", args=[obj.provider_id])
        note = '{}<span class="sy-note">{}</span>'
        return format_html(note, link(url, obj.provider.name), code(obj.upstream_model))

    @display(description="Share", ordering="weight")
    def share(self, obj: Any) -> str:
        standing: Standing = obj.standing_now
        if standing.share:
            return percent(standing.share)
        return "standby" if standing.word in LIVE else "-"

    @display(description="Priority")
    def tier(self, obj: Deployment) -> str:
        return str(obj.priority)

    @display(description="In / out, $/M tokens")
    def price(self, obj: Any) -> SafeString:
        return price_now(obj.prices_known)

    @display(description="Parallel", ordering="max_parallel_requests")
    def parallel(self, obj: Deployment) -> str:
        return f"≤ {obj.max_parallel_requests:,}" if obj.max_parallel_requests else "any"

    @display(description="State", ordering="state")
    def standing(self, obj: Any) -> SafeString:
        return standing_badge(obj.standing_now)

    @display(description="Now")
    def now(self, obj: Deployment) -> SafeString:
        live = running.now()
        found = seen(of_models({obj.model_id})[obj.pk], live, obj.pk)
        why = [found.reason, running.in_flight(live, obj.pk)]
        return standing_badge(replace(found, reason=", ".join(filter(None, why))))

    @action(description="Activate the chosen deployments", permissions=["change"])
    def activate(self, request: HttpRequest, rows: QuerySet[Deployment]) -> None:
        self.set_on_each(request, rows, "state", Deployment.State.ACTIVE, "Activated")

    @action(description="Drain: finish what runs, take nothing new", permissions=["change"])
    def drain(self, request: HttpRequest, rows: QuerySet[Deployment]) -> None:
        self.set_on_each(request, rows, "state", Deployment.State.DRAINING, "Draining")

    @action(description="Disable the chosen deployments", permissions=["change"])
    def disable(self, request: HttpRequest, rows: QuerySet[Deployment]) -> None:
        self.set_on_each(request, rows, "state", Deployment.State.DISABLED, "Disabled")
