"""Parts of the console's forms that take anything from a URL or a form and answer it in words."""

import json
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib.admin.widgets import AutocompleteSelect, AutocompleteSelectMultiple
from django.core.exceptions import ValidationError
from django.db import models
from django.forms.fields import InvalidJSONInput
from django.http import HttpRequest
from unfold.admin import TabularInline
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.contrib.filters.forms import AutocompleteDropdownForm
from unfold.overrides import FORMFIELD_OVERRIDES_INLINE
from unfold.widgets import UnfoldAdminTextareaWidget

if TYPE_CHECKING:
    RowsChoiceField = forms.ModelMultipleChoiceField[models.Model]
else:
    RowsChoiceField = forms.ModelMultipleChoiceField

MOST_DIGITS = 18  # of an id: less than what overflows 64 bits
_DEEPEST = 100
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")  # as JSON writes it; a backslash before it is doubled


def possible(column: Any, texts: Iterable[object]) -> list[str]:
    """Which of these values a row's column could have: an id with forty digits is none."""
    return [text for each in texts if _could_be(column, text := str(each))]


def _could_be(column: Any, text: str) -> bool:
    if isinstance(column, models.IntegerField):
        return text.isdecimal() and len(text) <= MOST_DIGITS
    try:
        column.to_python(text)
    except ValidationError:
        return False
    return "\0" not in text


class _PossibleRows:
    """Looks only for rows that there could be: Django asks the database for every id that it was sent."""

    field: Any

    def optgroups(self, name: str, value: list[str], attr: dict[str, Any] | None = None) -> Any:
        column = self.field.remote_field.model._meta.pk
        return super().optgroups(name, possible(column, value), attr)  # type: ignore[misc]


class OneRow(_PossibleRows, AutocompleteSelect):  # type: ignore[misc]
    """A row that is found as one types."""


class SomeRows(_PossibleRows, AutocompleteSelectMultiple):  # type: ignore[misc]
    """Rows that are found as one types."""


class RowsField(RowsChoiceField):
    """Several rows; an id that none could have is told like one that none has."""

    def clean(self, value: Any) -> Any:
        column: Any = self.queryset.model._meta.pk  # type: ignore[union-attr]
        for text in value or ():
            if not _could_be(column, str(text)):
                raise ValidationError(
                    self.error_messages["invalid_choice"], code="invalid_choice", params={"value": text}
                )
        return super().clean(value)


class PlainJSONField(forms.JSONField):
    """JSON that every database can keep: no NaN, no NUL, no half characters, not nested without end."""

    def to_python(self, value: Any) -> Any:
        try:
            found = super().to_python(value)
            if not self.disabled:
                _check_plain(found)
        except (RecursionError, ValueError) as error:
            reason = str(error) if isinstance(error, _NotPlain) else "Enter a valid JSON."
            raise ValidationError(reason, code="invalid") from None
        return found

    def bound_data(self, data: Any, initial: Any) -> Any:
        """What was typed, as it was typed: reading it once more fails once more."""
        return initial if self.disabled else InvalidJSONInput(data or "")


class _NotPlain(ValueError):
    pass


def _check_plain(value: object) -> None:
    level = [value]
    for _ in range(_DEEPEST):
        if not level:
            break
        level = [inner for each in level for inner in _inside(each)]
    if level:
        raise _NotPlain(f"This is nested deeper than {_DEEPEST} times.")
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
    except ValueError:
        raise _NotPlain("NaN, Infinity and half characters cannot be kept.") from None
    if _NUL.search(text):
        raise _NotPlain("The character NUL cannot be kept.")


def _inside(value: object) -> Iterable[object]:
    match value:
        case dict():
            return value.values()
        case list():
            return value
    return ()


class _RowFilterForm(AutocompleteDropdownForm):
    widget = OneRow


class RowFilter(AutocompleteSelectFilter):
    """A list's filter by a row that is found as one types."""

    form_class = _RowFilterForm


CODE_OVERRIDES: dict[Any, dict[str, Any]] = {
    models.JSONField: {
        "form_class": PlainJSONField,
        "widget": UnfoldAdminTextareaWidget(attrs={"class": "sy-code", "rows": 3}),
    }
}


class ConsoleFields:
    """What pages and inlines of the console share: the fields of their forms."""

    formfield_overrides: ClassVar[dict[Any, dict[str, Any]]] = CODE_OVERRIDES
    admin_site: Any

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        found_as_typed = self.get_autocomplete_fields(request)  # type: ignore[attr-defined]
        if "widget" not in kwargs and db_field.name in found_as_typed:
            kwargs["widget"] = OneRow(db_field, self.admin_site, using=kwargs.get("using"))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)  # type: ignore[misc]

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        found_as_typed = self.get_autocomplete_fields(request)  # type: ignore[attr-defined]
        if "widget" not in kwargs and db_field.name in found_as_typed:
            kwargs["widget"] = SomeRows(db_field, self.admin_site, using=kwargs.get("using"))
        return super().formfield_for_manytomany(db_field, request, form_class=RowsField, **kwargs)  # type: ignore[misc]


class ConsoleInline(ConsoleFields, TabularInline):
    """Rows on the page of what they belong to."""

    extra = 0
    show_title = False
    formfield_overrides = FORMFIELD_OVERRIDES_INLINE | CODE_OVERRIDES  # type: ignore[misc]


def only_chosen(field: Any) -> None:
    """Take the buttons away that add, change or show what a field refers to."""
    for what in ("add", "change", "view", "delete"):
        setattr(field.widget, f"can_{what}_related", False)
