"""A provider's bill against our own rows: what differs, and what of it is only an estimate of ours."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction

from usage.bills import Bill, Line

_DATED = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{8})$")
type _Key = tuple[date | None, str | None]


@dataclass(frozen=True, slots=True)
class Booked:
    """Rows of the ledger: one, with its ids, or the sum of a day and deployment.

    `names` are the provider's own name of the model first, then ours. `charged`: the provider did work.
    `inside`: within the time of the bill; others may only explain a line of it.
    """

    day: date
    names: tuple[str, ...]
    amounts: Mapping[str, int]
    estimated: int = 0
    unpriced: int = 0
    ids: tuple[str, ...] = ()
    charged: bool = True
    inside: bool = True


@dataclass(frozen=True, slots=True)
class Pair:
    """One measure on both sides; None where that side has nothing. Cost is in nano-dollars."""

    ours: int | None
    theirs: int | None

    @property
    def delta(self) -> int:
        return (self.ours or 0) - (self.theirs or 0)


@dataclass(frozen=True, slots=True)
class Difference:
    """A request, or a day and model, on which the two sides disagree. `missing`: "ours", "theirs" or ""."""

    request_id: str | None
    day: date | None
    model: str | None
    missing: str
    measures: dict[str, Pair]
    estimated: int = 0
    unpriced: int = 0


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """All differences, and the totals of both sides. `by` is "request" or "day"."""

    by: str
    differences: list[Difference]
    totals: dict[str, Pair]


@dataclass(slots=True)
class _Side:
    """Sums of one side under one key."""

    day: date | None = None
    model: str | None = None
    amounts: dict[str, Fraction] = field(default_factory=dict)
    estimated: int = 0
    unpriced: int = 0

    def add(self, amounts: Mapping[str, int] | Mapping[str, Fraction]) -> None:
        for measure, amount in amounts.items():
            self.amounts[measure] = self.amounts.get(measure, Fraction()) + amount

    def book(self, booked: Booked) -> None:
        self.add(booked.amounts)
        self.estimated += booked.estimated
        self.unpriced += booked.unpriced


def reconcile(bill: Bill, ledger: Iterable[Booked]) -> Reconciliation:
    """Compare by request id where the bill has them, else by day and model."""
    return _by_request(bill, ledger) if "request_id" in bill.columns else _by_day(bill, ledger)


# --- by request --------------------------------------------------------------------------------


def _by_request(bill: Bill, ledger: Iterable[Booked]) -> Reconciliation:
    theirs = _billed_requests(bill.lines)
    ours: dict[str, _Side] = {}
    alone: list[tuple[str, _Side]] = []
    for booked in ledger:
        known = next((id for id in booked.ids if id.lower() in theirs), None)
        if known is not None:
            ours.setdefault(known.lower(), _side_of(booked)).book(booked)
        elif booked.charged and booked.inside:
            side = _side_of(booked)
            side.book(booked)
            alone.append((booked.ids[0], side))
    found = [_compared(bill, id, ours.get(id), side) for id, side in theirs.items()]
    found += [_compared(bill, id, side, None) for id, side in alone]
    differences = [difference for difference in found if difference is not None]
    both = [*ours.values(), *(side for _, side in alone)], theirs.values()
    return Reconciliation("request", differences, _totals(bill, *both))


def _billed_requests(lines: Iterable[Line]) -> dict[str, _Side]:
    """Several lines of one request, such as its input and its output, are one."""
    theirs: dict[str, _Side] = {}
    for line in lines:
        id = (line.request_id or f"line {line.number}").lower()
        theirs.setdefault(id, _Side(_day(line), line.model)).add(line.amounts)
    return theirs


def _side_of(booked: Booked) -> _Side:
    return _Side(booked.day, booked.names[0])


# --- by day ------------------------------------------------------------------------------------


def _by_day(bill: Bill, ledger: Iterable[Booked]) -> Reconciliation:
    booked = [each for each in ledger if each.charged and each.inside]
    names = _same_names(booked)
    ours: dict[_Key, _Side] = {}
    theirs: dict[_Key, _Side] = {}
    for line in bill.lines:
        key = _key(bill, _day(line), None if line.model is None else _our_name(names, line.model))
        theirs.setdefault(key, _Side(*key)).add(line.amounts)
    for each in booked:
        key = _key(bill, each.day, each.names[0])
        ours.setdefault(key, _Side(*key)).book(each)
    keys = sorted(ours.keys() | theirs.keys(), key=lambda key: (key[0] or date.min, key[1] or ""))
    found = (_compared(bill, None, ours.get(key), theirs.get(key)) for key in keys)
    differences = [difference for difference in found if difference is not None]
    return Reconciliation("day", differences, _totals(bill, ours.values(), theirs.values()))


def _key(bill: Bill, day: date | None, model: str | None) -> _Key:
    return (day if "moment" in bill.columns else None), (model if "model" in bill.columns else None)


def _day(line: Line) -> date | None:
    return None if line.moment is None else line.moment.date()


def _same_names(booked: list[Booked]) -> dict[str, str]:
    """Each name of a model, in lower case, -> the provider's own."""
    names = {each.names[0].lower(): each.names[0] for each in booked}
    for each in booked:
        for other in each.names[1:]:
            names.setdefault(other.lower(), each.names[0])
    return names


