"""The page that tells what a limit would have refused, be it saved or a draft."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib import admin
from django.contrib.admin.helpers import AdminForm
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from gateway.console.trial import Chart, beginning, chart
from keys.forms import HOLDERS, dollars_text
from keys.limit_text import measure
from keys.models import EndUser, Limit
from keys.scopes import holder_of, scope_of
from providers.console import row_ids
from providers.console_fields import only_chosen
from usage import history
from usage.whatif import Draft, Verdict
from usage.whatif import tried as verdict_of

FIELDS = [*HOLDERS, "model", "each_end_user", "metric", "amount", "window", "time_zone"]
FIELDSETS: Any = [
    ("Whose", {"fields": [*HOLDERS], "description": "Choose one of them, or none: of everyone together."}),
    ("Of what", {"fields": ["model", "each_end_user"]}),
    ("How much", {"fields": ["metric", "amount", "window", "time_zone"]}),
]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the page says of one limit; moments are texts in its time zone."""

    limit: Limit
    verdict: Verdict
    chart: Chart
    since: str
    cut: bool
    first: str
    last: str

    @property
    def share(self) -> float:
        """Of the requests, how many would have been refused."""
        made = self.verdict.admitted + self.verdict.refused
        return self.verdict.refused / made if made else 0.0

    @property
    def wanted_text(self) -> str:
        """The most that was wanted in one window, in the metric's unit."""
        return _amount(self.limit, self.verdict.wanted)

    @property
    def largest_text(self) -> str:
        return _amount(self.limit, self.verdict.largest)


def _amount(limit: Limit, amount: int) -> str:
    if limit.metric == Limit.Metric.COST:
        return f"${dollars_text(amount)}"
    return f"{amount:,} {limit.get_metric_display()}"


def tried(request: HttpRequest) -> HttpResponse:
    """A form for a limit that need not be saved (`?limit=7` fills it in), and what it would have refused."""
    if not request.user.has_perm("keys.view_limit"):
        raise PermissionDenied
    asked = "metric" in request.GET
    saved = None if asked else _saved(request)
    form = _form(request, asked, saved)
    limit = form.save(commit=False) if asked and form.is_valid() else saved
    context = {
        **admin.site.each_context(request),
        "title": "Try a limit",
        "adminform": AdminForm(form, FIELDSETS, {}, (), model_admin=admin.site.get_model_admin(Limit)),
        "outcome": outcome(limit, timezone.now()) if limit is not None else None,
        "what": measure(limit) if limit is not None else "",
        "whose": holder_of(limit) if limit is not None else "",
        "saved": saved,
        "add_url": _add_url(request) if asked and limit is not None else "",
        "media": form.media,
    }
    return TemplateResponse(request, "console/try_limit.html", context)


def outcome(limit: Limit, now: datetime, most: int = history.MOST_ROWS) -> Outcome:
    """Try a limit on the requests of the last week, and before it of the window that reaches into it."""
    draft = Draft(limit.metric, limit.amount, limit.window, limit.time_zone, limit.each_end_user)
    own: set[str] = set()
    if limit.each_end_user:
        own = set(EndUser.objects.filter(limits__metric=limit.metric).values_list("name", flat=True))
    found = history.requests(scope_of(limit), beginning(draft, now), most=most, without=own)
    verdict = verdict_of(found.requests, draft)
    zone = ZoneInfo(limit.time_zone)
    first, last = (
        "" if moment is None else f"{datetime.fromtimestamp(moment / 1000, zone):%-d %b %H:%M:%S}"
        for moment in (verdict.first_ms, verdict.last_ms)
    )
    shown = chart(verdict, draft, found.since, now)
    return Outcome(
        limit, verdict, shown, f"{found.since.astimezone(zone):%-d %b %H:%M}", found.cut, first, last
    )


def _saved(request: HttpRequest) -> Limit | None:
    asked = request.GET.getlist("limit")[-1:]
    if not asked:
        return None
    return get_object_or_404(Limit.objects.select_related(*HOLDERS, "model"), pk__in=row_ids(asked))


def _form(request: HttpRequest, asked: bool, saved: Limit | None) -> Any:
    page: Any = admin.site.get_model_admin(Limit)
    form_class = page.get_form(request, None, change=False, fields=FIELDS)
    for name in (*HOLDERS, "model"):
        only_chosen(form_class.base_fields[name])
    return form_class(request.GET if asked else None, instance=saved)


def _add_url(request: HttpRequest) -> str:
    if not request.user.has_perm("keys.add_limit"):
        return ""
    return f"{reverse('admin:keys_limit_add')}?{request.GET.urlencode()}&mode={Limit.Mode.SHADOW}"
