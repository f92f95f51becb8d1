"""The console's page of reratings, which are only read: who rated what anew, and what that came to."""

from datetime import datetime

from django.contrib import admin
from django.contrib.admin import display
from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from providers.console import Tone, badge, cell, link
from usage.amounts import dollars
from usage.models import Attempt, RatedBefore, Rerating
from usage.pages import ReadOnlyAdmin

_SHOWN = 20


@admin.register(Rerating)
class ReratingAdmin(ReadOnlyAdmin):
    list_display = ("begun", "model_name", "who", "span", "changed_of", "cost_change", "state")
    ordering = ("-pk",)
    fieldsets = (
        ("Run", {"fields": ["model", "span", "who", "begun", "state", "config_version"]}),
        ("Outcome", {"fields": ["changed_of", "unresolved", "cost_change", "old_costs"]}),
    )
    readonly_fields = ("span", "begun", "state", "changed_of", "cost_change", "old_costs")

    @display(description="Started")
    def begun(self, obj: Rerating) -> str:
        return _moment(obj.started_at)

    @display(description="Model")
    def model_name(self, obj: Rerating) -> SafeString:
        return cell(obj.model)

    @display(description="Attempts of")
    def span(self, obj: Rerating) -> str:
        return f"{_moment(obj.since)} to {_moment(obj.until)}"

    @display(description="Changed")
    def changed_of(self, obj: Rerating) -> str:
        return f"{obj.changed:,} of {obj.rows:,}"

    @display(description="Cost")
    def cost_change(self, obj: Rerating) -> str:
        return f"{dollars(obj.cost_before)} → {dollars(obj.cost_after)}"

    @display(description="State")
    def state(self, obj: Rerating) -> SafeString:
        return badge("unfinished", Tone.WARN) if obj.finished_at is None else badge("finished", Tone.GOOD)

    @display(description="What they cost before")
    def old_costs(self, obj: Rerating) -> SafeString:
        return before(obj.changes.order_by("attempt_id")) or format_html("-")


def before(changes: QuerySet[RatedBefore]) -> SafeString:
    """The first of these old costs beside what their attempts cost now."""
    shown = list(changes[:_SHOWN])
    now = Attempt.objects.in_bulk([change.attempt_id for change in shown])
    lines = (
        (
            link(reverse("admin:usage_attempt_change", args=[change.attempt_id]), str(change.attempt_id)),
            dollars(change.cost_nano, change.price_id is not None),
            dollars(now[change.attempt_id].cost_nano, now[change.attempt_id].priced),
        )
        for change in shown
        if change.attempt_id in now
    )
    return format_html_join("", "<div>{} {} → {}</div>", lines)


def _moment(at: datetime) -> str:
    return f"{timezone.localtime(at):%d %b %Y %H:%M:%S}"
