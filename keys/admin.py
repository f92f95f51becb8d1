"""The console's pages for API keys; those of teams and limits are in their own modules."""

from typing import Any

from django.contrib import admin
from django.contrib.admin import action, display
from django.db.models import F, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import add_never_cache_headers
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter
from unfold.widgets import UnfoldAdminSelectWidget

from keys import limit_admin, team_admin, tokens
from keys.forms import ApiKeyForm
from keys.issuing import stamp
from keys.key_badge import ago, key_badge
from keys.limit_admin import KeyLimitInline
from keys.limit_text import AT_MOST, brief_limits
from keys.models import ApiKey, Member
from keys.team_admin import EXCHANGES
from providers.console import ORIGIN, ORIGIN_FIELDS, ConsoleAdmin, Tone, badge, cell, code, link, row_ids
from providers.console_fields import RowFilter
from providers.models import Model

__all__ = ["ApiKeyAdmin", "limit_admin", "team_admin"]  # Django looks for pages here alone


def brief(names: list[str]) -> str:
    """The first few of some names, and how many more there are."""
    more = f" and {len(names) - AT_MOST} more" if len(names) > AT_MOST else ""
    return ", ".join(names[:AT_MOST]) + more


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


@admin.register(ApiKey)
class ApiKeyAdmin(ConsoleAdmin):
    form = ApiKeyForm
    list_display = ("title", "state", "begins_with", "team_link", "models_list", "limit_list", "last_used")
    list_filter = (UsableFilter, ("team", RowFilter), ("source", ChoicesDropdownFilter))
    search_fields = ("name", "=public_id", "hint", "team__name", "member__name")
    search_help_text = "Search by name, key id, beginning, team or member"
    list_select_related = ("team", "member")
    autocomplete_fields = ("team", "member", "allowed_models")
    readonly_fields = ("state", "begins_with", "key_id", "last_used", *ORIGIN_FIELDS)
    inlines = (KeyLimitInline,)
    actions = ("enable", "disable")
    conditional_fields = {"allowed_models": "all_models == false"}
    never_looked_up = frozenset({"verifier", "pepper"})

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        whose = ["name", "team", "member", *(["enabled"] if obj else []), "expires_at"]
        made = "The key itself is made when you save and shown once."
        status = ("Status", {"fields": ["state", "begins_with", "key_id", "last_used"]})
        return [
            *([status] if obj else []),
            ("Key", {"fields": whose, "description": "" if obj else made}),
            ("Models", {"fields": ["all_models", "allowed_models"]}),
            ("Tags", {"fields": ["tags"]}),
            (
                "End users and outages",
                {
                    "classes": ["collapse"],
                    "fields": ["end_user_header", "max_end_users", "without_redis"],
                },
            ),
            EXCHANGES,
            ("Rights", {"classes": ["collapse"], "fields": ["is_admin"]}),
            *([ORIGIN] if obj else []),
        ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiKey]:
        return super().get_queryset(request).prefetch_related("limits__model", "allowed_models")

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """Of a key whose team is known, offer the team's members alone."""
        form: Any = super().get_form(request, obj, change, **kwargs)
        teams = [obj.team_id] if obj and obj.team_id else row_ids(request.GET.getlist("team"))
        # what is sent may name another team, and is told so in words
        if request.method == "GET" and teams and "member" in form.base_fields:
            member = form.base_fields["member"]
            member.queryset = Member.objects.filter(team_id__in=teams)
            member.widget = UnfoldAdminSelectWidget()
            member.widget.choices = member.choices
        return form

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
        if obj.team is None:
            return "-"
        text = link(reverse("admin:keys_team_change", args=[obj.team.pk]), obj.team.name)
        if obj.member is None:
            return text
        return format_html('{}<span class="sy-note">{}</span>', text, obj.member.name)

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
