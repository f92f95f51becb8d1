"""The console's pages for teams, API keys and limits."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin
from django.contrib.admin import action, display
from django.db.models import Count, F, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import add_never_cache_headers
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from unfold.admin import TabularInline
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter, DropdownFilter

from keys import tokens
from keys.forms import ApiKeyForm, LimitForm
from keys.issuing import stamp
from keys.models import ApiKey, Limit, Team
from providers.console import ORIGIN, ORIGIN_FIELDS, ConsoleAdmin, Tone, badge, cell, code, lines, link
from providers.models import Model

EXCHANGES = (
    "Prompts and answers",
    {"classes": ["collapse"], "fields": ["keep_exchanges", "exchange_days"]},
)
AT_MOST = 3  # what a list cell names before it counts the rest


def brief(names: list[str]) -> str:
    """The first few of some names, and how many more there are."""
    more = f" and {len(names) - AT_MOST} more" if len(names) > AT_MOST else ""
    return ", ".join(names[:AT_MOST]) + more


def ago(moment: datetime) -> str:
    """`3 hours ago`, `just now` below a minute."""
    if timezone.now() - moment < timedelta(minutes=1):
        return "just now"
    return f"{timesince(moment, depth=1)} ago"


def measure(limit: Limit) -> str:
    """`1,000 tokens per minute`, `4 parallel requests`."""
    window = {"": "", "total": " in total"}.get(limit.window, f" per {limit.window}")
    return f"{limit.amount:,} {limit.get_metric_display()}{window}"


def limit_text(limit: Limit) -> str:
    """`1,000 tokens per minute (llm)`, as lists show it."""
    where = f" ({limit.model.name})" if limit.model else ""
    shadow = ", shadow" if limit.mode == Limit.Mode.SHADOW else ""
    return measure(limit) + where + shadow


def brief_limits(limits: Iterable[Limit]) -> SafeString | str:
    """The first few limits, a line each, and how many more there are."""
    found = [limit_text(limit) for limit in limits]
    more = [f"and {len(found) - AT_MOST} more"] if len(found) > AT_MOST else []
    return lines(found[:AT_MOST] + more) if found else "-"


class LimitInline(TabularInline):
    model = Limit
    form = LimitForm
    extra = 0
    show_title = False
    fields = ("metric", "amount", "window", "model", "time_zone", "mode")
    autocomplete_fields = ("model",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Limit]:
        return super().get_queryset(request).select_related("model")


class KeyLimitInline(LimitInline):
    fk_name = "key"


class TeamLimitInline(LimitInline):
    fk_name = "team"


@admin.register(Team)
class TeamAdmin(ConsoleAdmin):
    list_display = ("title", "key_count", "limit_list", "updated_at")
    search_fields = ("name", "notes")
    search_help_text = "Search by name"
    readonly_fields = ORIGIN_FIELDS
    inlines = (TeamLimitInline,)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        text = "People who share keys and limits: a team's limits hold for all of its keys together."
        return [
            ("Team", {"fields": ["name", "notes"], "description": text}),
            EXCHANGES,
            *([ORIGIN] if obj else []),
        ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Team]:
        rows: QuerySet[Team] = super().get_queryset(request).prefetch_related("limits__model")
        return rows.annotate(key_total=Count("keys"))

    @display(description="Name", ordering="name")
    def title(self, obj: Team) -> SafeString:
        return cell(obj.name)

    @display(description="Keys", ordering="key_total")
    def key_count(self, obj: Any) -> SafeString:
        url = reverse("admin:keys_apikey_changelist") + f"?team__id__exact={obj.pk}"
        return link(url, str(obj.key_total))

    @display(description="Limits")
    def limit_list(self, obj: Team) -> SafeString | str:
        return brief_limits(obj.limits.all())


class UsableFilter(DropdownFilter):
    """Keys by whether they are let in."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("active", "Active"),
            ("disabled", "Disabled"),
            ("expired", "Expired"),
            ("unused", "Never used"),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> QuerySet[ApiKey]:
        expired = Q(expires_at__lte=timezone.now())
        chosen = {
            "active": Q(enabled=True) & ~expired,
            "disabled": Q(enabled=False),
            "expired": expired,
            "unused": Q(last_used_at=None),
        }.get(self.value() or "")
        return queryset.filter(chosen) if chosen is not None else queryset


