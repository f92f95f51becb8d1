"""What a limit would have refused, as its page shows it: a bar a day, and the figures in words."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from gateway.console.day import Part, nice_top
from keys.windows import CALENDAR, bounds
from usage.whatif import Day, Draft, Verdict

LOOK_BACK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class DayBar:
    """One day of the chart, its parts from the bottom up."""

    day: date
    admitted: int
    refused: int
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    bars: tuple[DayBar, ...]
    top: int


def beginning(draft: Draft, now: datetime) -> datetime:
    """A week ago, or before it the beginning of the window that held that moment: windows are whole."""
    then = now - LOOK_BACK
    if draft.window not in CALENDAR:
        return then
    return datetime.fromtimestamp(bounds(draft.window, then.timestamp(), draft.time_zone)[0], UTC)


def chart(verdict: Verdict, draft: Draft, since: datetime, now: datetime) -> Chart:
    """Every day from `since` to `now` in the limit's time zone, the quiet ones too."""
    zone = ZoneInfo(draft.time_zone)
    first, last = since.astimezone(zone).date(), now.astimezone(zone).date()
    told = {each.day: each for each in verdict.days}
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    found = [told.get(day, Day(day, 0, 0)) for day in days]
    top = nice_top(max((each.admitted + each.refused for each in found), default=0))
    return Chart(tuple(_bar(each, top) for each in found), top)


def _bar(each: Day, top: int) -> DayBar:
    parts: list[Part] = []
    edge = 100.0
    for tone, number in (("good", each.admitted), ("held", each.refused)):
        if number:
            height = 100 * number / top
            edge -= height
            parts.append(Part(tone, edge, height))
    return DayBar(each.day, each.admitted, each.refused, tuple(parts))
