"""The console's pages for providers, models and deployments."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin import action, display
from django.db.models import Count, Prefetch, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.views.decorators.debug import sensitive_post_parameters
from unfold.admin import TabularInline
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter
from unfold.views import ChangeList

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
from providers.forms import ModelForm, ProviderForm
from providers.models import Deployment, Model, Provider
from providers.price_admin import PricedFilter, PriceInline, price_now
from providers.price_book import timelines
from providers.readiness import Standing, standings, unconfigured

TONES = {"active": Tone.GOOD, "draining": Tone.WARN, "not configured": Tone.BAD, "disabled": Tone.PLAIN}


def standing_badge(standing: Standing) -> SafeString:
    """The label of a deployment: active, draining, disabled, not configured."""
    return badge(standing.word, TONES[standing.word], standing.reason)


def percent(share: float) -> str:
    """`33 %`, and `< 1 %` for what would round to nothing."""
    return "< 1 %" if 0 < share < 0.01 else f"{share:.0%}".replace("%", " %")


def of_models(ids: set[int]) -> dict[int, Standing]:
    """Standings of all deployments of these models, in one query."""
    return standings(Deployment.objects.filter(model_id__in=ids).select_related("provider"))


@admin.register(Provider)
class ProviderAdmin(ConsoleAdmin):
    form = ProviderForm
    list_display = ("title", "state", "kind", "address", "key_state", "deployment_count")
    list_filter = (("kind", ChoicesDropdownFilter), "enabled")
    search_fields = ("name", "base_url", "notes")
    search_help_text = "Search by name or address"
    readonly_fields = ORIGIN_FIELDS
    actions = ("enable", "disable")
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


class DeploymentInline(TabularInline):
    model = Deployment
    extra = 0
    show_title = False
    fields = (
        "name",
        "standing",
        "provider",
        "upstream_model",
        "weight",
        "priority",
        "state",
        "max_parallel_requests",
    )
    readonly_fields = ("standing",)
    autocomplete_fields = ("provider",)
    _found: dict[int, Standing] | None = None  # an inline lives for one request

    def get_queryset(self, request: HttpRequest) -> QuerySet[Deployment]:
        return super().get_queryset(request).select_related("provider", "model")

    def get_extra(self, request: HttpRequest, obj: Model | None = None, **_: Any) -> int:
        return 0 if obj else 1

    @display(description="Now")
    def standing(self, obj: Deployment) -> SafeString | str:
        if not obj.pk:
            return "after saving"
        if self._found is None:
            self._found = of_models({obj.model_id})
        found = self._found[obj.pk]
        share = percent(found.share) if found.share else "standby"
        label = badge(share, Tone.GOOD) if found.serves else standing_badge(found)
        url = reverse("admin:providers_deployment_change", args=[obj.pk])
        return format_html('{} <a class="sy-note sy-text-link" href="{}">All settings</a>', label, url)


@admin.register(Model)
class ModelAdmin(ConsoleAdmin):
    form = ModelForm
    list_display = ("title", "kind", "serving", "strategy", "context", "listed", "source")
    list_filter = (
        ("kind", ChoicesDropdownFilter),
        ("strategy", ChoicesDropdownFilter),
        "hidden",
        ("source", ChoicesDropdownFilter),
    )
    search_fields = ("name", "aliases", "hidden_aliases", "deployments__name", "deployments__upstream_model")
    search_help_text = "Search by model, alias or deployment"
    readonly_fields = ORIGIN_FIELDS
    inlines = (DeploymentInline,)
    actions = ("hide", "show")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return [
            (
                "What clients see",
                {
                    "fields": ["name", "kind", "hidden", "aliases", "hidden_aliases"],
                    "description": "Clients ask for this name; the deployments below answer, each its share.",
                },
            ),
            ("Whom to ask first", {"fields": ["strategy"]}),
            (
                "Bounds and notes",
                {"classes": ["collapse"], "fields": ["max_input_tokens", "max_output_tokens", "info"]},
            ),
            *([ORIGIN] if obj else []),
        ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Model]:
        deployments = Deployment.objects.select_related("provider")
        return super().get_queryset(request).prefetch_related(Prefetch("deployments", deployments))

    @display(description="Name", ordering="name")
    def title(self, obj: Model) -> SafeString:
        aliases = [*obj.aliases, *obj.hidden_aliases]
        if not aliases:
            return cell(obj.name)
        return format_html('{}<span class="sy-note">also {}</span>', cell(obj.name), ", ".join(aliases))

    @display(description="Deployments")
    def serving(self, obj: Model) -> SafeString:
        found = standings(obj.deployments.all()).values()
        if not found:
            return badge("none", Tone.BAD, "no deployment answers for it")
        words = [s.word for s in found]
        counts = [(TONES[word], word, words.count(word)) for word in TONES if word in words]
        return format_html_join(
            " ", "{}", ((badge(f"{number} {word}", tone),) for tone, word, number in counts)
        )

    @display(description="Tokens in / out", ordering="max_input_tokens")
    def context(self, obj: Model) -> str:
        bounds = [f"{n:,}" if n else "-" for n in (obj.max_input_tokens, obj.max_output_tokens)]
        return " / ".join(bounds)

    @display(description="Listed", boolean=True, ordering="hidden")
    def listed(self, obj: Model) -> bool:
        return not obj.hidden

    @action(description="Hide from the list of models", permissions=["change"])
    def hide(self, request: HttpRequest, rows: QuerySet[Model]) -> None:
        self.set_on_each(request, rows, "hidden", True, "Hid")

    @action(description="Show in the list of models", permissions=["change"])
    def show(self, request: HttpRequest, rows: QuerySet[Model]) -> None:
        self.set_on_each(request, rows, "hidden", False, "Showed")


class DeploymentChangeList(ChangeList):
    """Knows standing and price of each row of its page, with one query for all of them each."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        found = of_models({row.model_id for row in self.result_list})
        prices = timelines(self.result_list)
        for row in self.result_list:
            row.standing_now = found[row.pk]
            row.prices_known = prices[row.pk]


