"""Which deployments are left alone for a while: because they keep failing, or because they asked for it."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from random import random

FAILURES_IN_A_ROW = 5
# Or this share of at least so many attempts within the last seconds.
FAILED_SHARE, FEWEST, WITHIN = 0.5, 20, 10
FIRST_PAUSE = 5.0
LONGEST_PAUSE = 300.0
JITTER = 0.1  # of a pause, so that workers do not all come back at one moment
RAMP_SECONDS = 10.0
FIRST_SHARE = 0.1
_MOST_DOUBLINGS = 6  # reaches the longest pause


@dataclass(frozen=True, slots=True)
class Ejection:
    """When a deployment is put aside: after so many failures in a row (0: never), at first for seconds."""

    after: int = FAILURES_IN_A_ROW
    seconds: float = FIRST_PAUSE


USUAL = Ejection()


@dataclass(slots=True)
class _Record:
    failures: int = 0
    pauses: int = 0
    until: float = 0.0
    out: bool = False
    probing: bool = False
    recovered_at: float | None = None
    seconds: dict[int, list[int]] = field(default_factory=dict)  # second -> [attempts, failures]

    def count(self, now: float, failed: int) -> None:
        second = int(now)
        found = self.seconds.get(second)
        if found is None:
            for old in [old for old in self.seconds if old <= second - WITHIN]:
                del self.seconds[old]
            found = self.seconds[second] = [0, 0]
        found[0] += 1
        found[1] += failed

    def is_sick(self, now: float, after: int) -> bool:
        if after == 0:
            return False
        if self.failures >= after:
            return True
        recent = [counts for second, counts in self.seconds.items() if second > now - WITHIN]
        attempts = sum(counts[0] for counts in recent)
        return attempts >= FEWEST and sum(counts[1] for counts in recent) >= FAILED_SHARE * attempts


class Health:
    """Ejects what fails, for 5 s x 2^n up to 300 s; then one real request probes, and its share grows back.

    Times are seconds on any one monotonic clock, given by the caller.
    """

    def __init__(self, jitter: Callable[[], float] = random) -> None:
        self._records: dict[int, _Record] = {}
        self._rests: dict[int, float] = {}
        self._ejections: Mapping[int, Ejection] = {}
        self._jitter = jitter

    def ejected(self, ids: Collection[int], now: float) -> set[int]:
        """Which of these to leave out: never more than half, those that come back last."""
        out = [id for id in ids if self._is_out(id, now)]
        if len(out) <= len(ids) // 2:
            return set(out)
        out.sort(key=lambda id: self._records[id].until, reverse=True)
        return set(out[: len(ids) // 2])

    def _is_out(self, id: int, now: float) -> bool:
        record = self._records.get(id)
        return record is not None and record.out and (now < record.until or record.probing)

    def share(self, id: int, now: float) -> float:
        """The part of its weight that a deployment gets: all of it, or less soon after it recovered."""
        record = self._records.get(id)
        if record is None or record.recovered_at is None:
            return 1.0
        since = now - record.recovered_at
        if since >= RAMP_SECONDS:
            record.recovered_at = None
            return 1.0
        return FIRST_SHARE + (1 - FIRST_SHARE) * max(0.0, since) / RAMP_SECONDS

    def asked(self, id: int) -> None:
        """A request goes to this deployment: after a pause it is the probe, and others wait for it."""
        record = self._records.get(id)
        if record is not None and record.out:
            record.probing = True

    def succeeded(self, id: int, now: float) -> None:
        record = self._records.get(id)
        if record is None:
            record = self._records[id] = _Record()
        record.count(now, 0)
        record.failures = 0
        if record.out:
            record.out = record.probing = False
            record.pauses = 0
            record.seconds.clear()
            record.recovered_at = now

    def undecided(self, id: int) -> None:
        """The attempt said nothing about the deployment, as when the client left."""
        if record := self._records.get(id):
            record.probing = False

    def failed(self, id: int, now: float) -> None:
        record = self._records.setdefault(id, _Record())
        record.count(now, 1)
        record.failures += 1
        record.probing = False
        # failures of requests that were in flight when it was ejected say nothing new
        ejection = self._ejections.get(id, USUAL)
        if now >= record.until and (record.out or record.is_sick(now, ejection.after)):
            pause = min(max(LONGEST_PAUSE, ejection.seconds), ejection.seconds * 2**record.pauses)
            record.until = now + pause * (1 + JITTER * self._jitter())
            record.pauses = min(_MOST_DOUBLINGS, record.pauses + 1)
            record.out = True

    # --- asked for -----------------------------------------------------------------------------

    def rest(self, id: int, until: float) -> None:
        """The provider named a time before which it will not answer."""
        self._rests[id] = max(until, self._rests.get(id, 0.0))

    def resting(self, ids: Iterable[int], now: float) -> dict[int, float]:
        """Those of them that want to be left alone, also when there is no other, and until when."""
        if not self._rests:
            return {}
        return {id: until for id in ids if (until := self._rests.get(id, 0.0)) > now}

    def follow(self, ejections: Mapping[int, Ejection]) -> None:
        """Take over when each deployment is put aside, and drop the records of those that are gone."""
        self._ejections = ejections
        for known in (self._records, self._rests):
            for id in known.keys() - ejections.keys():
                del known[id]
