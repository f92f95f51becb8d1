"""How full a limit is: the time it counts now, and the bar that shows it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from keys.windows import CALENDAR, ROLLING, bounds

NEARLY = 0.8


@dataclass(frozen=True, slots=True)
class Span:
    """What counts now: from `since` on (None: ever) until `ends` (None: it rolls, or never ends)."""

    since: datetime | None
    ends: datetime | None


def span_now(window: str, time_zone: str, reset_at: datetime | None, now: datetime) -> Span:
    """The window that holds `now`; what was used before a reset does not count."""
    begins: datetime | None = None
    ends: datetime | None = None
    if window in CALENDAR:
        first, following = bounds(window, now.timestamp(), time_zone)
        begins, ends = datetime.fromtimestamp(first, UTC), datetime.fromtimestamp(following, UTC)
    elif window in ROLLING:
        begins = now - timedelta(seconds=ROLLING[window])
    known = [moment for moment in (begins, reset_at) if moment is not None]
    return Span(max(known) if known else None, ends)


@dataclass(frozen=True, slots=True)
class Fill:
    """How much of an amount is used."""

    used: int
    amount: int

    @property
    def share(self) -> float:
        """1 is full; a limit of nothing is always full."""
        return self.used / self.amount if self.amount else 1.0

    @property
    def width(self) -> float:
        """Of the bar, in per cent."""
        return min(100.0, 100 * self.share)

    @property
    def tone(self) -> str:
        return "bad" if self.share >= 1 else "warn" if self.share >= NEARLY else "good"