@admin.register(Deployment)
class DeploymentAdmin(ConsoleAdmin):
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
        ("model", AutocompleteSelectFilter),
        ("provider", AutocompleteSelectFilter),
        ("source", ChoicesDropdownFilter),
    )
    search_fields = ("name", "upstream_model", "model__name")
    search_help_text = "Search by name, model or upstream model"
    list_select_related = ("model", "provider")
    autocomplete_fields = ("model", "provider")
    readonly_fields = ORIGIN_FIELDS
    inlines = (PriceInline,)
    actions = ("activate", "drain", "disable")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return [
            ("Where it runs", {"fields": ["name", "model", "provider", "upstream_model", "state"]}),
            (
                "Share of the requests",
                {
                    "fields": ["weight", "priority", "max_parallel_requests"],
                    "description": "Deployments of one model and priority share its requests by weight; "
                    "the next priority is asked when none of them can answer.",
                },
            ),
            ("Timeouts", {"fields": ["timeout", "stream_timeout"]}),
            ("Parameters", {"fields": ["default_params", "drop_params"]}),
            *([ORIGIN] if obj else []),
        ]

    def get_changelist(self, request: HttpRequest, **_: Any) -> type[ChangeList]:
        return DeploymentChangeList

    @display(description="Name", ordering="name")
    def title(self, obj: Deployment) -> SafeString:
        return cell(obj.name)

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
        return "standby" if standing.serves else "-"

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

    @action(description="Activate the chosen deployments", permissions=["change"])
    def activate(self, request: HttpRequest, rows: QuerySet[Deployment]) -> None:
        self.set_on_each(request, rows, "state", Deployment.State.ACTIVE, "Activated")

    @action(description="Drain: finish what runs, take nothing new", permissions=["change"])
    def drain(self, request: HttpRequest, rows: QuerySet[Deployment]) -> None:
        self.set_on_each(request, rows, "state", Deployment.State.DRAINING, "Draining")

    @action(description="Disable the chosen deployments", permissions=["change"])
    def disable(self, request: HttpRequest, rows: QuerySet[Deployment]) -> None:
        self.set_on_each(request, rows, "state", Deployment.State.DISABLED, "Disabled")
