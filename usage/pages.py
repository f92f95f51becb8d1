"""Pages of long tables that are only read: nothing counts them, and pages go by primary key."""

from typing import Any, ClassVar
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from unfold.admin import ModelAdmin
from unfold.views import ChangeList

OLDER = "attempt_id__lt"
NEWER = "attempt_id__gt"


def chat_url(model: str, chat_id: str) -> str:
    """The list of all rows of a conversation; `model` is attempt or exchange."""
    return f"{reverse(f'admin:usage_{model}_changelist')}?{urlencode({'chat': chat_id})}"


class Uncounted(Paginator):  # type: ignore[type-arg]
    """Stands in for Django's paginator, which asks for the size of the table."""

    template_name = "console/keyset_pages.html"

    @property
    def count(self) -> int:
        return 0


class KeysetChangeList(ChangeList):
    """A page of attempts, newest first, that starts behind the last row of the one before."""

    older_url = newer_url = first_url = ""

    def get_results(self, request: HttpRequest) -> None:
        backwards = NEWER in self.filter_params
        rows = self._rows(self.queryset, backwards)
        more, rows = len(rows) > self.list_per_page, rows[: self.list_per_page]
        if backwards:
            rows.reverse()
        self.result_list = rows
        self.result_count = len(rows)
        self.full_result_count = None
        self.show_all = self.can_show_all = self.multi_page = False
        self.show_full_result_count = False
        self.show_admin_actions = bool(self.model_admin.actions)
        self.paginator = Uncounted([], self.list_per_page)
        self._link(
            rows, has_older=more or backwards, has_newer=more if backwards else OLDER in self.filter_params
        )

    def _rows(self, queryset: QuerySet[Any], backwards: bool) -> list[Any]:
        """One row more than a page, so that it shows whether there is another."""
        for name in (OLDER, NEWER):
            for value in self.filter_params.get(name, []):
                try:
                    UUID(str(value))
                except ValueError as error:
                    raise IncorrectLookupParameters(error) from error
        return list(queryset.order_by("pk" if backwards else "-pk")[: self.list_per_page + 1])

    def _link(self, rows: list[Any], has_older: bool, has_newer: bool) -> None:
        if rows and has_older:
            self.older_url = self._url(OLDER, rows[-1].pk)
        if rows and has_newer:
            self.newer_url = self._url(NEWER, rows[0].pk)
        if OLDER in self.filter_params or NEWER in self.filter_params:
            self.first_url = self._url("", None)

    def _url(self, bound: str, pk: UUID | None) -> str:
        kept = {k: v for k, v in self.filter_params.items() if k not in (OLDER, NEWER)}
        if bound:
            kept[bound] = [str(pk)]
        return "?" + urlencode(sorted(kept.items()), doseq=True)


class ReadOnlyAdmin(ModelAdmin):
    """Rows that the ledger writes: looked at here, changed nowhere."""

    list_per_page = 50
    list_fullwidth = True
    show_full_result_count = False
    sortable_by = ()
    show_facets = admin.ShowFacets.NEVER  # counting by filter would read the whole table
    actions = None
    # What a URL may filter by, beside the filters: all else would read the whole table.
    looked_up: ClassVar[frozenset[str]] = frozenset()

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        context = {"show_history": False, **(extra_context or {})}
        return super().changeform_view(request, object_id, form_url, context)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        return lookup in self.looked_up
