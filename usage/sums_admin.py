"""The console's pages of usage per hour and per day. They are read, never written."""

from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.paginator import InfinitePaginator

from providers.console import Tone, badge, cell
from usage.amounts import dollars, duration
from usage.filters import DaySpanFilter, HourDateFilter, HourSpanFilter, ModelFilter, WholeDayFilter
from usage.models import Attempt, DailyUsage, HourlyUsage, Sums
from usage.pages import ReadOnlyAdmin

TONES = {
    Attempt.Status.OK: Tone.GOOD,
    Attempt.Status.CACHED: Tone.GOOD,
    Attempt.Status.FAILED: Tone.BAD,
    Attempt.Status.INTERRUPTED: Tone.BAD,
    Attempt.Status.REFUSED: Tone.WARN,
    Attempt.Status.CANCELLED: Tone.PLAIN,
}


class SumsAdmin(ReadOnlyAdmin):
    """What hours and days show alike."""

    shown: tuple[Any, ...] = (
        "model_name",
        "deployment_name",
        "key_name",
        "asker",
        "status_badge",
        "request_total",
        "tokens_used",
        "mean",
        "cost",
    )
    list_display_links = None
    list_filter_submit = True
    search_fields = ("=key", "=key_id", "=team", "=end_user")
    search_help_text = "Key name, key id, team or end user, exactly"
    paginator = InfinitePaginator

    @display(description="Model")
    def model_name(self, obj: Sums) -> SafeString:
        return cell(obj.model)

    @display(description="Deployment")
    def deployment_name(self, obj: Sums) -> SafeString | str:
        return cell(obj.deployment) if obj.deployment else "-"

    @display(description="Key")
    def key_name(self, obj: Sums) -> SafeString:
        return _noted(cell(obj.key), obj.team)

    @display(description="End user")
    def asker(self, obj: Sums) -> SafeString:
        return _noted(cell(obj.end_user or "-"), obj.task)

    @display(description="Status")
    def status_badge(self, obj: Sums) -> SafeString:
        return badge(obj.status, TONES[Attempt.Status(obj.status)])

    @display(description="Requests")
    def request_total(self, obj: Sums) -> str:
        return f"{obj.requests:,}"

    @display(description="Tokens in / out")
    def tokens_used(self, obj: Sums) -> SafeString:
        text = f"{obj.prompt_tokens:,} / {obj.completion_tokens:,}"
        return format_html('<span class="sy-num">{}</span>', text)

    @display(description="Mean time")
    def mean(self, obj: Sums) -> str:
        return duration(obj.latency_ms / obj.requests if obj.requests else None)

    @display(description="Cost")
    def cost(self, obj: Sums) -> SafeString:
        note = f"{obj.unpriced:,} without a price" if obj.unpriced else ""
        return _noted(format_html("{}", dollars(obj.cost_nano)), note)


def _noted(text: SafeString, note: str) -> SafeString:
    return format_html('{}<span class="sy-note">{}</span>', text, note) if note else text


@admin.register(HourlyUsage)
class HourlyUsageAdmin(SumsAdmin):
    list_display = ("hour_text", *SumsAdmin.shown)
    list_filter = (
        HourSpanFilter,
        ("hour", HourDateFilter),
        ModelFilter,
        ("status", ChoicesDropdownFilter),
    )
    looked_up = frozenset({"model", "age", "status__exact", "hour_from", "hour_to"})
    ordering = ("-hour", "model", "key")

    @display(description="Hour")
    def hour_text(self, obj: HourlyUsage) -> SafeString:
        local = timezone.localtime(obj.hour)
        text = '<span class="sy-when">{} <span class="sy-dim">{}</span></span>'
        return format_html(text, f"{local:%H}:00", f"{local:%d %b}")


@admin.register(DailyUsage)
class DailyUsageAdmin(SumsAdmin):
    list_display = ("day_text", *SumsAdmin.shown)
    list_filter = (
        DaySpanFilter,
        ("day", WholeDayFilter),
        ModelFilter,
        ("status", ChoicesDropdownFilter),
    )
    looked_up = frozenset({"model", "age", "status__exact", "day_from", "day_to"})
    ordering = ("-day", "model", "key")

    @display(description="Day (UTC)")
    def day_text(self, obj: DailyUsage) -> SafeString:
        return format_html('<span class="sy-when">{}</span>', f"{obj.day:%d %b %Y}")
