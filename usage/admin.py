"""The console's pages of requests. They are read, never written."""

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.contrib.admin import display
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.views import ChangeList

from keys.models import ApiKey
from providers.console import Tone, badge, cell, code, link
from providers.decisions import Fate
from usage import exchange_admin, explained, rerating_admin, stored_admin, sums_admin
from usage.amounts import dollars, duration
from usage.filters import (
    ANOMALIES,
    AnomalyFilter,
    AttemptDateFilter,
    AttemptSpanFilter,
    ChatFilter,
    ModelFilter,
)
from usage.models import Attempt, Exchange, RatedBefore
from usage.pages import NEWER, OLDER, KeysetChangeList, ReadOnlyAdmin, chat_url
from usage.sums_admin import TONES

_WHY_TONES: dict[str, str] = {Fate.CHOSEN: "sy-why-chosen", Fate.AGAIN: "sy-why-chosen"}
__all__ = [
    "AttemptAdmin",
    "exchange_admin",
    "rerating_admin",
    "stored_admin",
    "sums_admin",
]  # Django looks for pages here alone


def _beside(row: Attempt) -> str:
    """What was used that is not counted in tokens."""
    counted = (
        (row.images, "image" if row.images == 1 else "images"),
        (row.audio_seconds, "s heard"),
        (row.characters, "characters spoken"),
    )
    return ", ".join(f"{count:,} {of}" for count, of in counted if count)


