"""The last 24 hours as the home page shows them: sums of hourly rows, and bars."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

HOURS = 24
SHOWN_MODELS = 12
GOOD = frozenset({"ok", "cached"})
BAD = frozenset({"failed", "interrupted"})


@dataclass(frozen=True, slots=True)
class Row:
    """Sums of one hour, model and status."""

    hour: datetime
    model: str
    status: str
    requests: int
    prompt_tokens: int
    completion_tokens: int
    cost_nano: int
    latency_ms: int


@dataclass(slots=True)
class Sums:
    """Requests by how they ended, and what they used."""

    name: str = ""
    good: int = 0
    bad: int = 0
    refused: int = 0
    cancelled: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_nano: int = 0
    latency_ms: int = 0

    @property
    def requests(self) -> int:
        return self.good + self.bad + self.refused + self.cancelled

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    @property
    def error_share(self) -> float:
        """Failures among what reached a provider, 0 to 1."""
        reached = self.good + self.bad + self.cancelled
        return self.bad / reached if reached else 0.0

    @property
    def mean_ms(self) -> float | None:
        """Mean time of what reached a provider."""
        reached = self.good + self.bad + self.cancelled
        return self.latency_ms / reached if reached else None

    def add(self, row: Row) -> None:
        if row.status in GOOD:
            self.good += row.requests
        elif row.status in BAD:
            self.bad += row.requests
        elif row.status == "refused":
            self.refused += row.requests
        else:
            self.cancelled += row.requests
        self.prompt_tokens += row.prompt_tokens
        self.completion_tokens += row.completion_tokens
        self.cost_nano += row.cost_nano
        self.latency_ms += row.latency_ms


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a bar: its upper edge and height in per cent of the chart's, measured from the top."""

    tone: str
    top: float
    height: float


@dataclass(frozen=True, slots=True)
class Bar:
    """One hour of the chart, its parts from the bottom up."""

    hour: datetime
    sums: Sums
    parts: list[Part]


@dataclass(frozen=True, slots=True)
class Day:
    """All that the home page says about the last 24 hours."""

    total: Sums
    models: list[Sums]
    bars: list[Bar]
    top: int
    hidden_models: int = 0


def first_hour(now: datetime) -> datetime:
    """The beginning of the oldest of the 24 hours; the running hour is the last one."""
    return now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=HOURS - 1)


def nice_top(highest: int) -> int:
    """The end of an axis: the next 1, 2, 4, 6, 8 or 10 with zeros, so that its half is round too."""
    if highest <= 4:
        return 4
    scale = int("1" + "0" * (len(str(highest)) - 1))
    return next(step * scale for step in (1, 2, 4, 6, 8, 10) if step * scale >= highest)


def _bar(hour: datetime, sums: Sums, top: int) -> Bar:
    parts: list[Part] = []
    edge = 100.0
    for tone, number in (("good", sums.good), ("held", sums.refused + sums.cancelled), ("bad", sums.bad)):
        if number:
            height = 100 * number / top
            edge -= height
            parts.append(Part(tone, edge, height))
    return Bar(hour, sums, parts)


def last_day(rows: Iterable[Row], now: datetime) -> Day:
    """Sum hourly rows into cards, a table of models (busiest first) and 24 bars."""
    start = first_hour(now)
    hours = {start + timedelta(hours=n): Sums() for n in range(HOURS)}
    models: dict[str, Sums] = {}
    total = Sums()
    for row in rows:
        for sums in (total, models.setdefault(row.model, Sums(row.model)), hours.get(row.hour)):
            if sums is not None:
                sums.add(row)
    top = nice_top(max(sums.requests for sums in hours.values()))
    busiest = sorted(models.values(), key=lambda sums: (-sums.requests, sums.name))
    return Day(
        total=total,
        models=busiest[:SHOWN_MODELS],
        bars=[_bar(hour, sums, top) for hour, sums in hours.items()],
        top=top,
        hidden_models=max(0, len(busiest) - SHOWN_MODELS),
    )
