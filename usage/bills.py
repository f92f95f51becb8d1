"""A provider's bill: CSV text, columns in any order -> lines with days in UTC and exact nano-dollars."""

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

NANO = 10**9
MEASURES = ("requests", "prompt_tokens", "completion_tokens", "cost_nano")

# What each column is called by providers and by people; the first name that the header has wins.
_NAMES: dict[str, tuple[str, ...]] = {
    "moment": (
        *("date", "day", "usage_date", "start_time", "start_time_iso", "start_date", "timestamp", "time"),
        *("created_at", "period_start"),
    ),
    "model": ("model", "model_name", "model_id", "snapshot_id", "model_version"),
    "request_id": ("request_id", "x_request_id", "upstream_request_id", "attempt_id", "generation_id"),
    "requests": ("requests", "n_requests", "num_requests", "num_model_requests", "request_count"),
    "prompt_tokens": (
        *("prompt_tokens", "input_tokens", "n_context_tokens_total", "tokens_prompt", "tokens_input"),
        *("prompt", "input"),
    ),
    "completion_tokens": (
        *("completion_tokens", "output_tokens", "n_generated_tokens_total", "tokens_completion"),
        *("tokens_output", "completion", "output"),
    ),
    "cost_nano": ("cost", "cost_usd", "amount", "amount_usd", "amount_value", "total_cost", "usd"),
    "currency": ("currency", "amount_currency"),
}
_DIGITS = re.compile(r"\d{1,3}(?:,\d{3})+|\d+")
_COUNT = re.compile(rf"({_DIGITS.pattern})(?:\.0*)?")
_MONEY = re.compile(rf"([-+]?)\$?((?:{_DIGITS.pattern})?(?:\.\d+)?(?:[eE][-+]?\d{{1,2}})?)(?: ?USD)?")
_EPOCH = re.compile(r"(\d{10})(\d{3})?(?:\.\d+)?")


class BadBill(Exception):
    """A file that cannot be read as a bill; the message names the line."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a bill. `amounts` holds the measures that its file has; cost is in exact nano-dollars."""

    number: int
    moment: datetime | None
    model: str | None
    request_id: str | None
    amounts: dict[str, Fraction]


@dataclass(frozen=True, slots=True)
class Bill:
    """The lines of one file and which columns it has."""

    lines: list[Line]
    columns: frozenset[str] = field(default_factory=frozenset)

    @property
    def measures(self) -> tuple[str, ...]:
        return tuple(measure for measure in MEASURES if measure in self.columns)


def read(text: Iterable[str]) -> Bill:
    """The bill in these lines of text. Raises `BadBill`."""
    rows = _rows(text)
    first = next(rows, None)
    if first is None:
        raise BadBill("the file is empty")
    places = _places(first[1])
    _check(places, first[1])
    try:
        return Bill([_line(number, cells, places) for number, cells in rows], frozenset(places))
    except csv.Error as error:
        raise BadBill(f"broken CSV: {error}") from None


def _rows(text: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of each line that is not empty, the header first."""
    lines = iter(text)
    head = next((line for line in lines if line.strip()), "").lstrip("\ufeff")
    delimiter = max(",;\t", key=lambda sign: len(_places(head.strip().split(sign))))

    def again() -> Iterator[str]:
        yield head
        yield from lines

    reader = csv.reader(again(), delimiter=delimiter)
    for cells in reader:
        if any(cell.strip() for cell in cells):
            yield reader.line_num, [cell.strip() for cell in cells]


def _places(header: Sequence[str]) -> dict[str, int]:
    """Where each known column is."""
    plain = [re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") for name in header]
    found = {}
    for column, names in _NAMES.items():
        known = [name for name in names if name in plain]
        if known:
            found[column] = plain.index(known[0])
    return found


def _check(places: dict[str, int], header: Sequence[str]) -> None:
    seen = ", ".join(header)[:200]
    if "request_id" not in places and not places.keys() & set(MEASURES):
        raise BadBill(f"line 1: no column for requests, tokens, cost or a request id in: {seen}")
    if "request_id" not in places and not places.keys() & {"moment", "model"}:
        raise BadBill(f"line 1: no column for a date, a model or a request id in: {seen}")


def _line(number: int, cells: list[str], places: dict[str, int]) -> Line:
    def cell[T](column: str, parse: Callable[[str], T]) -> T | None:
        if column not in places:
            return None
        if places[column] >= len(cells):
            raise BadBill(f"line {number}: it has fewer columns than the header")
        try:
            return parse(cells[places[column]])
        except ValueError as error:
            raise BadBill(f"line {number}: {error}") from None

    cell("currency", _dollars_only)
    amounts: dict[str, Any] = {
        measure: cell(measure, _nano if measure == "cost_nano" else _count) for measure in MEASURES
    }
    return Line(
        number,
        cell("moment", moment_of),
        cell("model", str),
        cell("request_id", str) or None,
        {measure: amount for measure, amount in amounts.items() if amount is not None},
    )


def moment_of(text: str) -> datetime:
    """ISO date or time, or Unix seconds or milliseconds, in UTC. Raises ValueError."""
    if epoch := _EPOCH.fullmatch(text):
        return datetime.fromtimestamp(int(epoch.group(1)), UTC)
    try:
        moment = datetime.fromisoformat(text.removesuffix("UTC").rstrip())
    except ValueError:
        raise ValueError(f"{text!r} is no date such as 2026-11-01") from None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _count(text: str) -> Fraction:
    found = _COUNT.fullmatch(text or "0")
    if not found:
        raise ValueError(f"{text!r} is no count")
    return Fraction(found.group(1).replace(",", ""))


def _nano(text: str) -> Fraction:
    """Exactly what is written, in nano-dollars; credits are negative."""
    found = _MONEY.fullmatch(text or "0")
    if not found or not any(sign.isdigit() for sign in found.group(2)):
        raise ValueError(f"{text!r} is no amount of dollars")
    return Fraction(found.group(1) + found.group(2).replace(",", "")) * NANO


def _dollars_only(text: str) -> None:
    if text.lower() not in ("usd", "us$", "$", ""):
        raise ValueError(f"it is in {text}, and costs here are in USD")