@admin.register(Attempt)
class AttemptAdmin(ReadOnlyAdmin):
    list_display = (
        "when",
        "outcome",
        "model_name",
        "where",
        "key_name",
        "tokens_used",
        "first_token",
        "took",
        "cost",
    )
    list_filter = (
        AttemptSpanFilter,
        ("started_at", AttemptDateFilter),
        ModelFilter,
        ("status", ChoicesDropdownFilter),
        AnomalyFilter,
        ChatFilter,
    )
    list_filter_submit = True
    search_fields = ("request_id",)
    search_help_text = "Exact request id, attempt id or key"
    looked_up = frozenset(
        {
            *(OLDER, NEWER, "model", "age", "anomaly", "chat"),
            *("status__exact", "started_at_from", "started_at_to"),
        }
    )
    ordering = ("-attempt_id",)
    fieldsets = (
        ("Outcome", {"fields": ["outcome", "model", "where", "first_token", "took", "delivery"]}),
        ("Why", {"fields": ["why"]}),
        ("Tokens", {"fields": ["tokens_used", "details", "counted_by", "cost", "cost_before"]}),
        (
            "Request",
            {
                "fields": [
                    *("key_link", "team", "end_user", "task", "chat", "endpoint", "started_exact", "said")
                ]
            },
        ),
        ("Trace", {"fields": ["request_code", "attempt_code", "upstream_code", "siblings"]}),
    )
    readonly_fields = (
        "outcome",
        "where",
        "first_token",
        "took",
        "delivery",
        "why",
        "tokens_used",
        "details",
        "beside",
        "counted_by",
        "cost",
        "cost_before",
        "key_link",
        "chat",
        "started_exact",
        "said",
        "request_code",
        "attempt_code",
        "upstream_code",
        "siblings",
    )

    def get_changelist(self, request: HttpRequest, **_: Any) -> type[ChangeList]:
        return KeysetChangeList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Attempt], search_term: str
    ) -> tuple[QuerySet[Attempt], bool]:
        """Exact and by index: an attempt or request id, else the name or id of a key."""
        term = search_term.strip()
        if not term:
            return queryset, False
        try:
            wanted = Q(request_id=term) | Q(attempt_id=UUID(term))
        except ValueError:
            wanted = Q(request_id=term)
        if not Attempt.objects.filter(wanted).exists():
            named = ApiKey.objects.filter(name=term).values_list("public_id", flat=True)
            wanted = Q(key_id__in=[term, *named])
        return queryset.filter(wanted), False

    @display(description="Time")
    def when(self, obj: Attempt) -> SafeString:
        local = timezone.localtime(obj.started_at)
        return format_html(
            '<span class="sy-when" title="{}">{} <span class="sy-dim">{}</span></span>',
            local.isoformat(timespec="milliseconds"),
            f"{local:%H:%M:%S}",
            f"{local:%d %b}",
        )

    @display(description="Started")
    def started_exact(self, obj: Attempt) -> str:
        return timezone.localtime(obj.started_at).isoformat(" ", "milliseconds")

    @display(description="Model")
    def model_name(self, obj: Attempt) -> SafeString:
        return cell(obj.model)

    @display(description="Deployment")
    def where(self, obj: Attempt) -> SafeString | str:
        if not obj.deployment:
            return "-"
        named = f" as {obj.upstream_model}" if obj.upstream_model else ""
        return format_html('{}<span class="sy-note">{}{}</span>', cell(obj.deployment), obj.provider, named)

    @display(description="Reasons")
    def why(self, obj: Attempt) -> SafeString:
        """Who was asked, why nobody else was, and what its end meant: a line each."""
        lines = explained.lines_of(obj)
        marked = ((_WHY_TONES.get(each.fate, ""), each.name, each.text) for each in lines)
        line = '<li class="{}"><b>{}</b> {}</li>'
        return format_html('<ul class="sy-why">{}</ul>', format_html_join("", line, marked))

    @display(description="Key")
    def key_name(self, obj: Attempt) -> SafeString:
        """The key, and below it what the request was for and the chat that it belongs to."""
        notes = [format_html("{}", obj.task)] if obj.task else []
        if obj.chat_id:
            shown = f"chat {obj.chat_id}" if len(obj.chat_id) <= 9 else f"chat {obj.chat_id[:8]}…"
            link_to = '<a class="sy-link" href="{}" title="{}">{}</a>'
            notes.append(format_html(link_to, chat_url("attempt", obj.chat_id), obj.chat_id, shown))
        if not notes:
            return cell(obj.key)
        note = format_html_join(" · ", "{}", ((each,) for each in notes))
        return format_html('{}<span class="sy-note">{}</span>', cell(obj.key), note)

    @display(description="Chat")
    def chat(self, obj: Attempt) -> SafeString | str:
        if not obj.chat_id:
            return "-"
        return link(chat_url("attempt", obj.chat_id), obj.chat_id)

    @display(description="Key")
    def key_link(self, obj: Attempt) -> SafeString | str:
        row = ApiKey.objects.filter(public_id=obj.key_id).only("pk", "name").first()
        if row is None:
            return f"{obj.key} ({obj.key_id}, deleted since)"
        return link(reverse("admin:keys_apikey_change", args=[row.pk]), obj.key)

    @display(description="Outcome")
    def outcome(self, obj: Attempt) -> SafeString:
        known = [str(obj.http_status)] if obj.http_status and obj.status != Attempt.Status.OK else []
        note = " · ".join([*known, *([obj.error_class] if obj.error_class else [])])
        return badge(obj.status, TONES[Attempt.Status(obj.status)], note)

    @display(description="Tokens in / out")
    def tokens_used(self, obj: Attempt) -> SafeString:
        text = f"{obj.prompt_tokens:,} / {obj.completion_tokens:,}"
        title = "estimated" if obj.estimated else "as the provider counted"
        counts = format_html('<span class="sy-num" title="{}">{}{}</span>', title, "~ " * obj.estimated, text)
        if beside := _beside(obj):
            counts = format_html('{}<span class="sy-note">{}</span>', counts, beside)
        if not obj.anomaly:
            return counts
        name, _ = ANOMALIES.get(obj.anomaly, (obj.anomaly, ""))
        return format_html("{} {}", counts, badge(f"usage {name.lower()}", Tone.WARN))

    @display(description="Cached / reasoning")
    def details(self, obj: Attempt) -> str:
        return f"{obj.cached_tokens:,} / {obj.reasoning_tokens:,}"

    @display(description="Beside tokens")
    def beside(self, obj: Attempt) -> str:
        return _beside(obj) or "-"

    @display(description="Counted by")
    def counted_by(self, obj: Attempt) -> str:
        if obj.anomaly:
            name, meaning = ANOMALIES.get(obj.anomaly, (obj.anomaly, ""))
            return f"{name}: {meaning}"
        return "estimate: the provider did not say" if obj.estimated else "the provider"

    @display(description="Prompt and answer")
    def said(self, obj: Attempt) -> SafeString | str:
        if not Exchange.objects.filter(pk=obj.pk).exists():
            return "not kept"
        return link(reverse("admin:usage_exchange_change", args=[obj.pk]), "Show")

    @display(description="Delivery")
    def delivery(self, obj: Attempt) -> str:
        return "stream" if obj.stream else "whole answer"

    @display(description="First token")
    def first_token(self, obj: Attempt) -> str:
        return duration(obj.ttft_ms)

    @display(description="Took")
    def took(self, obj: Attempt) -> str:
        return duration(obj.latency_ms)

    @display(description="Cost")
    def cost(self, obj: Attempt) -> str:
        return dollars(obj.cost_nano, obj.priced)

    @display(description="Cost before")
    def cost_before(self, obj: Attempt) -> SafeString | str:
        changes = RatedBefore.objects.filter(attempt_id=obj.pk).order_by("-rerating")
        lines = (
            (
                dollars(change.cost_nano, change.price_id is not None),
                link(
                    reverse("admin:usage_rerating_change", args=[change.rerating_id]),
                    f"rerating {change.rerating_id}",
                ),
            )
            for change in changes
        )
        return format_html_join("", "<div>{} until {}</div>", lines) or "never rated anew"

    @display(description="Request id")
    def request_code(self, obj: Attempt) -> SafeString:
        return code(obj.request_id)

    @display(description="Attempt id")
    def attempt_code(self, obj: Attempt) -> SafeString:
        return code(str(obj.attempt_id))

    @display(description="Upstream request id")
    def upstream_code(self, obj: Attempt) -> SafeString | str:
        return code(obj.upstream_request_id) if obj.upstream_request_id else "-"

    @display(description="Attempts")
    def siblings(self, obj: Attempt) -> SafeString:
        rows = Attempt.objects.filter(request_id=obj.request_id).order_by("attempt_id")[:20]
        items = (
            (
                reverse("admin:usage_attempt_change", args=[row.pk]),
                row.deployment or "no deployment",
                badge(row.status, TONES[Attempt.Status(row.status)]),
                duration(row.latency_ms),
                "sy-here" if row.pk == obj.pk else "",
            )
            for row in rows
        )
        line = (
            '<li class="{4}"><a class="sy-link" href="{0}">{1}</a> {2} <span class="sy-dim">{3}</span></li>'
        )
        return format_html('<ol class="sy-steps">{}</ol>', format_html_join("", line, items))
