"""The console's pages for kept prompts and answers, and for what is taken out of them."""

import json
from contextlib import suppress
from datetime import datetime
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin import action, display
from django.contrib.admin.models import DELETION, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.views import ChangeList

from keys.models import ApiKey
from providers.console import ConsoleAdmin, Tone, badge, cell, code, link
from usage import exchanges
from usage.filters import AttemptSpanFilter, ChatFilter, ModelFilter
from usage.ids import unix_ms
from usage.models import Exchange, RedactionRule
from usage.pages import NEWER, OLDER, KeysetChangeList, ReadOnlyAdmin, chat_url


def pretty(text: str) -> SafeString:
    """JSON with indents, anything else as it is; always escaped."""
    with suppress(ValueError, RecursionError):
        text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    return format_html('<pre class="sy-text">{}</pre>', text or "-")


@admin.register(Exchange)
class ExchangeAdmin(ReadOnlyAdmin):
    list_display = ("when", "key_name", "team", "model_name", "delivery", "size")
    list_filter = (AttemptSpanFilter, ModelFilter, ChatFilter)
    list_filter_submit = True
    search_fields = ("request_id",)
    search_help_text = "Exact request id, key name or key id"
    looked_up = frozenset({OLDER, NEWER, "model", "age", "chat"})
    ordering = ("-attempt_id",)
    actions = ("delete_of_keys",)  # type: ignore[assignment]  # none is the rule for such pages
    fieldsets = (
        ("Exchange", {"fields": ["when", "key", "team", "model", "delivery", "attempt", "chat", "deleted"]}),
        ("Request", {"fields": ["request_text"]}),
        ("Answer", {"fields": ["answer_text"]}),
    )
    readonly_fields = ("when", "delivery", "attempt", "chat", "deleted", "request_text", "answer_text")

    def get_changelist(self, request: HttpRequest, **_: Any) -> type[ChangeList]:
        return KeysetChangeList

    def get_queryset(self, request: HttpRequest) -> QuerySet[Exchange]:
        rows: QuerySet[Exchange] = super().get_queryset(request)
        match = request.resolver_match
        listing = match is not None and (match.url_name or "").endswith("changelist")
        return rows.defer("request", "answer") if listing else rows

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Exchange], search_term: str
    ) -> tuple[QuerySet[Exchange], bool]:
        """Exact: a request id, or the name or id of a key; names of deleted keys are found by id."""
        term = search_term.strip()
        if not term:
            return queryset, False
        named = ApiKey.objects.filter(name=term).values_list("public_id", flat=True)
        return queryset.filter(Q(request_id=term) | Q(key_id__in=[term, *named])), False

    def has_delete_exchanges_permission(self, request: HttpRequest) -> bool:
        """Rows have no delete buttons; who may delete does it by key."""
        return request.user.has_perm("usage.delete_exchange")

    @action(description="Delete every exchange of these keys", permissions=["delete_exchanges"])
    def delete_of_keys(self, request: HttpRequest, rows: QuerySet[Exchange]) -> None:
        for key_id, name in sorted(set(rows.order_by().values_list("key_id", "key"))):
            count = exchanges.delete(Q(key_id=key_id))
            text = f"Deleted {count} prompts and answers of key {name} ({key_id})."
            LogEntry.objects.create(
                user_id=str(request.user.pk),
                content_type=ContentType.objects.get_for_model(Exchange),
                object_id=key_id,
                object_repr=f"exchanges of key {name}"[:200],
                action_flag=DELETION,
                change_message=text,
            )
            self.message_user(request, text, messages.SUCCESS)

    @display(description="Time")
    def when(self, obj: Exchange) -> str:
        moment = datetime.fromtimestamp(unix_ms(obj.attempt_id) / 1000, timezone.get_current_timezone())
        return f"{moment:%Y-%m-%d %H:%M:%S}"

    @display(description="Key")
    def key_name(self, obj: Exchange) -> SafeString:
        return cell(obj.key)

    @display(description="Model")
    def model_name(self, obj: Exchange) -> SafeString:
        return cell(obj.model)

    @display(description="Answer")
    def delivery(self, obj: Exchange) -> SafeString:
        form = "stream" if obj.stream else "whole"
        return badge(form, Tone.PLAIN) if obj.complete else badge("broken off", Tone.WARN, form)

    @display(description="Bytes in / out")
    def size(self, obj: Exchange) -> str:
        return f"{obj.request_bytes:,} / {obj.answer_bytes:,}"

    @display(description="Request")
    def attempt(self, obj: Exchange) -> SafeString:
        return link(reverse("admin:usage_attempt_change", args=[obj.pk]), obj.request_id)

    @display(description="Chat")
    def chat(self, obj: Exchange) -> SafeString | str:
        return link(chat_url("exchange", obj.chat_id), obj.chat_id) if obj.chat_id else "-"

    @display(description="Deleted")
    def deleted(self, obj: Exchange) -> str:
        if obj.delete_after is None:
            return "as EXCHANGE_RETENTION_DAYS says"
        return f"after {timezone.localtime(obj.delete_after):%Y-%m-%d %H:%M}"

    @display(description="As the client sent it")
    def request_text(self, obj: Exchange) -> SafeString:
        return pretty(obj.request)

    @display(description="As the provider gave it")
    def answer_text(self, obj: Exchange) -> SafeString:
        return pretty(obj.answer)


@admin.register(RedactionRule)
class RedactionRuleAdmin(ConsoleAdmin):
    list_display = ("name", "state", "shown_pattern", "replacement")
    search_fields = ("name",)
    search_help_text = "Search by name"

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        text = (
            "Applied to prompts and answers before they are stored, to those that come from now on. "
            "Where a rule takes too long on a text, the text is not stored."
        )
        fields = ["name", "pattern", "replacement", "enabled"]
        return [("Rule", {"fields": fields, "description": text})]

    @display(description="State", ordering="enabled")
    def state(self, obj: RedactionRule) -> SafeString:
        return badge("on", Tone.GOOD) if obj.enabled else badge("off", Tone.PLAIN)

    @display(description="Pattern")
    def shown_pattern(self, obj: RedactionRule) -> SafeString:
        return code(obj.pattern)
