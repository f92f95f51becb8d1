"""What one worker sees of deployments: requests in flight, how soon they answer, what they used."""

from collections import deque
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from math import exp

# How long an answer is remembered: after so many seconds its weight has fallen to a third.
MEMORY_SECONDS = 10.0
# A failure counts as an answer that took twice as long as they do, and this at least.
FAILED_LEAST = 1.0
# Less than this is as good as forgotten.
_FORGOTTEN = 0.0005
_MINUTE = 60


@dataclass(frozen=True, slots=True)
class Load:
    """A deployment at one moment. `waiting`: of those in flight, without a first token yet.

    `latency`: seconds to the first token, 0 when nothing is known; `requests`, `tokens`: of the last minute.
    """

    in_flight: int = 0
    waiting: int = 0
    latency: float = 0.0
    requests: int = 0
    tokens: int = 0


IDLE = Load()


@dataclass(slots=True)
class _Minute:
    """Sums of the last sixty seconds, second by second."""

    seconds: deque[list[int]] = field(default_factory=deque)  # [second, requests, tokens]
    requests: int = 0
    tokens: int = 0

    def add(self, now: float, requests: int, tokens: int) -> None:
        second = int(now)
        if not self.seconds or self.seconds[-1][0] != second:
            self.pass_to(now)
            self.seconds.append([second, 0, 0])
        self.seconds[-1][1] += requests
        self.seconds[-1][2] += tokens
        self.requests += requests
        self.tokens += tokens

    def pass_to(self, now: float) -> None:
        while self.seconds and self.seconds[0][0] <= int(now) - _MINUTE:
            _, requests, tokens = self.seconds.popleft()
            self.requests -= requests
            self.tokens -= tokens


@dataclass(slots=True)
class _Record:
    in_flight: int = 0
    waiting: int = 0
    latency: float = 0.0
    told_at: float = 0.0
    minute: _Minute = field(default_factory=_Minute)

    def latency_at(self, now: float) -> float:
        faded = self.latency * exp(-max(0.0, now - self.told_at) / MEMORY_SECONDS)
        return faded if faded >= _FORGOTTEN else 0.0

    def took(self, seconds: float, now: float) -> None:
        """Peak EWMA: what is slower than known holds at once, what is faster bit by bit."""
        kept = exp(-max(0.0, now - self.told_at) / MEMORY_SECONDS)
        mixed = self.latency * kept + seconds * (1 - kept)
        self.latency = max(seconds, mixed) if self.latency else seconds
        self.told_at = now


class Signals:
    """Told by attempts, asked by the router. Times are seconds on any one monotonic clock."""

    def __init__(self) -> None:
        self._records: dict[int, _Record] = {}

    def load(self, id: int, now: float) -> Load:
        record = self._records.get(id)
        if record is None:
            return IDLE
        record.minute.pass_to(now)
        return Load(
            record.in_flight,
            record.waiting,
            record.latency_at(now),
            record.minute.requests,
            record.minute.tokens,
        )

    def asked(self, id: int, now: float) -> None:
        """An attempt is sent; exactly one `ended` follows, and one `first_token` at most."""
        record = self._records.setdefault(id, _Record())
        record.in_flight += 1
        record.waiting += 1
        record.minute.add(now, 1, 0)

    def first_token(self, id: int, seconds: float, now: float) -> None:
        if record := self._records.get(id):
            record.waiting -= 1
            record.took(seconds, now)

    def ended(self, id: int, now: float, *, waiting: bool, tokens: int = 0) -> None:
        """`waiting`: it ended without a first token."""
        if record := self._records.get(id):
            record.in_flight -= 1
            record.waiting -= waiting
            record.minute.add(now, 0, tokens)

    def failed(self, id: int, now: float) -> None:
        if record := self._records.get(id):
            record.took(max(FAILED_LEAST, 2 * record.latency_at(now)), now)

    def given_up(self, id: int, seconds: float, now: float) -> None:
        """Nobody waited longer: it takes that long at least."""
        record = self._records.get(id)
        if record is not None and seconds > record.latency_at(now):
            record.took(seconds, now)

    def forget(self, kept: AbstractSet[int]) -> None:
        """Drop the records of deployments that no longer exist and have nothing in flight."""
        for id in self._records.keys() - kept:
            if not self._records[id].in_flight:
                del self._records[id]
