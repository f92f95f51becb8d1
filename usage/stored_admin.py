"""The console's page of files and batches that clients keep at providers. They are read, never written."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.paginator import InfinitePaginator
from unfold.views import ChangeList

from keys.models import ApiKey, Team
from providers.console import Tone, badge, cell, code, link
from providers.models import Provider
from usage.models import StoredObject
from usage.pages import ReadOnlyAdmin

_TONES = {
    "completed": Tone.GOOD,
    "processed": Tone.GOOD,
    "failed": Tone.BAD,
    "error": Tone.BAD,
    "expired": Tone.WARN,
    "cancelled": Tone.PLAIN,
}


def name(rows: Sequence[StoredObject]) -> None:
    """Give each row the names of its provider and team, as they are now; None: gone, or without a team."""
    ids, owners = {row.place for row in rows}, {row.owner for row in rows}
    teams = [owner.removeprefix("team ") for owner in owners if owner.startswith("team ")]
    providers = {str(pk): name for pk, name in Provider.objects.filter(pk__in=ids).values_list("pk", "name")}
    named = {f"team {pk}": name for pk, name in Team.objects.filter(pk__in=teams).values_list("pk", "name")}
    for row in rows:
        row.provider_name, row.team_name = providers.get(row.place), named.get(row.owner)  # type: ignore[attr-defined]


class NamedChangeList(ChangeList):
    """A page of rows with the names of what they belong to."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = list(self.result_list)
        name(self.result_list)


@admin.register(StoredObject)
class StoredObjectAdmin(ReadOnlyAdmin):
    list_display = ("when", "what", "about", "state", "provider", "key_name", "team")
    list_filter = (("kind", ChoicesDropdownFilter),)
    list_filter_submit = True
    looked_up = frozenset({"kind__exact"})
    search_fields = ("upstream_id",)
    search_help_text = "Exact id at the provider, key name or key id"
    ordering = ("-pk",)
    paginator = InfinitePaginator
    fieldsets = (
        ("Kept", {"fields": ["kind", "about", "state", "when", "expires"]}),
        ("Whose", {"fields": ["key_link", "team"]}),
        ("Where", {"fields": ["provider", "id_there"]}),
        ("As the provider last told", {"fields": ["told_text"]}),
    )
    readonly_fields = (
        "about",
        "state",
        "when",
        "expires",
        "key_link",
        "team",
        "provider",
        "id_there",
        "told_text",
    )

    def get_changelist(self, request: HttpRequest, **_: Any) -> type[ChangeList]:
        return NamedChangeList

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> StoredObject | None:
        row: StoredObject | None = super().get_object(request, object_id, from_field)
        name([row] if row else [])
        return row

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[StoredObject], search_term: str
    ) -> tuple[QuerySet[StoredObject], bool]:
        """Exact: an id at the provider, or the name or id of a key; names of deleted keys are found by id."""
        term = search_term.strip()
        if not term:
            return queryset, False
        named = ApiKey.objects.filter(name=term).values_list("public_id", flat=True)
        return queryset.filter(Q(upstream_id=term) | Q(key_id__in=[term, *named])), False

    @display(description="Made")
    def when(self, obj: StoredObject) -> str:
        return f"{timezone.localtime(obj.created_at):%Y-%m-%d %H:%M:%S}"

    @display(description="Kind")
    def what(self, obj: StoredObject) -> SafeString:
        return badge(obj.kind, Tone.PLAIN)

    @display(description="About")
    def about(self, obj: StoredObject) -> SafeString:
        """A file's name and size, a batch's endpoint and how far it is."""
        told = obj.told
        if obj.kind == "batch":
            name, counts = told.get("endpoint"), told.get("request_counts")
            known = isinstance(counts, dict) and all(
                _is_count(counts.get(of)) for of in ("completed", "total")
            )
            note = f"{counts['completed']:,} of {counts['total']:,} requests" if known else ""
        else:
            name, size, purpose = told.get("filename"), told.get("bytes"), told.get("purpose")
            note = filesizeformat(size) if _is_count(size) else ""
            note = " · ".join(text for text in (note, purpose) if isinstance(text, str) and text)
        shown = cell(name if isinstance(name, str) and name else "-")
        return format_html('{}<span class="sy-note">{}</span>', shown, note)

    @display(description="State, as last told")
    def state(self, obj: StoredObject) -> SafeString | str:
        status = obj.told.get("status")
        return badge(status, _TONES.get(status, Tone.PLAIN)) if isinstance(status, str) and status else "-"

    @display(description="Kept until")
    def expires(self, obj: StoredObject) -> str:
        until = obj.told.get("expires_at")
        if not _is_count(until):
            return "the provider says no end"
        try:
            moment = datetime.fromtimestamp(until, UTC)
        except (ValueError, OverflowError, OSError):
            return "the provider says no end"
        return f"{timezone.localtime(moment):%Y-%m-%d %H:%M}"

    @display(description="Provider")
    def provider(self, obj: StoredObject) -> SafeString | str:
        name = getattr(obj, "provider_name", None)
        if name is None:
            return "deleted since"
        return link(reverse("admin:providers_provider_change", args=[obj.place]), name)

    @display(description="Key")
    def key_name(self, obj: StoredObject) -> SafeString:
        return cell(obj.key)

    @display(description="Key")
    def key_link(self, obj: StoredObject) -> SafeString | str:
        row = ApiKey.objects.filter(public_id=obj.key_id).only("pk").first()
        if row is None:
            return f"{obj.key} ({obj.key_id}, deleted since)"
        return link(reverse("admin:keys_apikey_change", args=[row.pk]), obj.key)

    @display(description="Team")
    def team(self, obj: StoredObject) -> SafeString | str:
        name = getattr(obj, "team_name", None)
        return cell(name) if name else "-"

    @display(description="Id at the provider")
    def id_there(self, obj: StoredObject) -> SafeString:
        return code(obj.upstream_id)

    @display(description="Object")
    def told_text(self, obj: StoredObject) -> SafeString:
        text = json.dumps(obj.told, indent=2, ensure_ascii=False)
        return format_html('<pre class="sy-text">{}</pre>', text)


def _is_count(told: Any) -> bool:
    return isinstance(told, int) and not isinstance(told, bool) and told >= 0
