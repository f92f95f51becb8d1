"""The console's pages for prices: what holds now, what is to come, and who has none."""

from decimal import Decimal
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import display
from django.db import models
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter
from unfold.widgets import UnfoldAdminDecimalFieldWidget

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
from providers.console_fields import CODE_OVERRIDES, ConsoleInline
from providers.models import Deployment, Price
from providers.price_book import with_price, without_price
from providers.prices import EACH_FIELDS, PriceList, in_effect, plain_text

_NANO = 10**9


class DollarField(forms.DecimalField):
    """An amount without the zeros that its column adds."""

    def prepare_value(self, value: Any) -> Any:
        return plain_text(value) if isinstance(value, Decimal) else value


AMOUNT_OVERRIDES: dict[Any, dict[str, Any]] = {
    models.DecimalField: {"form_class": DollarField, "widget": UnfoldAdminDecimalFieldWidget}
}


def price_now(prices: tuple[PriceList, ...]) -> SafeString:
    """`$0.15 / $0.6`, or the label of a deployment without a price; what is to come under it."""
    now_ms = int(timezone.now().timestamp() * 1000)
    held = in_effect(prices, now_ms)
    coming = next((price for price in prices if price.effective_from > now_ms), None)
    note = f"{_brief(coming)} is to come" if coming else ""
    if held is None:
        return badge("no price", Tone.WARN, note)
    text = format_html('<span class="sy-num">{}</span>', _brief(held))
    return format_html('{}<span class="sy-note">{}</span>', text, note) if note else text


def _brief(price: PriceList) -> str:
    rates = (plain_text(Decimal(rate) / _NANO) for rate in (price.rates.input, price.rates.output))
    return " / ".join(f"${rate}" for rate in rates)


class PricedFilter(DropdownFilter):
    """Deployments by whether a price holds for them now."""

    title = "price"
    parameter_name = "price"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("none", "No price"), ("some", "With a price")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Deployment]) -> QuerySet[Deployment]:
        match self.value():
            case "none":
                return without_price(queryset)
            case "some":
                return with_price(queryset)
        return queryset


class PriceInline(ConsoleInline):
    """The prices of this deployment alone."""

    model = Price
    show_change_link = True
    fields = ("effective_from", "input", "output", "cached_input", "cache_write", "reasoning", "per_request")
    formfield_overrides: ClassVar[dict[Any, dict[str, Any]]] = (  # type: ignore[misc]
        ConsoleInline.formfield_overrides | AMOUNT_OVERRIDES
    )
    verbose_name_plural = "own prices ($ per million tokens; they win over prices for all)"


@admin.register(Price)
class PriceAdmin(ConsoleAdmin):
    list_display = ("subject_link", "state", "in_and_out", "details", "beside", "effective_from", "origin")
    list_filter = (("kind", ChoicesDropdownFilter), ("source", ChoicesDropdownFilter))
    search_fields = ("upstream_model", "deployment__name", "notes")
    search_help_text = "Search by upstream model or deployment"
    list_select_related = ("deployment",)
    autocomplete_fields = ("deployment",)
    readonly_fields = ORIGIN_FIELDS
    formfield_overrides = CODE_OVERRIDES | AMOUNT_OVERRIDES
    ordering = ("-effective_from", "-pk")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return [
            (
                "Of what, and from when",
                {
                    "fields": ["deployment", "kind", "upstream_model", "effective_from"],
                    "description": "When a provider changes its price, add another one from that moment on: "
                    "what was used before keeps the old one.",
                },
            ),
            (
                "US dollars per million tokens",
                {"fields": ["input", "output", "cached_input", "cache_write", "reasoning"]},
            ),
            (
                "More",
                {
                    "classes": ["collapse"],
                    "fields": ["audio_input", "audio_output", *EACH_FIELDS, "tiers", "notes"],
                },
            ),
            *([ORIGIN] if obj else []),
        ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Price]:
        same = Q(deployment=OuterRef("deployment")) | Q(
            deployment__isnull=True, kind=OuterRef("kind"), upstream_model=OuterRef("upstream_model")
        )
        later = Price.objects.filter(
            same, effective_from__gt=OuterRef("effective_from"), effective_from__lte=Now()
        )
        rows: QuerySet[Price] = super().get_queryset(request)
        return rows.annotate(superseded=Exists(later))

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)  # type: ignore[no-untyped-call]
        if change and form.changed_data:
            text = "Requests that were rated keep their cost; manage.py rerate rates them anew."
            self.message_user(request, text, messages.INFO)

    @display(description="Price of")
    def subject_link(self, obj: Price) -> SafeString:
        if obj.deployment is None:
            note = '{}<span class="sy-note">{}, all deployments</span>'
            return format_html(note, code(obj.upstream_model), obj.kind)
        url = reverse("admin:providers_deployment_change", args=[obj.deployment.pk])
        return format_html('{}<span class="sy-note">this deployment</span>', link(url, obj.deployment.name))

    @display(description="State")
    def state(self, obj: Any) -> SafeString:
        if obj.effective_from > timezone.now():
            return badge("to come", Tone.WARN)
        return badge("past", Tone.PLAIN) if obj.superseded else badge("current", Tone.GOOD)

    @display(description="In / out, $/M tokens", ordering="input")
    def in_and_out(self, obj: Price) -> SafeString:
        return format_html('<span class="sy-num">{}</span>', obj.brief)

    @display(description="Cached / cache write")
    def details(self, obj: Price) -> str:
        parts = (obj.cached_input, obj.cache_write)
        if parts == (None, None):
            return "as input"
        return " / ".join("as input" if part is None else f"${plain_text(part)}" for part in parts)

    @display(description="Beside tokens")
    def beside(self, obj: Price) -> str:
        each = [
            f"${plain_text(value)} {name.replace('_', ' ')}"
            for name in EACH_FIELDS
            if (value := getattr(obj, name))
        ]
        tiers = f"{len(obj.tiers)} tier{'s' if len(obj.tiers) > 1 else ''}" if obj.tiers else ""
        return ", ".join([*each, *([tiers] if tiers else [])]) or "-"

    @display(description="From", ordering="source")
    def origin(self, obj: Price) -> SafeString:
        return cell(obj.get_source_display())
