"""Which deployments are left alone for a while because they keep failing."""

from dataclasses import dataclass

FAILURES_IN_A_ROW = 5
FIRST_PAUSE = 5.0
LONGEST_PAUSE = 300.0
_MOST_DOUBLINGS = 6  # reaches the longest pause


@dataclass(slots=True)
class _Record:
    failures: int = 0
    pauses: int = 0
    until: float = 0.0
    probing: bool = False


class Health:
    """Ejects after five failures in a row, for 5 s x 2^n up to 300 s; then one real request probes.

    Times are seconds on any one monotonic clock, given by the caller.
    """

    def __init__(self) -> None:
        self._records: dict[int, _Record] = {}

    def ejected(self, ids: list[int], now: float) -> set[int]:
        """Which of these to leave out; never all of them."""
        out = {id for id in ids if self._is_out(id, now)}
        return out if len(out) < len(ids) else set()

    def _is_out(self, id: int, now: float) -> bool:
        record = self._records.get(id)
        if record is None or record.failures < FAILURES_IN_A_ROW:
            return False
        return now < record.until or record.probing

    def asked(self, id: int) -> None:
        """A request goes to this deployment: after a pause it is the probe, and others wait for it."""
        record = self._records.get(id)
        if record is not None and record.failures >= FAILURES_IN_A_ROW:
            record.probing = True

    def succeeded(self, id: int) -> None:
        self._records.pop(id, None)

    def undecided(self, id: int) -> None:
        """The attempt said nothing about the deployment, as when the client left."""
        if record := self._records.get(id):
            record.probing = False

    def failed(self, id: int, now: float) -> None:
        record = self._records.setdefault(id, _Record())
        record.failures += 1
        record.probing = False
        if record.failures >= FAILURES_IN_A_ROW and now >= record.until:
            record.until = now + min(LONGEST_PAUSE, FIRST_PAUSE * 2**record.pauses)
            record.pauses = min(_MOST_DOUBLINGS, record.pauses + 1)

    def forget(self, kept: set[int]) -> None:
        """Drop the records of deployments that no longer exist."""
        for id in self._records.keys() - kept:
            del self._records[id]
