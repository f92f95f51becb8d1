"""The console's list of thresholds that limits crossed. It is read, never written."""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import DropdownFilter
from unfold.paginator import InfinitePaginator

from keys.forms import dollars_text
from keys.limit_text import holder_link, measure
from keys.models import Limit
from providers.console import Tone, badge, link
from usage.models import LimitAlert
from usage.pages import ReadOnlyAdmin

TONES = {100: Tone.BAD, 80: Tone.WARN}


class PercentFilter(DropdownFilter):
    """By the threshold that was crossed."""

    title = "threshold"
    parameter_name = "percent"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("50", "50 %"), ("80", "80 %"), ("100", "100 %")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        chosen = self.value()
        return queryset.filter(percent=int(chosen)) if chosen in ("50", "80", "100") else queryset


class ToldFilter(DropdownFilter):
    """By whether somebody could not be told yet."""

    title = "told"
    parameter_name = "told"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("problem", "With a problem")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.exclude(problem="") if self.value() == "problem" else queryset


def _when(moment: datetime) -> SafeString:
    return format_html('<span class="sy-when">{}</span>', f"{timezone.localtime(moment):%d %b %Y %H:%M}")


@admin.register(LimitAlert)
class LimitAlertAdmin(ReadOnlyAdmin):
    list_display = ("noticed", "threshold", "limit_link", "holder", "used_of", "told")
    list_filter = (PercentFilter, ToldFilter)
    list_select_related = (
        *("limit__key", "limit__team", "limit__end_user", "limit__deployment", "limit__model"),
    )
    search_fields = ("=limit__key__name", "=limit__team__name", "=limit__end_user__name")
    search_help_text = "Key, team or end user, exactly"
    looked_up = frozenset({"percent", "told"})
    ordering = ("-noticed_at", "-pk")
    paginator = InfinitePaginator
    fieldsets = (
        (None, {"fields": ["noticed", "threshold", "limit_link", "holder", "used_of", "counted_from"]}),
        ("Told", {"fields": ["mailed", "posted", "problem_text"]}),
    )
    readonly_fields = (
        *("noticed", "threshold", "limit_link", "holder", "used_of", "counted_from"),
        *("mailed", "posted", "problem_text"),
    )

    @display(description="Noticed")
    def noticed(self, obj: LimitAlert) -> SafeString:
        return _when(obj.noticed_at)

    @display(description="Threshold")
    def threshold(self, obj: LimitAlert) -> SafeString:
        return badge(f"{obj.percent} %", TONES.get(obj.percent, Tone.PLAIN))

    @display(description="Limit")
    def limit_link(self, obj: LimitAlert) -> SafeString:
        return link(reverse("admin:keys_limit_change", args=[obj.limit_id]), measure(obj.limit))

    @display(description="Of")
    def holder(self, obj: LimitAlert) -> SafeString:
        return holder_link(obj.limit)

    @display(description="Used of what it allowed then")
    def used_of(self, obj: LimitAlert) -> SafeString:
        texts = [_amount(obj.limit, amount) for amount in (obj.used, obj.amount)]
        return format_html('<span class="sy-num">{} of {}</span>', *texts)

    @display(description="Counted from")
    def counted_from(self, obj: LimitAlert) -> SafeString:
        return _when(obj.window_start)

    @display(description="Told")
    def told(self, obj: LimitAlert) -> SafeString:
        ways = [name for name, at in (("e-mail", obj.mailed_at), ("webhook", obj.posted_at)) if at]
        if obj.problem:
            return badge("problem", Tone.BAD, obj.problem)
        return badge(" and ".join(ways), Tone.GOOD) if ways else badge("not sent", Tone.PLAIN)

    @display(description="By e-mail")
    def mailed(self, obj: LimitAlert) -> SafeString | str:
        return _when(obj.mailed_at) if obj.mailed_at else "no"

    @display(description="By webhook")
    def posted(self, obj: LimitAlert) -> SafeString | str:
        return _when(obj.posted_at) if obj.posted_at else "no"

    @display(description="Problem")
    def problem_text(self, obj: LimitAlert) -> str:
        return obj.problem or "none"


def _amount(limit: Limit, amount: int) -> str:
    return f"${dollars_text(amount)}" if limit.metric == Limit.Metric.COST else f"{amount:,}"
