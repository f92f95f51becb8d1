"""Which deployments are left alone for a while: because they keep failing, or because they asked for it."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from random import random

from providers.news import Ejected, Event, Failed, ProbeOver, Probing, Recovered, Rested, RowEnded

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
    since: float = 0.0  # when it was ejected or recovered last
    out: bool = False
    probing: bool = False
    claimed: float = 0.0  # until then another worker's probe is taken to be under way
    recovered_at: float | None = None
    # second -> [attempts, failures, successes here of which no other worker knows]
    seconds: dict[int, list[int]] = field(default_factory=dict)

    def count(self, now: float, attempts: int, failed: int, untold: int = 0) -> None:
        second = int(now)
        found = self.seconds.get(second)
        if found is None:
            for old in [old for old in self.seconds if old <= second - WITHIN]:
                del self.seconds[old]
            found = self.seconds[second] = [0, 0, 0]
        found[0] += attempts
        found[1] += failed
        found[2] += untold

    def recover(self, now: float) -> None:
        self.out = self.probing = False
        self.failures = self.pauses = 0
        self.until = self.claimed = 0.0
        self.seconds.clear()
        self.recovered_at = self.since = now

    def leave_out(self, since: float, until: float, pauses: int) -> None:
        self.out, self.probing = True, False
        self.since, self.until, self.claimed = since, until, 0.0
        self.pauses = min(_MOST_DOUBLINGS, max(0, pauses))
        self.recovered_at = None

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

    Times are seconds on any one monotonic clock, given by the caller. Attempts that `began` before the last
    ejection or recovery say nothing new of either. `listeners` hear of what others should know;
    what other workers say comes in by the `told_...` methods, of which they hear nothing.
    """

    def __init__(self, jitter: Callable[[], float] = random) -> None:
        self._records: dict[int, _Record] = {}
        self._rests: dict[int, float] = {}
        self._wrong: dict[int, int] = {}
        self._ejections: Mapping[int, Ejection] = {}
        self._jitter = jitter
        self.listeners: list[Callable[[Event], None]] = []

    def _tell(self, event: Event) -> None:
        for listener in self.listeners:
            listener(event)

    def ejected(self, ids: Collection[int], now: float) -> set[int]:
        """Which of these to leave out: never more than half, those that come back last."""
        out = [id for id in ids if self._is_out(id, now)]
        if len(out) <= len(ids) // 2:
            return set(out)
        out.sort(key=lambda id: self._records[id].until, reverse=True)
        return set(out[: len(ids) // 2])

    def _is_out(self, id: int, now: float) -> bool:
        record = self._records.get(id)
        if record is None or not record.out:
            return False
        return now < record.until or record.probing or now < record.claimed

    def is_well(self, id: int, now: float) -> bool:
        """Whether nothing speaks against it: it is not left out, and did not fail within the last seconds."""
        record = self._records.get(id)
        if record is None:
            return True
        recent = (counts[1] for second, counts in record.seconds.items() if second > now - WITHIN)
        return not (record.out or record.failures or any(recent))

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
        if record is not None and record.out and not record.probing:
            record.probing = True
            self._tell(Probing(id))

    def succeeded(self, id: int, now: float, began: float | None = None) -> None:
        record = self._records.get(id)
        if record is None:
            record = self._records[id] = _Record()
        record.count(now, 1, 0, untold=1)
        if self._wrong:
            self._wrong.pop(id, None)
        if record.failures:
            record.failures = 0
            self._tell(RowEnded(id))
        if record.out and not _is_stale(record, began):
            self._probe_over(id, record)
            record.recover(now)
            self._tell(Recovered(id, now))

    def undecided(self, id: int, began: float | None = None) -> None:
        """The attempt said nothing about the deployment, as when the client left."""
        record = self._records.get(id)
        if record is not None and not _is_stale(record, began):
            self._probe_over(id, record)

    def _probe_over(self, id: int, record: _Record) -> None:
        if record.probing:
            record.probing = False
            self._tell(ProbeOver(id))

    def failed(self, id: int, now: float, began: float | None = None) -> None:
        record = self._records.setdefault(id, _Record())
        if _is_stale(record, began):
            return
        record.count(now, 1, 1)
        record.failures += 1
        self._tell(Failed(id))
        self._probe_over(id, record)
        # failures of requests that were in flight when it was ejected say nothing new
        if now >= record.until and (record.out or record.is_sick(now, self._rule(id).after)):
            self._eject(id, record, now)

    def _rule(self, id: int) -> Ejection:
        return self._ejections.get(id, USUAL)

    def _eject(self, id: int, record: _Record, now: float) -> None:
        first = self._rule(id).seconds
        pause = min(max(LONGEST_PAUSE, first), first * 2**record.pauses)
        record.leave_out(now, now + pause * (1 + JITTER * self._jitter()), record.pauses + 1)
        self._tell(Ejected(id, now, record.until, record.pauses))

    # --- for people ----------------------------------------------------------------------------

    def set_up_wrongly(self, id: int, status: int) -> None:
        """Its provider refused what the gateway sent of its own: address, model or credential."""
        self._wrong[id] = status

    def wrong(self) -> Mapping[int, int]:
        """Deployments whose last word was such a status, without a success since."""
        return self._wrong

    def put_aside(self, now: float) -> dict[int, float]:
        """Seconds until each deployment that is left out, or rests, may be asked again; 0: a probe may go."""
        found = {id: record.until - now for id, record in self._records.items() if record.out}
        for id, until in self._rests.items():
            if until > now:
                found[id] = max(until - now, found.get(id, 0.0))
        return {id: max(0.0, seconds) for id, seconds in found.items()}

    # --- asked for -----------------------------------------------------------------------------

    def rest(self, id: int, until: float) -> None:
        """The provider named a time before which it will not answer."""
        if until > self._rests.get(id, 0.0):
            self._rests[id] = until
            self._tell(Rested(id, until))

    def resting(self, ids: Iterable[int], now: float) -> dict[int, float]:
        """Those of them that want to be left alone, also when there is no other, and until when."""
        if not self._rests:
            return {}
        return {id: until for id in ids if (until := self._rests.get(id, 0.0)) > now}

    # --- from other workers --------------------------------------------------------------------

    def told_out(self, id: int, since: float, until: float, pauses: int) -> None:
        """Another worker ejected it, for the `pauses`th time in a row."""
        if self._rule(id).after == 0:
            return
        self._records.setdefault(id, _Record()).leave_out(since, until, pauses)

    def told_in(self, id: int, at: float) -> None:
        """Another worker's probe succeeded: its share grows back everywhere."""
        self._records.setdefault(id, _Record()).recover(at)

    def probing(self) -> Iterator[int]:
        """The deployments that a request of this worker probes."""
        return (id for id, record in self._records.items() if record.probing)

    def told_probe(self, id: int, until: float) -> None:
        """Another worker's probe is under way; it says so again before this time, or is taken to be dead."""
        if record := self._records.get(id):
            record.claimed = until

    def told_counts(
        self, id: int, now: float, *, passed: int = 0, failed: int = 0, row: int = 0, ended: bool = False
    ) -> None:
        """What other attempts came to; `row` failures since a success that `ended` the row, or in all."""
        record = self._records.setdefault(id, _Record())
        record.count(now, passed + failed, failed)
        record.failures = row if ended else record.failures + row
        # two workers may each know of four failures when the fifth is told
        if failed and not record.out and record.is_sick(now, self._rule(id).after):
            self._eject(id, record, now)

    def told_rest(self, id: int, until: float) -> None:
        """Its provider told another worker when to come back."""
        self._rests[id] = max(until, self._rests.get(id, 0.0))

    def untold(self, id: int, now: float) -> int:
        """Recent successes that no other worker knows; from now on they do."""
        record = self._records.get(id)
        if record is None:
            return 0
        found = 0
        for second, counts in record.seconds.items():
            if second > now - WITHIN:
                found += counts[2]
            counts[2] = 0
        return found

    def holding(self) -> Iterator[Event]:
        """What was found out here, for a worker that begins alone and then finds the others."""
        for id, record in self._records.items():
            if record.out:
                yield Ejected(id, record.since, record.until, record.pauses)
        for id, until in self._rests.items():
            yield Rested(id, until)

    def follow(self, ejections: Mapping[int, Ejection]) -> None:
        """Take over when each deployment is put aside, and drop the records of those that are gone."""
        self._ejections = ejections
        for known in (self._records, self._rests, self._wrong):
            for id in known.keys() - ejections.keys():
                del known[id]


def _is_stale(record: _Record, began: float | None) -> bool:
    return began is not None and began < record.since
