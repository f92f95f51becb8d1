"""What an operator types on the command line: limits (`cost=10/month`) and expiries (`30d`)."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

METRICS = ("requests", "tokens", "cost", "parallel")
WINDOWS = ("second", "minute", "hour", "day", "week", "month", "total")
MODES = ("enforce", "shadow")
DEFAULT_WINDOW = "minute"
# What Redis counts exactly, with room for what is in flight. Of cost, in nano-dollars: $4,000,000.
LARGEST = 4 * 10**15
NANO = 10**9
EXAMPLE = "tokens=100k/day@gpt-4o:shadow"

_SPEC = re.compile(
    r"(?P<metric>[^=]*)=(?P<amount>[^/@:]*)(?:/(?P<window>[^@:]*))?"
    r"(?:@(?P<model>.*?))?(?::(?P<mode>shadow|enforce))?"
)
_AMOUNT = re.compile(r"(?P<digits>\d[\d_]{0,29}(?:\.\d{1,12})?)(?P<scale>[kmg]?)", re.ASCII | re.IGNORECASE)
_SCALES = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3}
_SPAN = re.compile(r"(?P<count>\d{1,9})(?P<unit>[mhdw])", re.ASCII)
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Misspelt(ValueError):
    """What was typed is no limit or no expiry; the message says why and shows one that is."""


@dataclass(frozen=True, slots=True)
class LimitSpec:
    """At most `amount` of `metric` per `window` ("" for parallel), on one model or ("") on all together.

    Of cost the amount is in nano-dollars, and its text in dollars.
    """

    metric: str
    amount: int
    window: str
    model: str = ""
    shadow: bool = False

    def __str__(self) -> str:
        window = f"/{self.window}" if self.window else ""
        model = f"@{self.model}" if self.model else ""
        # A model whose own name ends like a mode needs the mode said.
        mode = ":shadow" if self.shadow else ":enforce" if model.endswith((":shadow", ":enforce")) else ""
        amount = f"{Decimal(self.amount).scaleb(-9).normalize():f}" if self.metric == "cost" else self.amount
        return f"{self.metric}={amount}{window}{model}{mode}"


def _wrong(text: str, why: str) -> Misspelt:
    return Misspelt(f"{text!r} is not a limit: {why} Example: {EXAMPLE}")


def _metric(text: str, name: str) -> str:
    if name not in METRICS:
        raise _wrong(text, f"it begins with one of {', '.join(METRICS)}, then = and an amount.")
    return name


def _amount(text: str, metric: str, given: str) -> int:
    match = _AMOUNT.fullmatch(given.strip())
    if match is None:
        raise _wrong(text, f"the amount {given!r} is not a number such as 1000, 1_000, 1k or 1.5M.")
    amount = Fraction(match["digits"].replace("_", "")) * _SCALES[match["scale"].lower()]
    if metric == "cost":
        amount *= NANO
    if amount.denominator != 1:
        exact = "of at most 9 decimals of a dollar" if metric == "cost" else "a whole number"
        raise _wrong(text, f"the amount {given!r} is not {exact}.")
    if amount > LARGEST:
        largest = f"${LARGEST // NANO}" if metric == "cost" else LARGEST
        raise _wrong(text, f"the amount {given!r} is larger than {largest}.")
    return int(amount)


def _window(text: str, metric: str, given: str | None) -> str:
    if metric == "parallel":
        if given is not None:
            raise _wrong(text, "parallel requests are counted at any moment and take no window.")
        return ""
    window = DEFAULT_WINDOW if given is None else given.strip().lower()
    if window not in WINDOWS:
        raise _wrong(text, f"the window {given!r} is not one of {', '.join(WINDOWS)}.")
    return window


def parse_limit(text: str) -> LimitSpec:
    """Read `METRIC=AMOUNT[/WINDOW][@model][:shadow]`; without a window: per minute. Raises `Misspelt`."""
    match = _SPEC.fullmatch(text.strip())
    if match is None:
        _metric(text, text.strip().partition("=")[0].strip().lower())
        raise _wrong(text, "it has the form METRIC=AMOUNT[/WINDOW][@model][:shadow].")
    metric = _metric(text, match["metric"].strip().lower())
    amount = _amount(text, metric, match["amount"])
    window = _window(text, metric, match["window"])
    model = (match["model"] or "").strip()
    if match["model"] is not None and not model:
        raise _wrong(text, "a model's name follows the @.")
    return LimitSpec(metric, amount, window, model, match["mode"] == "shadow")


def _wrong_expiry(text: str, why: str) -> Misspelt:
    return Misspelt(f"{text!r} is not an expiry: {why} Examples: 30d, 12h, 2w, 2030-12-31")


def _moment(text: str, now: datetime) -> datetime:
    span = _SPAN.fullmatch(text)
    if span is not None:
        return now + timedelta(**{_UNITS[span["unit"]]: int(span["count"])})
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def parse_expiry(text: str, now: datetime) -> datetime:
    """The moment a key expires: a span from `now` (m, h, d, w) or an ISO date or time.

    A date means its beginning, and a time without an offset is, in UTC. Raises `Misspelt`.
    """
    try:
        moment = _moment(text.strip(), now).astimezone(UTC)
    except OverflowError:
        raise _wrong_expiry(text, "that is too far away.") from None
    except ValueError:
        raise _wrong_expiry(text, "give a span or an ISO date.") from None
    if moment <= now:
        raise _wrong_expiry(text, "that is not in the future.")
    return moment
