"""One worker's side of what all of them know of deployments' health.

A `Desk` turns what its `Health` finds into messages, and others' messages into calls of its `Health`. All is
decided here and nothing sent: `providers/state/sharing.py` carries it.
"""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import random
from typing import Protocol

from providers.news import (
    Claim,
    Ejected,
    Event,
    Failed,
    News,
    Note,
    ProbeOver,
    Probing,
    Recovered,
    Rest,
    Rested,
    RowEnded,
    Seen,
    Standing,
    newer,
)

# A probe that is not announced again within this time is taken to have died with its worker.
CLAIM_MS = 5_000
# Who did not eject a deployment probes it a little later than who did, each at another moment.
LEAST_HOLD, MOST_HOLD = 0.5, 1.5
_MOST_WORKERS = 10_000


class Listening(Protocol):
    """The side of `Health` that other workers' words reach."""

    listeners: list[Callable[[Event], None]]

    def told_out(self, id: int, since: float, until: float, pauses: int) -> None: ...

    def told_in(self, id: int, at: float) -> None: ...

    def told_probe(self, id: int, until: float) -> None: ...

    def told_counts(
        self, id: int, now: float, *, passed: int = 0, failed: int = 0, row: int = 0, ended: bool = False
    ) -> None: ...

    def told_rest(self, id: int, until: float) -> None: ...

    def untold(self, id: int, now: float) -> int: ...

    def probing(self) -> Iterable[int]: ...

    def holding(self) -> Iterable[Event]: ...


# --- the clock that they share -----------------------------------------------------------------


class Clock:
    """The shared clock as seen from here: some server's, asked now and then.

    An answer is as good as it was quick, so a better one counts until drift may have made it worse.
    """

    _DRIFT = 0.0001

    def __init__(self) -> None:
        self._ahead: float | None = None  # of this worker's clock, seconds
        self._error = 0.0
        self._since = 0.0

    @property
    def known(self) -> bool:
        return self._ahead is not None

    def heard(self, asked: float, answered: float, told: float) -> None:
        """It said `told` (Unix seconds) between two moments of this worker's clock."""
        ahead, error = told - (asked + answered) / 2, (answered - asked) / 2
        aged = self._error + self._DRIFT * (answered - self._since)
        # beyond both errors it is no longer the clock from before
        if self._ahead is None or error <= aged or abs(ahead - self._ahead) > error + aged:
            self._ahead, self._error, self._since = ahead, error, answered

    def shared(self, moment: float) -> int:
        assert self._ahead is not None, "asked once the clock is known"
        return round((moment + self._ahead) * 1000)

    def own(self, time: int) -> float:
        assert self._ahead is not None, "asked once the clock is known"
        return time / 1000 - self._ahead


# --- one worker's side -------------------------------------------------------------------------


@dataclass(slots=True)
class _Count:
    failed: int = 0
    row: int = 0
    ended: bool = False


