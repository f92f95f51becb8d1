"""Pages of long tables: no count over the table, no offset, only the next rows by primary key."""

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib.admin.options import IncorrectLookupParameters
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.views import ChangeList

OLDER = "attempt_id__lt"
NEWER = "attempt_id__gt"


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
        self.show_admin_actions = False
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
