"""The windows in which limits count: rolling ones, and the calendar's in a time zone."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from math import floor
from zoneinfo import ZoneInfo

ROLLING = {"second": 1.0, "minute": 60.0, "hour": 3600.0}
CALENDAR = ("day", "week", "month")


def bounds(window: str, now: float, zone: str) -> tuple[float, float]:
    """First instant of the day, week (Monday) or month that holds `now`, and of the next; Unix seconds."""
    # whole seconds: a moment just before midnight must not be rounded up to it
    local = datetime.fromtimestamp(floor(now), _zone(zone))
    start, following = _days(window, local)
    return _first_instant(start, zone), _first_instant(following, zone)


# (window, zone) -> the bounds found last: nearly every request lies in the same day.
_found: dict[tuple[str, str], tuple[int, int, int]] = {}


def period(window: str, now: int, zone: str) -> tuple[int, int, int]:
    """First instants of the day, week or month that holds `now`, of the next and of the one after, all in
    Unix milliseconds."""
    known = _found.get((window, zone))
    if known is not None and known[0] <= now < known[1]:
        return known
    start, ends = bounds(window, now / 1000, zone)
    _, following = bounds(window, ends, zone)
    found = (int(start * 1000), int(ends * 1000), int(following * 1000))
    _found[window, zone] = found
    return found


def _days(window: str, local: datetime) -> tuple[datetime, datetime]:
    day = datetime(local.year, local.month, local.day)
    if window == "day":
        return day, day + timedelta(days=1)
    if window == "week":
        monday = day - timedelta(days=day.weekday())
        return monday, monday + timedelta(days=7)
    assert window == "month", f"{window} is no calendar window"
    first = day.replace(day=1)
    return first, (first + timedelta(days=32)).replace(day=1)


@lru_cache(maxsize=1024)
def _first_instant(day: datetime, zone: str) -> float:
    """When a local day begins: midnight, or where the clock jumps over midnight, the jump itself."""
    tz = _zone(zone)
    midnight = day.replace(tzinfo=tz)
    back = midnight.astimezone(UTC).astimezone(tz)
    if back.replace(tzinfo=None) == day:
        return midnight.timestamp()
    # A gap: fold=1 maps its wall times with the offset after the jump, fold=0 with the one before.
    low, high = sorted((midnight.timestamp(), midnight.replace(fold=1).timestamp()))
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, tz).date() < day.date():
            low = middle
        else:
            high = middle
    return float(high)


@lru_cache(maxsize=256)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
