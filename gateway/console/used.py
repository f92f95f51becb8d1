"""The bars of limits: pages ask for all that they show in one request, once they are shown."""

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from django.core.exceptions import PermissionDenied
from django.db.models import F, Sum
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.utils import timezone

from gateway.console.fill import Fill, Span, span_now
from keys.models import EndUser, Limit
from keys.scopes import scope_of
from keys.windows import ROLLING
from providers.console import row_ids
from usage import spent
from usage.amounts import dollars
from usage.models import Attempt, DailyUsage

AT_ONCE = 100
FULLEST = 5
SUMMED = {
    Limit.Metric.REQUESTS: F("requests") - F("retries"),
    Limit.Metric.TOKENS: F("prompt_tokens") + F("completion_tokens"),
    Limit.Metric.COST: F("cost_nano"),
}


@dataclass(frozen=True, slots=True)
class Line:
    """One bar: of whom (of a limit for each end user), and how full."""

    name: str
    fill: Fill
    used_text: str


def used(request: HttpRequest) -> HttpResponse:
    """The bars of `?id=1&id=2` as HTML by limit id; `whole` also tells the fullest end users."""
    if not request.user.has_perm("keys.view_limit"):
        raise PermissionDenied
    ids = row_ids(request.GET.getlist("id"))[:AT_ONCE]
    holders = ("key", "team", "end_user", "deployment", "model")
    limits = Limit.objects.filter(pk__in=ids).select_related(*holders)
    now, whole = timezone.now(), bool(request.GET.get("whole"))
    response = JsonResponse({str(limit.pk): _bars(limit, now, whole) for limit in limits})
    response["Cache-Control"] = "no-store"
    return response


def _bars(limit: Limit, now: datetime, whole: bool) -> str:
    span = span_now(limit.window, limit.time_zone, limit.reset_at, now)
    countable = limit.metric in SUMMED
    lines: list[Line] = []
    if countable and not limit.each_end_user:
        lines = [_line(limit, span)]
    elif countable and whole and limit.window not in ROLLING:
        lines = sorted(
            (_line(limit, span, name) for name in _fullest(limit, span)),
            key=lambda line: -line.fill.used,
        )
    context = {
        "limit": limit,
        "lines": lines,
        "note": _note(limit, span, len(lines)),
        "whole": whole,
    }
    return render_to_string("console/used.html", context)


def _note(limit: Limit, span: Span, lines: int) -> str:
    """When it resets; of whom the bars are; or why there are none."""
    if span.ends is not None:
        text = f"resets {span.ends.astimezone(ZoneInfo(limit.time_zone)):%-d %b %H:%M %Z}"
    else:
        text = f"of the last {limit.window}" if limit.window in ROLLING else "does not reset by itself"
    if not limit.each_end_user:
        return text
    if limit.window in ROLLING:
        return "each end user is counted apart"
    if not lines:
        return f"no end user used anything of it; {text}"
    return f"the fullest end user{'s' * (lines > 1)}; {text}"


def _line(limit: Limit, span: Span, end_user: str | None = None) -> Line:
    scope = scope_of(limit, end_user)
    if limit.window in ROLLING and span.since is not None:
        # as limits count: tokens and cost when an attempt ended
        buckets = spent.recent(scope, int(span.since.timestamp() * 1000), 60_000)
        amount = sum(_of(limit, bucket) for bucket in buckets)
    else:
        amount = _of(limit, spent.spent(scope, span.since))
    text = dollars(amount) if limit.metric == Limit.Metric.COST else f"{amount:,}"
    return Line(end_user or "", Fill(amount, limit.amount), text)


def _of(limit: Limit, sums: spent.Spent | spent.Bucket) -> int:
    match limit.metric:
        case Limit.Metric.REQUESTS:
            return sums.requests
        case Limit.Metric.TOKENS:
            return sums.tokens
    return sums.cost_nano


def _fullest(limit: Limit, span: Span) -> list[str]:
    """End users that used the most, by whole days; who has limits of their own is not held by this one."""
    scope = scope_of(limit)
    narrowed = {name: getattr(scope, name) for name in ("key_id", "team", "model") if getattr(scope, name)}
    rows = DailyUsage.objects.filter(**narrowed).exclude(end_user="")
    rows = rows.exclude(status__in=(Attempt.Status.REFUSED, Attempt.Status.CACHED))
    if span.since is not None:
        rows = rows.filter(day__gte=span.since.date())
    own = EndUser.objects.filter(limits__metric=limit.metric).values("name")
    sums = rows.exclude(end_user__in=own).order_by().values("end_user")
    fullest = sums.annotate(total=Sum(SUMMED[Limit.Metric(limit.metric)])).order_by("-total", "end_user")
    return list(fullest.values_list("end_user", flat=True)[:FULLEST])
