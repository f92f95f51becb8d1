"""What workers tell each other of deployments' health, so that what one of them sees all of them know.

`Health` makes events, in seconds of its worker's clock. Notes are in milliseconds of a clock that all share;
of two about one deployment the newer holds, whoever made it, so they may come twice, late or in any order.
"""

from dataclasses import dataclass

import msgspec

# So long after its time a note tells something. That a deployment is well outlives what it was before.
OUT_MS, IN_MS = 1_800_000, 3_600_000
# No pause and no rest is longer: the clock that it was made by was another one.
MOST_AHEAD_MS = 90_000_000


# --- what `Health` says ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Failed:
    """An attempt failed."""

    id: int


@dataclass(frozen=True, slots=True)
class RowEnded:
    """An attempt succeeded after failures."""

    id: int


@dataclass(frozen=True, slots=True)
class Ejected:
    """Left alone `until` then, for the `pauses`th time in a row."""

    id: int
    at: float
    until: float
    pauses: int


@dataclass(frozen=True, slots=True)
class Recovered:
    """It answers again."""

    id: int
    at: float


@dataclass(frozen=True, slots=True)
class Rested:
    """Its provider named a time."""

    id: int
    until: float


@dataclass(frozen=True, slots=True)
class Probing:
    """One real request tries it."""

    id: int


@dataclass(frozen=True, slots=True)
class ProbeOver:
    """That request ended, whatever it found."""

    id: int


type Event = Failed | RowEnded | Ejected | Recovered | Rested | Probing | ProbeOver


# --- what workers say; times are milliseconds of the shared clock ------------------------------


class Standing(msgspec.Struct, frozen=True, array_like=True, tag="standing"):
    """Whether a deployment is out, until when and for the how many-th time; or since when it is well again.

    `stamp` grows with each change, and is about the time of it.
    """

    id: int
    stamp: int
    out: bool
    time: int
    pauses: int
    by: str

    @property
    def rank(self) -> tuple[int, bool, int, int, str]:
        return self.stamp, self.out, self.time, self.pauses, self.by

    def tells(self, now: int) -> bool:
        """Whether it means anything still."""
        return now - (OUT_MS if self.out else IN_MS) < self.time < now + MOST_AHEAD_MS


class Rest(msgspec.Struct, frozen=True, array_like=True, tag="rest"):
    """Its provider wants no request before this time."""

    id: int
    time: int

    @property
    def rank(self) -> int:
        return self.time

    def tells(self, now: int) -> bool:
        """Whether it means anything still."""
        return now < self.time < now + MOST_AHEAD_MS


type Note = Standing | Rest


class Seen(msgspec.Struct, frozen=True, array_like=True):
    """What attempts came to: `row` failures since a success that `ended` the row, or in all."""

    id: int
    passed: int
    failed: int
    row: int
    ended: bool


class Claim(msgspec.Struct, frozen=True, array_like=True):
    """A probe is under way, until then unless it is said again; 0: it is over."""

    id: int
    until: int


class News(msgspec.Struct, frozen=True, array_like=True):
    """One message. `number` grows with each message of this worker."""

    worker: str
    number: int
    notes: list[Note] = []
    seen: list[Seen] = []
    claims: list[Claim] = []


def newer(note: Note, known: Note) -> bool:
    """Whether the one holds and not the other; both are of one kind, about one deployment."""
    match note, known:
        case (Standing(), Standing()):
            return note.rank > known.rank
        case (Rest(), Rest()):
            return note.rank > known.rank
    raise AssertionError("notes of two kinds are not compared")