def _our_name(names: Mapping[str, str], billed: str) -> str:
    """A bill names the dated version, such as gpt-4o-2024-08-06, where the plain name was asked for."""
    plain = billed.lower()
    return names.get(plain) or names.get(_DATED.sub("", plain)) or billed


# --- comparing ---------------------------------------------------------------------------------


def _compared(bill: Bill, id: str | None, ours: _Side | None, theirs: _Side | None) -> Difference | None:
    """The difference of two sides, or None. A side that is zero in everything is as good as none."""
    pairs = {measure: Pair(_amount(ours, measure), _amount(theirs, measure)) for measure in bill.measures}
    differing = {measure: pair for measure, pair in pairs.items() if pair.delta}
    missing = "ours" if ours is None else "theirs" if theirs is None else ""
    if not differing and (id is None or not missing):
        return None
    known = ours or theirs
    assert known is not None, "each key came from a side"
    return Difference(
        request_id=id,
        day=known.day,
        model=known.model,
        missing=missing,
        measures=differing,
        estimated=ours.estimated if ours else 0,
        unpriced=ours.unpriced if ours and "cost_nano" in differing else 0,
    )


def _amount(side: _Side | None, measure: str) -> int | None:
    return None if side is None else round(side.amounts.get(measure, Fraction()))


def _totals(bill: Bill, ours: Iterable[_Side], theirs: Iterable[_Side]) -> dict[str, Pair]:
    our_sums, their_sums = _sums(ours), _sums(theirs)
    return {
        measure: Pair(round(our_sums.get(measure, Fraction())), round(their_sums.get(measure, Fraction())))
        for measure in bill.measures
    }


def _sums(sides: Iterable[_Side]) -> dict[str, Fraction]:
    total = _Side()
    for side in sides:
        total.add(side.amounts)
    return total.amounts


# --- as text -----------------------------------------------------------------------------------


def as_lines(found: Reconciliation) -> Iterator[str]:
    """A table for people: differences, then totals; cost in dollars with nine places."""
    for difference in found.differences:
        where = " ".join(str(part) for part in _where(difference) if part is not None) or "all"
        notes = _notes(difference)
        for measure, pair in difference.measures.items() or [("requests", Pair(None, None))]:
            yield f"{where}  {_told(measure, pair)}{notes}"
    for measure, pair in found.totals.items():
        yield f"total  {_told(measure, pair)}"


def _where(difference: Difference) -> tuple[object, ...]:
    return difference.request_id, difference.day, difference.model


def _notes(difference: Difference) -> str:
    absent = {"ours": "not in the ledger", "theirs": "not on the bill", "": ""}[difference.missing]
    estimated = f"likely cause: {difference.estimated} estimated" if difference.estimated else ""
    unpriced = f"{difference.unpriced} without a price" if difference.unpriced else ""
    notes = "; ".join(note for note in (absent, estimated, unpriced) if note)
    return f"  ({notes})" if notes else ""


def _told(measure: str, pair: Pair) -> str:
    name = "cost" if measure == "cost_nano" else measure
    shown = [_shown(measure, value) for value in (pair.ours, pair.theirs, pair.delta)]
    return f"{name}: ours {shown[0]}, theirs {shown[1]}, delta {shown[2]}"


def _shown(measure: str, value: int | None) -> str:
    if value is None:
        return "-"
    if measure != "cost_nano":
        return str(value)
    whole, rest = divmod(abs(value), 10**9)
    return f"{'-' if value < 0 else ''}${whole}.{rest:09}"
