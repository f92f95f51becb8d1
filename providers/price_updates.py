"""Bringing the prices for all deployments of a kind and model to what a list says, without losing the old."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from providers.changes import change
from providers.models import Price
from providers.price_sources import Listed
from providers.prices import Charges, plain_text

type Subject = tuple[str, str]
type Fate = Literal["new", "changed", "same", "kept"]

_BY_HAND = (Price.Source.ADMIN, Price.Source.FILE)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one subject, a provider kind and upstream model; `before` is the row that held."""

    subject: Subject
    fate: Fate
    listed: Listed
    before: Price | None

    def __str__(self) -> str:
        text = f"{'/'.join(self.subject)}: {self.fate}, {_brief(self.listed.charges)}"
        if self.before is not None and self.fate != "same":
            text += f" {'was' if self.fate == 'changed' else 'not taken: set by hand to'} {self.before.brief}"
        return f"{text}. {self.listed.notes}".rstrip(" .")


def _brief(charges: Charges) -> str:
    return f"${plain_text(charges.input)} / ${plain_text(charges.output)}"


def bring(
    wanted: Mapping[Subject, Listed], source: Price.Source, effective_from: datetime, *, dry_run: bool
) -> list[Outcome]:
    """Write a row for each changed price; what was set by hand and what is the same stays.

    A new price holds from `effective_from` on; the one before it stays as it was until then.
    """
    held = _held(effective_from)
    outcomes = [
        _compared(subject, listed, held.get(subject))
        for subject, listed in sorted(wanted.items(), key=_first)
    ]
    writing = [outcome for outcome in outcomes if outcome.fate in ("new", "changed")]
    if writing and not dry_run:
        with change():
            for outcome in writing:
                _write(outcome, source, effective_from)
    return outcomes


def _first(item: tuple[Subject, Listed]) -> Subject:
    return item[0]


def _held(at: datetime) -> dict[Subject, Price]:
    rows = Price.objects.filter(deployment__isnull=True, effective_from__lte=at)
    return {(row.kind, row.upstream_model): row for row in rows.order_by("effective_from", "pk")}


def _compared(subject: Subject, listed: Listed, held: Price | None) -> Outcome:
    if held is None:
        return Outcome(subject, "new", listed, None)
    if held.charges() == listed.charges:
        return Outcome(subject, "same", listed, held)
    return Outcome(subject, "kept" if held.source in _BY_HAND else "changed", listed, held)


def _write(outcome: Outcome, source: Price.Source, effective_from: datetime) -> None:
    row = outcome.before
    if row is None or row.effective_from != effective_from:
        row = Price(kind=outcome.subject[0], upstream_model=outcome.subject[1], effective_from=effective_from)
    row.charge(outcome.listed.charges)
    row.source, row.notes = source, outcome.listed.notes
    row._change_reason = f"{source.label}"  # type: ignore[attr-defined]
    row.save()


def report(outcomes: Iterable[Outcome]) -> str:
    """A line for each price that is not the same, and one that counts all."""
    rows = list(outcomes)
    fates = Counter(outcome.fate for outcome in rows)
    counted = ", ".join(f"{fates[fate]} {fate}" for fate in ("new", "changed", "same", "kept"))
    return "\n".join([*(str(row) for row in rows if row.fate != "same"), f"{len(rows)} matched: {counted}"])