class Desk:
    """What this worker has to tell, and what it was told. `wake` is called when there is something to tell.

    Nothing is told before the shared clock is known and `open` was called.
    """

    def __init__(
        self,
        health: Listening,
        worker: str,
        wake: Callable[[], None] = lambda: None,
        random: Callable[[], float] = random,
    ) -> None:
        self.clock = Clock()
        self._health = health
        self._worker = worker
        self._wake = wake
        self._random = random
        self._numbers = itertools.count(1)
        self._heard: dict[str, int] = {}  # worker -> number of its newest message
        self._notes: dict[tuple[type[Note], int], Note] = {}
        self._claims: dict[int, str] = {}  # deployment -> whose probe it waits for
        # to be told with the next message
        self._counts: dict[int, _Count] = {}
        self._news: set[tuple[type[Note], int]] = set()
        self._claimed: dict[int, bool] = {}

    def open(self) -> None:
        """The shared clock is known: begin with what was found out alone, before the others are heard."""
        if self._take not in self._health.listeners:
            self._health.listeners.append(self._take)
            for event in self._health.holding():
                self._take(event)

    # --- telling -------------------------------------------------------------------------------

    def _take(self, event: Event) -> None:
        match event:
            case Failed(id):
                count = self._counts.setdefault(id, _Count())
                count.failed += 1
                count.row += 1
            case RowEnded(id):
                count = self._counts.setdefault(id, _Count())
                count.row, count.ended = 0, True
            case Ejected(id, at, until, pauses):
                self._stand(id, at, until, pauses)
            case Recovered(id, at):
                self._stand(id, at)
            case Rested(id, until):
                self._note(Rest(id, self.clock.shared(until)))
            case Probing(id):
                self._claimed[id] = True
            case ProbeOver(id):
                self._claimed[id] = False
        self._wake()

    def _stand(self, id: int, at: float, until: float | None = None, pauses: int = 0) -> None:
        stamp = self.clock.shared(at)
        known = self._notes.get((Standing, id))
        if isinstance(known, Standing):  # later than what it follows, also where clocks differ a little
            stamp = max(stamp, known.stamp + 1)
        time = self.clock.shared(at if until is None else until)
        self._note(Standing(id, stamp, until is not None, time, pauses, self._worker))

    def _note(self, note: Note) -> None:
        key = (type(note), note.id)
        known = self._notes.get(key)
        if known is None or newer(note, known):
            self._notes[key] = note
            self._news.add(key)

    def probe_on(self) -> None:
        """Say again which probes are under way."""
        self._claimed.update(dict.fromkeys(self._health.probing(), True))

    def outgoing(self, now: float) -> News | None:
        """The next message, if there is anything to tell."""
        if not (self._counts or self._news or self._claimed):
            return None
        until = self.clock.shared(now) + CLAIM_MS
        news = News(
            self._worker,
            next(self._numbers),
            [self._notes[key] for key in self._news if key in self._notes],
            [
                Seen(id, self._health.untold(id, now), count.failed, count.row, count.ended)
                for id, count in self._counts.items()
            ],
            [Claim(id, until if on else 0) for id, on in self._claimed.items()],
        )
        self._counts, self._news, self._claimed = {}, set(), {}
        return news

    # --- being told ----------------------------------------------------------------------------

    def incoming(self, news: News, now: float) -> None:
        """Another worker's message. What cannot be said twice is heard once."""
        if news.worker == self._worker:
            return
        for note in news.notes:  # first: what it concluded need not be concluded again
            self._hear(note, now)
        if news.number <= self._heard.get(news.worker, 0):
            return
        if len(self._heard) >= _MOST_WORKERS:
            self._heard.clear()
        self._heard[news.worker] = news.number
        for seen in news.seen:
            self._health.told_counts(
                seen.id, now, passed=seen.passed, failed=seen.failed, row=seen.row, ended=seen.ended
            )
        for claim in news.claims:
            self._hear_claim(claim, news.worker, now)

    def _hear_claim(self, claim: Claim, worker: str, now: float) -> None:
        if claim.until:
            self._claims[claim.id] = worker
            self._health.told_probe(claim.id, min(self.clock.own(claim.until), now + CLAIM_MS / 1000))
        elif self._claims.get(claim.id) == worker:
            del self._claims[claim.id]
            self._health.told_probe(claim.id, 0.0)

    def _hear(self, note: Note, now: float) -> None:
        key = (type(note), note.id)
        known = self._notes.get(key)
        if known is not None and not newer(note, known):
            return
        self._notes[key] = note
        self._news.discard(key)  # what was to be told of it is out of date
        time = self.clock.own(note.time)
        if isinstance(note, Rest):
            self._health.told_rest(note.id, time)
        elif note.out:
            since = min(now, self.clock.own(note.stamp))
            # never for longer than its pause, should the shared clock have been set back
            until = min(time, now + (note.time - note.stamp) / 1000)
            self._health.told_out(note.id, since, until + self._hold(note), note.pauses)
        else:
            self._health.told_in(note.id, min(now, time))

    def _hold(self, note: Standing) -> float:
        if note.by == self._worker:
            return 0.0
        return LEAST_HOLD + (MOST_HOLD - LEAST_HOLD) * self._random()

    # --- what is kept for those that come late -------------------------------------------------

    def compare(self, kept: Iterable[Note], now: float) -> tuple[list[Note], list[Note]]:
        """Learn what is kept for all; then what to keep in place of it, and what means nothing any more."""
        time = self.clock.shared(now)
        found: dict[tuple[type[Note], int], Note] = {}
        over = []
        for note in kept:
            if note.tells(time):
                found[type(note), note.id] = note
                self._hear(note, now)
            else:
                over.append(note)
        self._notes = {key: note for key, note in self._notes.items() if note.tells(time)}
        missing = [
            note
            for key, note in self._notes.items()
            if (there := found.get(key)) is None or newer(note, there)
        ]
        return missing, over
