"""What a limit would have refused of requests that were made: counted as if it had been there."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from heapq import heappop, heappush
from zoneinfo import ZoneInfo

from keys.windows import CALENDAR, ROLLING, bounds


@dataclass(frozen=True, slots=True)
class Request:
    """One request and all that its attempts used, in Unix milliseconds and nano-dollars."""

    at_ms: int
    ended_ms: int
    tokens: int = 0
    cost_nano: int = 0
    end_user: str = ""

    def amount(self, metric: str) -> int:
        return {"tokens": self.tokens, "cost": self.cost_nano}.get(metric, 1)


@dataclass(frozen=True, slots=True)
class Draft:
    """A limit that need not be saved; `window` "" is that of parallel requests."""

    metric: str
    amount: int
    window: str
    time_zone: str = "UTC"
    each_end_user: bool = False


@dataclass(frozen=True, slots=True)
class Day:
    """One day in the limit's time zone."""

    day: date
    admitted: int
    refused: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """`largest`: the most that was ever counted in one window, of what was admitted; `wanted`: of everything.

    `first_ms` and `last_ms` are of refusals, None without any.
    """

    admitted: int
    refused: int
    days: tuple[Day, ...]
    first_ms: int | None
    last_ms: int | None
    largest: int
    wanted: int


def tried(requests: Iterable[Request], draft: Draft) -> Verdict:
    """What this limit would have made of these requests, which come in the order of their beginnings.

    A request is refused when what it used in the end did not fit beside the others, those still running among
    them; it then uses nothing. The gateway itself knows an estimate only, so its count may differ a little.
    """
    trial = _Trial(draft)
    for request in requests:
        trial.add(request)
    return trial.verdict()


class _Trial:
    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._zone = ZoneInfo(draft.time_zone)
        self._held: dict[str, _Window] = {}
        self._all: dict[str, _Window] = {}
        self._admitted: Counter[date] = Counter()
        self._refused: Counter[date] = Counter()
        self._refusals: list[int] = []
        self._largest = self._wanted = 0

    def add(self, request: Request) -> None:
        draft = self._draft
        whose = request.end_user if draft.each_end_user else ""
        amount, day = request.amount(draft.metric), self._day(request)
        self._wanted = max(self._wanted, self._window(self._all, whose).put(request, amount))
        window = self._window(self._held, whose)
        if window.used(request.at_ms) + amount > draft.amount:
            self._refused[day] += 1
            self._refusals.append(request.at_ms)
            return
        self._admitted[day] += 1
        self._largest = max(self._largest, window.put(request, amount))

    def verdict(self) -> Verdict:
        days = sorted(self._admitted.keys() | self._refused.keys())
        return Verdict(
            admitted=self._admitted.total(),
            refused=self._refused.total(),
            days=tuple(Day(day, self._admitted[day], self._refused[day]) for day in days),
            first_ms=self._refusals[0] if self._refusals else None,
            last_ms=self._refusals[-1] if self._refusals else None,
            largest=self._largest,
            wanted=self._wanted,
        )

    def _day(self, request: Request) -> date:
        return datetime.fromtimestamp(request.at_ms / 1000, self._zone).date()

    def _window(self, windows: dict[str, "_Window"], whose: str) -> "_Window":
        if whose not in windows:
            windows[whose] = _Window(self._draft)
        return windows[whose]


@dataclass(slots=True)
class _Window:
    """What is counted at a moment; moments never go back."""

    draft: Draft
    ends_ms: float = 0.0
    sum: int = 0
    leaving: list[tuple[int, int]] = field(default_factory=list)

    def used(self, at_ms: int) -> int:
        if self.draft.window in CALENDAR and at_ms >= self.ends_ms:
            self.ends_ms = bounds(self.draft.window, at_ms / 1000, self.draft.time_zone)[1] * 1000
            self.sum = 0
        while self.leaving and self.leaving[0][0] <= at_ms:
            self.sum -= heappop(self.leaving)[1]
        return self.sum

    def put(self, request: Request, amount: int) -> int:
        """Count it, and return how much is counted then."""
        self.used(request.at_ms)
        self.sum += amount
        if (leaves_ms := self._leaves_ms(request)) is not None:
            heappush(self.leaving, (leaves_ms, amount))
        return self.sum

    def _leaves_ms(self, request: Request) -> int | None:
        """When it is counted no longer; None: at the end of its window."""
        draft = self.draft
        if draft.metric == "parallel":
            return request.ended_ms
        if draft.window not in ROLLING:
            return None
        counted_ms = request.at_ms if draft.metric == "requests" else max(request.at_ms, request.ended_ms)
        return counted_ms + int(ROLLING[draft.window] * 1000)
