"""Telling people once that a limit fills up: at half of it, at four fifths, and when it is used up."""

import logging
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import transaction
from django.db.models import F, QuerySet

from keys.models import Limit
from keys.scopes import scope_of
from keys.windows import CALENDAR, bounds
from usage import notices
from usage.cover import EVER
from usage.models import LimitAlert
from usage.spent import Spent, spent

log = logging.getLogger(__name__)

THRESHOLDS = (50, 80, 100)
TRIED_FOR = timedelta(days=1)
_PAUSE, _LONGEST_PAUSE = timedelta(minutes=1), timedelta(hours=1)
# A key's last use is known to the minute.
_SLACK = timedelta(minutes=2)
_METRICS = (Limit.Metric.REQUESTS, Limit.Metric.TOKENS, Limit.Metric.COST)


@dataclass(frozen=True, slots=True)
class Window:
    """What a limit counts now: from `start` (a reset, the window's begin, `EVER`) to `end` (None: no end)."""

    start: datetime
    end: datetime | None


def watch(now: datetime | None = None, *, within: float = float("inf")) -> None:
    """Notice what was crossed, and tell it, and what could not be told before.

    Each takes `within` seconds at most, and leaves the others for the next time.
    """
    moment, deadline = now or datetime.now(UTC), time.monotonic() + within
    limits = list(_watched())
    random.shuffle(limits)  # so that none is always left for the next time
    for limit in limits:
        if time.monotonic() > deadline:
            break
        notice(limit, moment)
    tell(moment, time.monotonic() + within)


def forget(days: int, now: datetime | None = None) -> None:
    """Delete alerts of days, weeks and months that are as long past; 0 days is for ever."""
    if days > 0:
        until = (now or datetime.now(UTC)) - timedelta(days)
        LimitAlert.objects.filter(noticed_at__lt=until, limit__window__in=CALENDAR).delete()


def window_of(limit: Limit, now: datetime) -> Window:
    """The window that is counted now, of one that is in the calendar or never ends."""
    start, end = EVER, None
    if limit.window in CALENDAR:
        begin, ends = bounds(limit.window, now.timestamp(), limit.time_zone)
        start, end = datetime.fromtimestamp(begin, UTC), datetime.fromtimestamp(ends, UTC)
    return Window(max(start, limit.reset_at or start), end)


def notice(limit: Limit, now: datetime) -> None:
    """Write down which thresholds were crossed since the last look; the highest of them is to be told."""
    window = window_of(limit, now)
    if _is_idle(limit, window):
        return
    known = set(_alerts_of(limit, window).values_list("percent", flat=True))
    if THRESHOLDS[-1] in known:
        return
    used = _used(limit, spent(scope_of(limit), None if window.start == EVER else window.start))
    crossed = [percent for percent in THRESHOLDS if used * 100 >= percent * limit.amount]
    new = [percent for percent in crossed if percent > max(known, default=0)]
    if not new:
        return
    with transaction.atomic():  # of two who look at the same time, one writes it down
        LimitAlert.objects.bulk_create(
            [_alert(limit, window, percent, used, now, tell=percent == new[-1]) for percent in new],
            ignore_conflicts=True,
        )
    log.warning(
        "limit_threshold limit=%d percent=%d used=%d amount=%d", limit.pk, new[-1], used, limit.amount
    )


def tell(now: datetime, deadline: float = float("inf")) -> None:
    """Tell what was noticed to those who do not know it, each once; failures are tried again for a day."""
    untold = LimitAlert.objects.filter(next_try_at__lte=now)
    for alert in untold.select_related(*_HOLDERS).order_by("next_try_at"):
        if time.monotonic() > deadline:
            return
        if _claimed(alert, now):
            _tell(alert, now)


# --- noticing ----------------------------------------------------------------------------------
_HOLDERS = tuple(
    f"limit__{holder}" for holder in ("key__team", "key__member", "team", "end_user", "deployment", "model")
)


def _watched() -> QuerySet[Limit]:
    holders = [holder.removeprefix("limit__") for holder in _HOLDERS]
    return Limit.objects.filter(
        alerts=True,
        mode=Limit.Mode.ENFORCE,
        metric__in=_METRICS,
        window__in=(*CALENDAR, Limit.Window.TOTAL),
        each_end_user=False,
        amount__gt=0,
    ).select_related(*holders)


def _is_idle(limit: Limit, window: Window) -> bool:
    """Whether its key has not been used in this window."""
    if limit.key is None:
        return False
    used = limit.key.last_used_at
    return used is None or used + _SLACK < window.start


def _used(limit: Limit, sums: Spent) -> int:
    return {"requests": sums.requests, "tokens": sums.tokens}.get(limit.metric, sums.cost_nano)


def _alerts_of(limit: Limit, window: Window) -> QuerySet[LimitAlert]:
    return LimitAlert.objects.filter(limit=limit, window_start=window.start, amount=limit.amount)


def _alert(limit: Limit, window: Window, percent: int, used: int, now: datetime, *, tell: bool) -> LimitAlert:
    return LimitAlert(
        limit=limit,
        window_start=window.start,
        percent=percent,
        used=used,
        amount=limit.amount,
        noticed_at=now,
        told_at=None if tell else now,
        next_try_at=now if tell else None,
    )


# --- telling -----------------------------------------------------------------------------------
def _claimed(alert: LimitAlert, now: datetime) -> bool:
    """Whether it is ours to tell: nobody else tries it before the next pause is over."""
    pause = min(_PAUSE * 2 ** min(alert.tries, 10), _LONGEST_PAUSE)
    mine = LimitAlert.objects.filter(pk=alert.pk, next_try_at=alert.next_try_at)
    return bool(mine.update(next_try_at=now + pause, tries=F("tries") + 1))


def _tell(alert: LimitAlert, now: datetime) -> None:
    told_as = notices.notice_of(alert, window_of(alert.limit, alert.noticed_at).end)
    problems = []
    for channel, told in _channels(alert):
        try:
            channel.send(told_as)
        except notices.Untold as untold:
            problems.append(f"{channel.name}: {untold}")
        else:
            LimitAlert.objects.filter(pk=alert.pk).update(**{told: datetime.now(UTC)})
    row = LimitAlert.objects.filter(pk=alert.pk)
    if not problems:
        row.update(told_at=datetime.now(UTC), next_try_at=None, problem="")
        return
    problem = "; ".join(problems)[:500]
    log.warning("limit_alert_not_told alert=%d problem=%s", alert.pk, problem)
    row.update(problem=problem)
    if now - alert.noticed_at >= TRIED_FOR:
        row.update(next_try_at=None)


def _channels(alert: LimitAlert) -> Iterator[tuple[notices.Channel, str]]:
    """Those that have not taken it yet, each with the column that says when it did."""
    if alert.mailed_at is None and (mail := notices.mail_for(alert.limit)):
        yield mail, "mailed_at"
    if alert.posted_at is None and (hook := notices.hook()):
        yield hook, "posted_at"
