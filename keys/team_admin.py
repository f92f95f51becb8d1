"""The console's pages for teams and their members."""

from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin

from keys.forms import TeamForm
from keys.key_badge import key_badge
from keys.limit_admin import TeamLimitInline
from keys.limit_text import brief_limits
from keys.models import ApiKey, Member, Team
from providers.console import ORIGIN, ORIGIN_FIELDS, ConsoleAdmin, cell, link
from providers.console_fields import ConsoleInline

EXCHANGES = (
    "Prompts and answers",
    {"classes": ["collapse"], "fields": ["keep_exchanges", "exchange_days"]},
)
SHOWN_KEYS = 20


class MemberInline(ConsoleInline):
    """The people of a team."""

    model = Member
    fields = ("name", "email", "user", "key_names")
    readonly_fields = ("key_names",)
    autocomplete_fields = ("user",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Member]:
        rows: QuerySet[Member] = super().get_queryset(request)
        return rows.select_related("user").prefetch_related("keys")

    @display(description="Keys")
    def key_names(self, obj: Member) -> SafeString | str:
        return _key_links(obj.keys.all()) if obj.pk else "-"


def _key_links(keys: Any) -> SafeString | str:
    found = ((link(reverse("admin:keys_apikey_change", args=[key.pk]), key.name),) for key in keys)
    return format_html_join(", ", "{}", found) or "-"


@admin.register(Member)
class MemberAdmin(ModelAdmin):
    """Only to be found by the field of a key's page; people are written on the page of their team."""

    search_fields = ("name", "email", "team__name")
    ordering = ("team__name", "name")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Member]:
        return super().get_queryset(request).select_related("team")

    def has_module_permission(self, request: HttpRequest) -> bool:
        return False


@admin.register(Team)
class TeamAdmin(ConsoleAdmin):
    form = TeamForm
    list_display = ("title", "member_count", "key_count", "limit_list", "updated_at")
    search_fields = ("name", "notes", "members__name", "members__email")
    search_help_text = "Search by name or member"
    readonly_fields = ("key_list", *ORIGIN_FIELDS)
    inlines = (MemberInline, TeamLimitInline)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        text = "People who share keys and limits: a team's limits hold for all of its keys together."
        fields = ["name", "notes", "tags", "alert_emails", *(["key_list"] if obj else [])]
        return [("Team", {"fields": fields, "description": text}), EXCHANGES, *([ORIGIN] if obj else [])]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Team]:
        rows: QuerySet[Team] = super().get_queryset(request).prefetch_related("limits__model")
        members = Member.objects.filter(team=OuterRef("pk")).order_by().values("team")
        member_total = Coalesce(Subquery(members.annotate(n=Count("pk")).values("n")), 0)
        return rows.annotate(key_total=Count("keys", distinct=True), member_total=member_total)

    @display(description="Name", ordering="name")
    def title(self, obj: Team) -> SafeString:
        return cell(obj.name)

    @display(description="Members", ordering="member_total")
    def member_count(self, obj: Any) -> str:
        return f"{obj.member_total:,}"

    @display(description="Keys", ordering="key_total")
    def key_count(self, obj: Any) -> SafeString:
        return link(_keys_url(obj), str(obj.key_total))

    @display(description="Limits")
    def limit_list(self, obj: Team) -> SafeString | str:
        return brief_limits(obj.limits.all())

    @display(description="Keys")
    def key_list(self, obj: Any) -> SafeString | str:
        rows = ApiKey.objects.filter(team=obj).select_related("member").order_by("name")[: SHOWN_KEYS + 1]
        line = '<li>{} {}<span class="sy-dim"> {}</span></li>'
        items = (
            (
                link(reverse("admin:keys_apikey_change", args=[key.pk]), key.name),
                key_badge(key),
                key.member.name if key.member else "",
            )
            for key in rows[:SHOWN_KEYS]
        )
        shown = format_html('<ul class="sy-rows">{}</ul>', format_html_join("", line, items))
        if not rows:
            return format_html(
                'none yet: <a class="sy-text-link" href="{}">create one</a>', _new_key_url(obj)
            )
        all_of_them = '{}<a class="sy-text-link" href="{}">Show all in the list</a>'
        return format_html(all_of_them, shown, _keys_url(obj)) if len(rows) > SHOWN_KEYS else shown


def _keys_url(team: Team) -> str:
    return reverse("admin:keys_apikey_changelist") + f"?team__id__exact={team.pk}"


def _new_key_url(team: Team) -> str:
    return reverse("admin:keys_apikey_add") + f"?team={team.pk}"
