"""The console's pages for models, with their deployments and fallbacks."""

from typing import Any

from django.contrib import admin
from django.contrib.admin import action, display
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter

from providers.console import ORIGIN, ORIGIN_FIELDS, ConsoleAdmin, Tone, badge, cell, link
from providers.console_fields import ConsoleInline, RowFilter, only_chosen
from providers.models import Deployment, Fallback, Model
from providers.patterns import is_pattern
from providers.readiness import Standing, standings
from providers.routing_forms import TIMES, FallbackForm, FallbacksOfModel, ModelForm
from providers.standing_badge import TONES, of_models, percent, standing_badge


class DeploymentInline(ConsoleInline):
    model = Deployment
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


class FallbackInline(ConsoleInline):
    """Whom to ask instead; dragging a row or its number puts it in order."""

    model = Fallback
    form = FallbackForm
    formset = FallbacksOfModel
    fk_name = "model"
    fields = ("to", "on", "position", "past")
    readonly_fields = ("past",)
    autocomplete_fields = ("to",)
    ordering_field = "position"  # type: ignore[assignment]
    ordering = ("position", "pk")
    verbose_name_plural = "fallbacks: models to ask instead when no deployment could answer"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Fallback]:
        return super().get_queryset(request).select_related("to", "model")

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field: Any = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "to" and field is not None:
            only_chosen(field)
        return field

    @display(description="")
    def past(self, obj: Fallback) -> SafeString | str:
        if not obj.pk:
            return ""
        url = reverse("admin:providers_fallback_history", args=[obj.pk])
        return format_html('<a class="sy-note sy-text-link" href="{}">History</a>', url)


@admin.register(Model)
class ModelAdmin(ConsoleAdmin):
    form = ModelForm
    list_display = ("title", "kind", "serving", "strategy_name", "context", "listed", "source")
    list_filter = (
        ("kind", ChoicesDropdownFilter),
        ("strategy", ChoicesDropdownFilter),
        "hidden",
        ("source", ChoicesDropdownFilter),
    )
    search_fields = ("name", "aliases", "hidden_aliases", "deployments__name", "deployments__upstream_model")
    search_help_text = "Search by model, alias or deployment"
    readonly_fields = ORIGIN_FIELDS
    inlines = (DeploymentInline, FallbackInline)
    actions = ("hide", "show")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        text: str = "Clients ask for this name; the deployments below answer, each its share."
        if obj is not None and is_pattern(obj.name):
            rule = "Clients ask for any name that fits and is no other model's; the deployments below answer."
            text = format_html("{} {}", badge("wildcard", Tone.PLAIN), rule)
        return [
            (
                "What clients see",
                {
                    "fields": ["name", "kind", "hidden", "aliases", "hidden_aliases"],
                    "description": text,
                },
            ),
            ("Whom to ask first", {"fields": ["strategy"]}),
            _group(
                "When a deployment fails",
                obj,
                ["max_attempts", "retries_by_error", "eject_after", "eject_seconds"],
                "The next one is asked, never the same twice; after them all, the fallbacks below.",
            ),
            _group(
                "Timeouts and queue",
                obj,
                ["deadline", *TIMES, "max_queue"],
                "In seconds, for all its deployments; one with a time of its own goes by that.",
            ),
            (
                "Bounds and notes",
                {"classes": ["collapse"], "fields": ["max_input_tokens", "max_output_tokens", "info"]},
            ),
            *([ORIGIN] if obj else []),
        ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Model]:
        deployments: QuerySet[Deployment] = Deployment.objects.select_related("provider")
        fallbacks: QuerySet[Fallback] = Fallback.objects.select_related("to").order_by("position", "pk")
        return (
            super()
            .get_queryset(request)
            .prefetch_related(Prefetch("deployments", deployments), Prefetch("fallbacks", fallbacks))
        )

    @display(description="Name", ordering="name")
    def title(self, obj: Model) -> SafeString:
        aliases = [*obj.aliases, *obj.hidden_aliases]
        others = list(dict.fromkeys(row.to.name for row in obj.fallbacks.all()))
        notes = [
            *([f"also {', '.join(aliases)}"] if aliases else []),
            *([f"else {', '.join(others)}"] if others else []),
        ]
        mark = format_html(" {}", badge("wildcard", Tone.PLAIN)) if is_pattern(obj.name) else ""
        line = '<span class="sy-note sy-two-lines" title="{}">{}</span>'
        under = format_html_join("", line, ((note, note) for note in notes))
        return format_html("{}{}{}", cell(obj.name), mark, under)

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

    @display(description="Strategy", ordering="strategy")
    def strategy_name(self, obj: Model) -> SafeString:
        label, _, meaning = obj.get_strategy_display().partition(":")
        return format_html('<span title="{}">{}</span>', meaning.strip(), label)

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


def _group(title: str, obj: Any, fields: list[str], description: str) -> Any:
    """Fields that most models leave alone: folded up until one of them says something."""
    said = obj is not None and any(getattr(obj, name) not in (None, {}) for name in fields)
    more = {} if said else {"classes": ["collapse"]}
    return (title, {"fields": fields, "description": description, **more})


@admin.register(Fallback)
class FallbackAdmin(ConsoleAdmin):
    """All fallbacks, to be searched; each model's own are written on its page."""

    list_display = ("title", "to_link", "on", "position", "updated_at", "source")
    list_filter = (
        ("on", ChoicesDropdownFilter),
        ("model", RowFilter),
        ("to", RowFilter),
        ("source", ChoicesDropdownFilter),
    )
    search_fields = ("model__name", "to__name")
    search_help_text = "Search by model"
    list_select_related = ("model", "to")
    autocomplete_fields = ("model", "to")
    readonly_fields = ORIGIN_FIELDS
    ordering = ("model__name", "on", "position", "pk")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        text = "When no deployment of the model could answer, the other one is asked; its own limits hold."
        fields = ["model", "to", "on", "position"]
        return [("Fallback", {"fields": fields, "description": text}), *([ORIGIN] if obj else [])]

    @display(description="Model", ordering="model__name")
    def title(self, obj: Fallback) -> SafeString:
        return cell(obj.model.name)

    @display(description="Ask instead", ordering="to__name")
    def to_link(self, obj: Fallback) -> SafeString:
        return link(reverse("admin:providers_model_change", args=[obj.to_id]), obj.to.name)
