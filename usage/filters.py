"""Filters of the usage lists: none of them asks the attempts which values there are."""

from datetime import UTC, datetime, time, timedelta
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.dateparse import parse_date
from unfold.contrib.filters.admin import DropdownFilter, RangeDateFilter, TextFilter

from providers.models import Model
from usage.ids import first_uuid7

# What `Attempt.anomaly` says of a provider's usage: its name, and what became of the numbers.
ANOMALIES = {
    "missing": ("Missing", "the provider named none; estimated"),
    "not_a_number": ("Not a number", "the provider sent text or fractions; estimated"),
    "negative": ("Negative", "the provider sent a count below zero; estimated"),
    "absurd": ("Absurd", "the provider sent more than 10^12 tokens; estimated"),
    "contradictory": ("Contradictory", "a part is more than its whole; cut to it"),
    "implausible": ("Implausible", "far more than was delivered; kept as the provider counted"),
}
SPANS = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
    "month": timedelta(days=30),
}
SPAN_NAMES = [
    ("hour", "Last hour"),
    ("day", "Last 24 hours"),
    ("week", "Last 7 days"),
    ("month", "Last 30 days"),
]


def _midnight(text: str, days_later: int = 0) -> datetime | None:
    """The beginning of a day in the current time zone, or None when it is no date."""
    try:
        day = parse_date(text)
    except ValueError:
        return None
    return timezone.make_aware(datetime.combine(day + timedelta(days_later), time.min)) if day else None


class ModelFilter(DropdownFilter):
    """By the names that clients ask for, as configured now."""

    title = "model"
    parameter_name = "model"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        names = list(Model.objects.values_list("name", flat=True))
        chosen = self.used_parameters.get("model")
        gone = [chosen] if isinstance(chosen, str) and chosen and chosen not in names else []
        return [(name, name) for name in [*gone, *names]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(model=self.value()) if self.value() else queryset


class AnomalyFilter(DropdownFilter):
    """By what was wrong with the provider's usage; a partial index holds the few rows that have any."""

    title = "anomaly"
    parameter_name = "anomaly"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("any", "Any"), *((code, name) for code, (name, _) in ANOMALIES.items())]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = self.value()
        if not chosen:
            return queryset
        found = queryset.exclude(anomaly="")
        return found if chosen == "any" else found.filter(anomaly=chosen)


class ChatFilter(TextFilter):
    """By the exact id of a client's conversation; a partial index holds the rows that have one."""

    title = "chat id"
    parameter_name = "chat"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = (self.value() or "").strip()
        if "\0" in chosen:  # PostgreSQL takes none, and no id has one
            return queryset.none()
        return queryset.filter(chat_id=chosen) if chosen else queryset


class AttemptSpanFilter(DropdownFilter):
    """By age. Attempt ids begin with their time, so the primary key is the index."""

    title = "age"
    parameter_name = "age"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return SPAN_NAMES

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        span = SPANS.get(self.value() or "")
        return queryset.filter(attempt_id__gte=first_uuid7(datetime.now(UTC) - span)) if span else queryset


class HourSpanFilter(AttemptSpanFilter):
    """By age, of rows that belong to an hour."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        span = SPANS.get(self.value() or "")
        return queryset.filter(hour__gte=datetime.now(UTC) - span) if span else queryset


class DaySpanFilter(AttemptSpanFilter):
    """By age, of rows that belong to a day of UTC."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return SPAN_NAMES[2:]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        span = SPANS.get(self.value() or "")
        return queryset.filter(day__gt=(datetime.now(UTC) - span).date()) if span else queryset


class DayFilter(RangeDateFilter):
    """Two days to choose, both included."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.title = "day"


class AttemptDateFilter(DayFilter):
    """By day, through the ids of the days' first moments."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        since = _midnight(str(self.used_parameters.get("started_at_from", "")))
        until = _midnight(str(self.used_parameters.get("started_at_to", "")), days_later=1)
        if since:
            queryset = queryset.filter(attempt_id__gte=first_uuid7(since))
        if until:
            queryset = queryset.filter(attempt_id__lt=first_uuid7(until))
        return queryset


class HourDateFilter(DayFilter):
    """By day, of rows that belong to an hour."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        since = _midnight(str(self.used_parameters.get("hour_from", "")))
        until = _midnight(str(self.used_parameters.get("hour_to", "")), days_later=1)
        if since:
            queryset = queryset.filter(hour__gte=since)
        return queryset.filter(hour__lt=until) if until else queryset


class WholeDayFilter(DayFilter):
    """By day, of rows that belong to one."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        since = _midnight(str(self.used_parameters.get("day_from", "")))
        until = _midnight(str(self.used_parameters.get("day_to", "")))
        if since:
            queryset = queryset.filter(day__gte=since.date())
        return queryset.filter(day__lte=until.date()) if until else queryset
