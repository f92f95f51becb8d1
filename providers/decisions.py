"""Why a request went where it went: the record that each attempt, and each refusal, keeps of its choice."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from math import isfinite
from typing import Any, Protocol

import msgspec

from providers.routing import Passed, Share

# Of a record as text; what would make it longer is cut, and how many candidates went with it is kept.
LONGEST = 2048
MOST_CANDIDATES = 12
# Of these, if there are so many that not all fit.
MOST_PASSED = 4
_LONGEST_NAME, _LONGEST_NOTE = 64, 400
_LONGEST_TAGS = 600
_SCALE = 100


class Fate(StrEnum):
    """What became of a deployment that was considered, beside the reasons of `Passed`."""

    CHOSEN = "chosen"
    AGAIN = "again"  # the same one on a new connection
    NEXT = "next"
    PLACES = "places"  # no free one
    LIMIT = "limit"
    FULL = "full"  # places or a limit


# As text: an enumeration's member takes longer to write.
_CHOSEN, _AGAIN, _NEXT = Fate.CHOSEN.value, Fate.AGAIN.value, Fate.NEXT.value


# Both are lists as text, written by hand below because nearly all their fields are at their defaults:
# fields are only ever appended.
class Candidate(msgspec.Struct, frozen=True, array_like=True):
    """A deployment that was considered, with its tier (`priority`, lower first).

    `fate`: a `Fate` or `Passed`. `score`: what its strategy compares, the lowest first; None: there is none,
    or no price is known. `part`: per cent of its weight, less than 100 as long as it comes back.
    """

    name: str
    priority: int
    weight: int
    fate: str
    score: float | None = None
    part: int = 100


class Decision(msgspec.Struct, frozen=True, array_like=True):
    """The choice of one attempt. Candidates are in the order to ask, those passed over behind them.

    `cut`: how many more candidates there were. `asked`: the name that the client asked for, if it is not
    the model's own. `instead_of`: the model that could not answer, `on` what kind of error. `queued_ms`: the
    wait for a free place. `note`: why nobody was asked. `then`: why a failure was the last attempt, or that
    another deployment was to be asked ("retry").
    """

    strategy: str
    candidates: tuple[Candidate, ...] = ()
    cut: int = 0
    queued_ms: int = 0
    asked: str = ""
    tags: tuple[str, ...] = ()
    instead_of: str = ""
    on: str = ""
    note: str = ""
    then: str = ""

    @property
    def chosen(self) -> Candidate | None:
        """Who was asked; None: nobody."""
        return next((each for each in self.candidates if each.fate in (Fate.CHOSEN, Fate.AGAIN)), None)


RETRY = "retry"


class Named(Protocol):
    """A deployment as far as a record tells of it."""

    @property
    def name(self) -> str: ...
    @property
    def share(self) -> Share: ...


class Ordered(Protocol):
    """An order as `providers.router.Order` is one."""

    @property
    def ids(self) -> Sequence[int]: ...
    @property
    def shares(self) -> Sequence[Share]: ...
    @property
    def passed(self) -> Mapping[int, Passed]: ...
    @property
    def scores(self) -> Mapping[int, float]: ...


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What led to a choice and is the same for all attempts at one model; fields as of `Decision`."""

    asked: str = ""
    tags: Collection[str] = ()
    instead_of: str = ""
    on: str = ""


USUAL = Circumstances()


type Blocked = Callable[[int], Fate]


def full(_: int) -> Fate:
    """Of one that could not take the request, when nobody knows why."""
    return Fate.FULL


def record(
    strategy: str,
    order: Ordered,
    targets: Mapping[int, Named],
    taken: int | None,
    *,
    circumstances: Circumstances = USUAL,
    blocked: Blocked = full,
    again: bool = False,
    ramped: bool = False,
    queued_ms: int = 0,
    note: str = "",
    then: str = "",
) -> str:
    """A decision as it is kept. `taken`: whose slot was taken; None: nobody's.

    `blocked` says of each one in front of it why it could not take the request; `ramped`: the shares of the
    order are parts of the weights, times 100.
    """
    ids = order.ids
    plain = not (order.passed or order.scores or ramped or again)
    if plain and ids and ids[0] == taken and len(ids) <= MOST_CANDIDATES:
        rows: list[_Values] = []
        fate = _CHOSEN
        for id in ids:
            target = targets[id]
            share = target.share
            rows.append((target.name, share.priority, share.weight, fate))
            fate = _NEXT
        count = len(rows)
    else:
        parts = {share.id: share.weight for share in order.shares} if ramped else None
        rows = [
            _candidate(targets[id], fate, order.scores, parts)
            for id, fate in _fates(order, taken, blocked, again)
        ]
        count = len({*order.ids, *order.passed}) if len(rows) == MOST_CANDIDATES else len(rows)
    return _text(strategy, rows, count, circumstances, queued_ms, note, then)


