"""The console's pages for end users: whom requests were for, what they used, and their limits."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.db.models import F, Max, Q, QuerySet, Sum
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter
from unfold.views import ChangeList

from keys.limit_admin import EndUserLimitInline
from keys.limit_text import brief_limits
from keys.models import EndUser
from providers.console import ORIGIN, ORIGIN_FIELDS, ConsoleAdmin, cell
from usage.amounts import dollars
from usage.models import Attempt, DailyUsage

DAYS = 30
SHOWN_MODELS = 12


@dataclass(frozen=True, slots=True)
class Recent:
    """What was used in the last 30 days (UTC), of one end user or of one model."""

    name: str
    requests: int
    tokens: int
    cost_nano: int
    last: date


def recent(names: Iterable[str], by: str) -> list[Recent]:
    """Sums of the last 30 days of these end users by `end_user` or `model`, the busiest first."""
    since = (datetime.now(UTC) - timedelta(days=DAYS - 1)).date()
    rows = DailyUsage.objects.filter(day__gte=since, end_user__in=list(names))
    sent = ~Q(status__in=(Attempt.Status.REFUSED, Attempt.Status.CACHED))
    grouped = rows.order_by().values(by).annotate(
        made=Sum(F("requests") - F("retries"), filter=sent, default=0),
        tokens=Sum(F("prompt_tokens") + F("completion_tokens"), filter=sent, default=0),
        cost=Sum("cost_nano", filter=sent, default=0),
        last=Max("day"),
    )  # fmt: skip
    found = grouped.order_by("-made", by).values_list(by, "made", "tokens", "cost", "last")
    return [Recent(*sums) for sums in found]


class LimitedFilter(DropdownFilter):
    """End users by whether they have limits of their own."""

    title = "limits"
    parameter_name = "limits"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("own", "With limits of their own"), ("none", "Without")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[EndUser]) -> QuerySet[EndUser]:
        chosen = {"own": False, "none": True}.get(self.value() or "")
        return queryset if chosen is None else queryset.filter(limits__isnull=chosen).distinct()


class EndUserChangeList(ChangeList):
    """Knows what the end users of its page used, with one query for all of them."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        found = {sums.name: sums for sums in recent((row.name for row in self.result_list), "end_user")}
        for row in self.result_list:
            row.recent = found.get(row.name)


@admin.register(EndUser)
class EndUserAdmin(ConsoleAdmin):
    list_display = ("title", "last_seen", "requests", "tokens", "cost", "limit_list", "source")
    list_filter = (LimitedFilter, ("source", ChoicesDropdownFilter))
    search_fields = ("name", "notes")
    search_help_text = "Search by name"
    readonly_fields = ("used", *ORIGIN_FIELDS)
    inlines = (EndUserLimitInline,)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        text = (
            "The name that clients send. Limits of their own stand in place of limits for each end user. "
            "End users that requests name are added by themselves."
        )
        return [
            ("End user", {"fields": ["name", "notes"], "description": text}),
            *([(f"Last {DAYS} days", {"fields": ["used"]}), ORIGIN] if obj else []),
        ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[EndUser]:
        return super().get_queryset(request).prefetch_related("limits__model")

    def get_changelist(self, request: HttpRequest, **_: Any) -> type[ChangeList]:
        return EndUserChangeList

    @display(description="Name", ordering="name")
    def title(self, obj: EndUser) -> SafeString:
        return cell(obj.name)

    @display(description="Last seen")
    def last_seen(self, obj: Any) -> SafeString:
        if obj.recent is None:
            return format_html('<span class="sy-dim">not in {} days</span>', DAYS)
        return format_html('<span class="sy-when">{}</span>', f"{obj.recent.last:%d %b %Y}")

    @display(description="Requests, 30 days")
    def requests(self, obj: Any) -> str:
        return f"{obj.recent.requests:,}" if obj.recent else "-"

    @display(description="Tokens")
    def tokens(self, obj: Any) -> str:
        return f"{obj.recent.tokens:,}" if obj.recent else "-"

    @display(description="Cost")
    def cost(self, obj: Any) -> str:
        return dollars(obj.recent.cost_nano) if obj.recent else "-"

    @display(description="Limits")
    def limit_list(self, obj: EndUser) -> SafeString | str:
        return brief_limits(obj.limits.all())

    @display(description="Used")
    def used(self, obj: EndUser) -> str:
        models = recent([obj.name], "model")
        hidden = max(0, len(models) - SHOWN_MODELS)
        context = {"models": models[:SHOWN_MODELS], "hidden": hidden, "days": DAYS, "name": obj.name}
        return render_to_string("console/end_user_models.html", context)
