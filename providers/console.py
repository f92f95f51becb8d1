"""What all pages of the operator's console share: one look for lists, labels and reports."""

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Any, ClassVar

from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from simple_history.admin import SimpleHistoryAdmin
from unfold.admin import ModelAdmin

from providers.changes import set_on_each
from providers.console_fields import MOST_DIGITS, ConsoleFields, possible

# Shown on every page of a row, after what is asked for.
ORIGIN = ("Origin", {"classes": ["collapse"], "fields": ["source", "created_at", "updated_at"]})
ORIGIN_FIELDS = ("source", "created_at", "updated_at")
_NUMBER = re.compile(r"-?[0-9]{1,19}(\.[0-9]{1,9})?")


class Tone(StrEnum):
    """How a label is coloured."""

    GOOD = "good"
    WARN = "warn"
    BAD = "bad"
    PLAIN = "plain"


def badge(text: str, tone: Tone, note: str = "") -> SafeString:
    """A coloured label, with a line under it that says why."""
    label = format_html('<span class="sy-badge sy-badge-{}">{}</span>', tone.value, text)
    return format_html('{}<span class="sy-note">{}</span>', label, note) if note else label


def link(url: str, text: str) -> SafeString:
    """A link whose long text is cut by the page and whole in its tooltip."""
    return format_html('<a class="sy-link" href="{}" title="{}">{}</a>', url, text, text)


def cell(text: str) -> SafeString:
    """Text that is cut by the page when long and whole in its tooltip."""
    return format_html('<span class="sy-cell" title="{}">{}</span>', text, text)


def lines(texts: list[str]) -> SafeString:
    """A text a line, each cut by the page when long and whole in its tooltip."""
    return format_html_join(mark_safe("<br>"), "{}", ((cell(text),) for text in texts))


def code(text: str) -> SafeString:
    """An identifier: fixed-width, cut when long, whole in its tooltip."""
    return format_html('<code class="sy-mono" title="{}">{}</code>', text, text)


def row_ids(texts: Iterable[str]) -> list[int]:
    """The ids among what a URL or a form names; what no row could have is left out."""
    return [int(text) for text in texts if len(text) < 19 and text.isdecimal()]


def counted(number: int, options: Any) -> str:
    """`1 deployment`, `3 deployments`; `options` is a model's `_meta`."""
    return f"{number} {options.verbose_name if number == 1 else options.verbose_name_plural}"


_added: dict[type[models.Model], list[type[Any]]] = {}


def add_inline(page: type[models.Model], inline: type[Any]) -> None:
    """Put an inline of another app on the pages of a model, after the page's own."""
    _added.setdefault(page, []).append(inline)


class ConsoleAdmin(ConsoleFields, SimpleHistoryAdmin, ModelAdmin):  # type: ignore[misc]
    """A page with history, whole-width lists and actions that report."""

    list_per_page = 50
    list_fullwidth = True
    warn_unsaved_form = True
    show_full_result_count = False
    # Fields that no URL may filter by: the answer would tell them letter by letter.
    never_looked_up: ClassVar[frozenset[str]] = frozenset()

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        if self.never_looked_up & set(lookup.split("__")):
            return False
        if len(value) > MOST_DIGITS and value.isdecimal():
            column = self._column(lookup.split("__")[0])
            if column is not None and (column.is_relation or isinstance(column, models.IntegerField)):
                return False
        return bool(super().lookup_allowed(lookup, value, request))

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """What a link to a new row's page says of its fields, without what they could not hold."""
        return {
            name: value
            for name, value in super().get_changeform_initial_data(request).items()
            if self._could_hold(name, value)
        }

    def _could_hold(self, name: str, value: object) -> bool:
        column = self._column(name)
        if column is None:
            return False
        texts = [str(each) for each in value] if isinstance(value, list) else [str(value)]
        if column.is_relation:
            return len(possible(column.remote_field.model._meta.pk, texts)) == len(texts)
        if isinstance(column, models.IntegerField | models.DecimalField | models.FloatField):
            return bool(_NUMBER.fullmatch(texts[0]))
        takes_text = isinstance(column, models.CharField | models.TextField | models.BooleanField)
        return takes_text and "\0" not in texts[0]

    def _column(self, name: str) -> Any:
        try:
            return self.opts.get_field(name)
        except FieldDoesNotExist:
            return None

    def response_action(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse | None:
        """Rows that could not be are not chosen."""
        sent = request.POST.copy()
        sent.setlist(ACTION_CHECKBOX_NAME, possible(self.opts.pk, sent.getlist(ACTION_CHECKBOX_NAME)))
        request.POST = sent
        answer: HttpResponse | None = super().response_action(request, *args, **kwargs)
        return answer

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return [*super().get_inlines(request, obj), *_added.get(self.model, [])]

    def set_on_each(
        self, request: HttpRequest, rows: QuerySet[Any], field: str, value: object, done: str
    ) -> None:
        """Give the rows this value, each with its history, and report how many changed.

        `done` is the sentence's verb: `Disabled 2 keys (1 was so already).`
        """
        chosen = rows.count()
        # unannotated and unordered: only plain rows are saved one by one
        fresh = self.model._default_manager.filter(pk__in=list(rows.values_list("pk", flat=True)))
        changing = list(fresh.exclude(**{field: value}))
        set_on_each(changing, field, value)
        same = chosen - len(changing)
        already = f" ({same} {'was' if same == 1 else 'were'} so already)" if same else ""
        text = f"{done} {counted(len(changing), self.opts)}{already}."
        self.message_user(request, text, messages.SUCCESS if changing else messages.INFO)