def with_then(text: str, then: str) -> str:
    """The same record with what its end meant; a text that is none stays as it is."""
    decision = decoded(text)
    if decision is None:
        return text
    rows = [_values(each) for each in decision.candidates]
    around = Circumstances(decision.asked, decision.tags, decision.instead_of, decision.on)
    count = len(rows) + decision.cut
    return _text(decision.strategy, rows, count, around, decision.queued_ms, decision.note, then)


def decoded(text: str | None) -> Decision | None:
    """What `record` made; None: there is none, or a later version wrote something else."""
    if not text:
        return None
    try:
        return _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Decision)
type _Values = tuple[Any, ...]


def _fates(order: Ordered, taken: int | None, blocked: Blocked, again: bool) -> Iterator[tuple[int, str]]:
    """The candidates that tell most: who was chosen and those around it, and some who were passed over."""
    ids = order.ids
    at = ids.index(taken) if taken in ids else len(ids)
    rooms = MOST_CANDIDATES - min(len(order.passed), max(MOST_PASSED, MOST_CANDIDATES - len(ids)))
    first = max(0, min(at - rooms // 2, len(ids) - rooms))
    for place in range(first, min(first + rooms, len(ids))):
        id = ids[place]
        if place == at:
            yield id, _AGAIN if again else _CHOSEN
        else:
            yield id, blocked(id).value if place < at else _NEXT
    if order.passed:
        others = ((id, why.value) for id, why in order.passed.items() if id not in ids)
        yield from islice(others, MOST_CANDIDATES - min(rooms, len(ids)))


def _candidate(
    target: Named, fate: str, scores: Mapping[int, float], parts: Mapping[int, int] | None
) -> _Values:
    share = target.share
    score = scores.get(share.id)
    if score is not None:
        score = round(score, 6) if isfinite(score) else None
    part = 100
    if parts is not None and share.weight:
        part = parts.get(share.id, share.weight * _SCALE) // share.weight
    if part < 100:
        return (target.name, share.priority, share.weight, fate, score, part)
    if score is not None:
        return (target.name, share.priority, share.weight, fate, score)
    return (target.name, share.priority, share.weight, fate)


def _values(each: Candidate) -> _Values:
    values = msgspec.structs.astuple(each)
    if each.part < 100:
        return values
    return values[:5] if each.score is not None else values[:4]


def _text(
    strategy: str,
    rows: list[_Values],
    count: int,
    around: Circumstances,
    queued_ms: int,
    note: str,
    then: str,
) -> str:
    cut = count - len(rows)
    if around is USUAL and not (cut or queued_ms or note or then):
        text = _encoder.encode((strategy, rows)).decode()
    else:
        values = [
            strategy, rows, cut, queued_ms, around.asked, _bounded(around.tags), around.instead_of,
            around.on, note[:_LONGEST_NOTE], then,
        ]  # fmt: skip
        while not values[-1]:
            values.pop()
        text = _encoder.encode(values).decode()
    return text if len(text) <= LONGEST else _shortened(msgspec.json.decode(text, type=Decision))


def _shortened(decision: Decision) -> str:
    """With shorter names, and then with fewer candidates, until it fits."""
    kept = [msgspec.structs.replace(each, name=_cut(each.name)) for each in decision.candidates]
    changes: dict[str, Any] = {"asked": _cut(decision.asked), "instead_of": _cut(decision.instead_of)}
    cut = decision.cut
    while True:
        shorter = msgspec.structs.replace(decision, candidates=tuple(kept), cut=cut, **changes)
        text = _encoder.encode(shorter).decode()
        if len(text) <= LONGEST:
            return text
        if len(kept) > 1:
            del kept[0 if kept[-1].fate in (Fate.CHOSEN, Fate.AGAIN) else -1]
            cut += 1
        else:
            changes["note"] = ""


def _cut(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"


def _bounded(tags: Collection[str]) -> list[str]:
    """The tags in the order of the alphabet, as far as there is room."""
    if not tags:
        return []
    kept, room = [], _LONGEST_TAGS
    for tag in sorted(tags):
        room -= len(tag) + 3
        if room < 0:
            break
        kept.append(tag)
    return kept