def key_badge(key: ApiKey) -> SafeString:
    """Whether this key is let in, and if not, why."""
    if not key.enabled:
        return badge("disabled", Tone.PLAIN)
    if key.expires_at is None:
        return badge("active", Tone.GOOD)
    if key.expired:
        return badge("expired", Tone.BAD, ago(key.expires_at))
    return badge("active", Tone.GOOD, f"for another {timesince(timezone.now(), key.expires_at, depth=1)}")


@admin.register(ApiKey)
class ApiKeyAdmin(ConsoleAdmin):
    form = ApiKeyForm
    list_display = ("title", "state", "begins_with", "team_link", "models_list", "limit_list", "last_used")
    list_filter = (UsableFilter, ("team", AutocompleteSelectFilter), ("source", ChoicesDropdownFilter))
    search_fields = ("name", "=public_id", "hint", "team__name")
    search_help_text = "Search by name, key id, beginning or team"
    list_select_related = ("team",)
    autocomplete_fields = ("team", "allowed_models")
    readonly_fields = ("state", "begins_with", "key_id", "last_used", *ORIGIN_FIELDS)
    inlines = (KeyLimitInline,)
    actions = ("enable", "disable")
    conditional_fields = {"allowed_models": "all_models == false"}
    never_looked_up = frozenset({"verifier", "pepper"})

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        whose = ["name", "team", *(["enabled"] if obj else []), "expires_at"]
        made = "The key itself is made when you save and shown once."
        status = ("Status", {"fields": ["state", "begins_with", "key_id", "last_used"]})
        return [
            *([status] if obj else []),
            ("Key", {"fields": whose, "description": "" if obj else made}),
            ("Models", {"fields": ["all_models", "allowed_models"]}),
            EXCHANGES,
            ("Rights", {"classes": ["collapse"], "fields": ["is_admin"]}),
            *([ORIGIN] if obj else []),
        ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiKey]:
        return super().get_queryset(request).prefetch_related("limits__model", "allowed_models")

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if not change:
            # only this request ever holds the text: not the session, not the row
            request.key_text = tokens.generate()  # type: ignore[attr-defined]
            stamp(obj, request.key_text)  # type: ignore[attr-defined]
        super().save_model(request, obj, form, change)  # type: ignore[no-untyped-call]

    def response_add(
        self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Show the new key, here and never again: the page is not kept by any cache."""
        named = obj.allowed_models if not obj.all_models else Model.objects.filter(hidden=False)
        context = {
            **self.admin_site.each_context(request),
            "title": "API key created",
            "opts": self.opts,
            "key": obj,
            "text": request.key_text,  # type: ignore[attr-defined]
            "base_url": request.build_absolute_uri("/v1"),
            "model": named.values_list("name", flat=True).first() or "MODEL",
        }
        response = TemplateResponse(request, "console/key_created.html", context)
        add_never_cache_headers(response)
        return response

    @display(description="Name", ordering="name")
    def title(self, obj: ApiKey) -> SafeString:
        return cell(obj.name)

    @display(description="Begins with", ordering="hint")
    def begins_with(self, obj: ApiKey) -> SafeString | str:
        return code(obj.hint) if obj.hint else "-"

    @display(description="Key id")
    def key_id(self, obj: ApiKey) -> SafeString:
        return code(obj.public_id)

    @display(description="Team", ordering="team__name")
    def team_link(self, obj: ApiKey) -> SafeString | str:
        return link(reverse("admin:keys_team_change", args=[obj.team.pk]), obj.team.name) if obj.team else "-"

    @display(description="Models")
    def models_list(self, obj: ApiKey) -> SafeString:
        if obj.is_admin:
            return badge("master key", Tone.WARN)
        if obj.all_models:
            return cell("all")
        names = [model.name for model in obj.allowed_models.all()]
        return cell(brief(names)) if names else badge("none", Tone.BAD)

    @display(description="Limits")
    def limit_list(self, obj: ApiKey) -> SafeString | str:
        return brief_limits(obj.limits.all())

    @display(description="Last used", ordering=F("last_used_at").desc(nulls_last=True))
    def last_used(self, obj: ApiKey) -> str:
        return ago(obj.last_used_at) if obj.last_used_at else "never"

    @display(description="State", ordering="enabled")
    def state(self, obj: ApiKey) -> SafeString:
        return key_badge(obj)

    @action(description="Enable the chosen keys", permissions=["change"])
    def enable(self, request: HttpRequest, rows: QuerySet[ApiKey]) -> None:
        self.set_on_each(request, rows, "enabled", True, "Enabled")

    @action(description="Disable the chosen keys", permissions=["change"])
    def disable(self, request: HttpRequest, rows: QuerySet[ApiKey]) -> None:
        self.set_on_each(request, rows, "enabled", False, "Disabled")


@admin.register(Limit)
class LimitAdmin(ConsoleAdmin):
    form = LimitForm
    list_display = ("title", "holder", "model_link", "mode_label", "updated_at")
    list_filter = (
        ("metric", ChoicesDropdownFilter),
        ("mode", ChoicesDropdownFilter),
        ("team", AutocompleteSelectFilter),
        ("model", AutocompleteSelectFilter),
    )
    search_fields = ("key__name", "team__name", "model__name")
    search_help_text = "Search by key, team or model"
    list_select_related = ("key", "team", "model")
    autocomplete_fields = ("key", "team", "model")
    readonly_fields = ORIGIN_FIELDS
    ordering = ("key__name", "team__name", "pk")
    actions = ("enforce", "shadow")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return [
            (
                "Whose",
                {"fields": ["key", "team", "model"], "description": "Choose a key or a team, not both."},
            ),
            (
                "How much",
                {
                    "fields": ["metric", "amount", "window", "time_zone", "mode"],
                    "description": "Second, minute and hour roll; day, week and month follow the calendar. "
                    "A shadow limit only counts what it would have refused.",
                },
            ),
            *([ORIGIN] if obj else []),
        ]

    @display(description="Limit", ordering="amount")
    def title(self, obj: Limit) -> SafeString:
        return cell(measure(obj))

    @display(description="Of", ordering="key__name")
    def holder(self, obj: Limit) -> SafeString:
        if obj.key:
            return link(reverse("admin:keys_apikey_change", args=[obj.key.pk]), obj.key.name)
        assert obj.team is not None, "the database holds a limit of a key or of a team"
        return link(reverse("admin:keys_team_change", args=[obj.team.pk]), f"team {obj.team.name}")

    @display(description="Model", ordering="model__name")
    def model_link(self, obj: Limit) -> SafeString | str:
        if obj.model is None:
            return "all together"
        return link(reverse("admin:providers_model_change", args=[obj.model.pk]), obj.model.name)

    @display(description="Mode", ordering="mode")
    def mode_label(self, obj: Limit) -> SafeString:
        return badge(obj.mode, Tone.GOOD if obj.mode == Limit.Mode.ENFORCE else Tone.WARN)

    @action(description="Enforce the chosen limits", permissions=["change"])
    def enforce(self, request: HttpRequest, rows: QuerySet[Limit]) -> None:
        self.set_on_each(request, rows, "mode", Limit.Mode.ENFORCE, "Enforced")

    @action(description="Only count (shadow) the chosen limits", permissions=["change"])
    def shadow(self, request: HttpRequest, rows: QuerySet[Limit]) -> None:
        self.set_on_each(request, rows, "mode", Limit.Mode.SHADOW, "Shadowed")
