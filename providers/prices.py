"""What a provider asks: prices as people write them, and as whole numbers that an attempt is rated with."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from decimal import ROUND_HALF_UP, Decimal

# Rates are nano-dollars per this many tokens: $0.0375 per million is 37_500_000, no fraction left.
PER = 1_000_000
# Nine places of a dollar per million tokens, six in front: what a float of SQLite still holds exactly.
PLACES = 9
MOST = Decimal(10**6) - Decimal(1).scaleb(-PLACES)
_NANO = 10**9

TOKEN_FIELDS = (
    "input",
    "output",
    "cached_input",
    "cache_write",
    "reasoning",
    "audio_input",
    "audio_output",
)
EACH_FIELDS = ("per_request", "per_image", "per_second", "per_character")


class BadPrice(ValueError):
    """An amount that is no price: negative, too large, or not a number; the message says which."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Nano-dollars per million tokens of each kind; None: charged as the kind it is part of."""

    input: int = 0
    output: int = 0
    cached_input: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    audio_input: int | None = None
    audio_output: int | None = None


@dataclass(frozen=True, slots=True)
class Tier:
    """Rates of prompts with more than `above` tokens: they hold for the whole request."""

    above: int
    rates: Rates


@dataclass(frozen=True, slots=True)
class PriceList:
    """A price as an attempt is rated with it: `id` is its row, `effective_from` in Unix milliseconds.

    `per_request`, `per_image`, `per_second` (of sound that is heard) and `per_character` (that is spoken) are
    nano-dollars each.
    """

    id: int
    rates: Rates
    tiers: tuple[Tier, ...] = ()
    per_request: int = 0
    per_image: int = 0
    per_second: int = 0
    per_character: int = 0
    effective_from: int = 0

    def rates_for(self, prompt_tokens: int) -> Rates:
        reached = [tier for tier in self.tiers if prompt_tokens > tier.above]
        return max(reached, key=lambda tier: tier.above).rates if reached else self.rates


def timeline(own: Iterable[PriceList], general: Iterable[PriceList]) -> tuple[PriceList, ...]:
    """All prices of one deployment in the order of time; once it has one of its own, no general one holds."""
    mine = sorted(own, key=lambda price: (price.effective_from, price.id))
    others = sorted(general, key=lambda price: (price.effective_from, price.id))
    return (*(price for price in others if not mine or price.effective_from < mine[0].effective_from), *mine)


def in_effect(prices: Sequence[PriceList], at_ms: int) -> PriceList | None:
    """The price that holds at this moment, or None; `prices` are in the order of time."""
    for price in reversed(prices):
        if price.effective_from <= at_ms:
            return price
    return None


# --- as people write them ----------------------------------------------------------------------


type Tiers = tuple[tuple[int, Mapping[str, Decimal]], ...]


@dataclass(frozen=True, slots=True)
class Charges:
    """US dollars: of tokens per million, and of each request, image, second heard and character spoken.

    None: charged as what it is part of. A tier holds for prompts of more than `above` tokens; what it
    leaves out is as without it.
    """

    input: Decimal = Decimal(0)
    output: Decimal = Decimal(0)
    cached_input: Decimal | None = None
    cache_write: Decimal | None = None
    reasoning: Decimal | None = None
    audio_input: Decimal | None = None
    audio_output: Decimal | None = None
    per_request: Decimal = Decimal(0)
    per_image: Decimal = Decimal(0)
    per_second: Decimal = Decimal(0)
    per_character: Decimal = Decimal(0)
    tiers: Tiers = ()

    def rates(self) -> Rates:
        return Rates(**{name: _nano_or_none(getattr(self, name)) for name in TOKEN_FIELDS})  # type: ignore[arg-type]

    def price_list(self, id: int, effective_from: int) -> PriceList:
        """As whole numbers; `effective_from` in Unix milliseconds."""
        plain = self.rates()
        return PriceList(
            id=id,
            rates=plain,
            tiers=tuple(
                Tier(above, replace(plain, **{name: _nano(amount) for name, amount in dear.items()}))
                for above, dear in self.tiers
            ),
            **{name: _nano(getattr(self, name)) for name in EACH_FIELDS},
            effective_from=effective_from,
        )

    def as_text(self) -> dict[str, object]:
        """Every field as JSON holds it: amounts as plain decimal text, None where nothing is said."""
        amounts: dict[str, object] = {
            field.name: None if (value := getattr(self, field.name)) is None else plain_text(value)
            for field in fields(self)
            if field.name != "tiers"
        }
        return {**amounts, "tiers": tiers_as_text(self.tiers)}


def charges_of_text(text: Mapping[str, object]) -> Charges:
    """The reverse of `Charges.as_text`. Raises `BadPrice`."""
    read = {
        name: amount(value) for name in (*TOKEN_FIELDS, *EACH_FIELDS) if (value := text.get(name)) is not None
    }
    return charges_of(read, read_tiers(text.get("tiers", [])))


def charges_of(amounts: Mapping[str, Decimal], tiers: Tiers = ()) -> Charges:
    """Charges of some named amounts; what is not among them is as if nothing was said of it."""
    zero = Decimal(0)
    return Charges(
        input=amounts.get("input", zero),
        output=amounts.get("output", zero),
        cached_input=amounts.get("cached_input"),
        cache_write=amounts.get("cache_write"),
        reasoning=amounts.get("reasoning"),
        audio_input=amounts.get("audio_input"),
        audio_output=amounts.get("audio_output"),
        **{name: amounts.get(name, zero) for name in EACH_FIELDS},
        tiers=tiers,
    )


def tiers_as_text(tiers: Tiers) -> list[dict[str, object]]:
    """`[{"above": 200000, "input": "2.5"}]`, in the order of size."""
    return [
        {"above": above, **{name: plain_text(dear[name]) for name in TOKEN_FIELDS if name in dear}}
        for above, dear in sorted(tiers, key=lambda tier: tier[0])
    ]


def read_tiers(value: object) -> Tiers:
    """The reverse of `tiers_as_text`; numbers are taken as well as text. Raises `BadPrice`."""
    if not isinstance(value, list):
        raise BadPrice('a list such as [{"above": 200000, "input": "2.5", "output": "15"}] is expected')
    tiers = [_read_tier(item) for item in value]
    if len({above for above, _ in tiers}) < len(tiers):
        raise BadPrice("two tiers begin at the same number of tokens")
    return tuple(sorted(tiers, key=lambda tier: tier[0]))


def _read_tier(item: object) -> tuple[int, Mapping[str, Decimal]]:
    if not isinstance(item, dict):
        raise BadPrice('a tier is an object such as {"above": 200000, "input": "2.5"}')
    above = item.get("above")
    if not isinstance(above, int) or isinstance(above, bool) or not 0 < above < 2**53:
        raise BadPrice("above is a whole number of tokens from 1 on")
    unknown = sorted(str(name) for name in item if name != "above" and name not in TOKEN_FIELDS)
    if unknown:
        raise BadPrice(f"{unknown[0]} is none of above, {', '.join(TOKEN_FIELDS)}")
    return above, {name: amount(item[name]) for name in TOKEN_FIELDS if item.get(name) is not None}


def amount(value: object, scale: int = 1) -> Decimal:
    """A price of dollars, times `scale`, rounded to nine places. Raises `BadPrice`.

    Exact for text and Decimals; a float means the digits that it prints as.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise BadPrice("a number is expected")
    try:
        number = Decimal(str(value).strip())
    except ArithmeticError:
        raise BadPrice(f"{str(value)[:40]!r} is no number") from None
    if not number.is_finite() or number < 0:
        raise BadPrice(f"{str(value)[:40]} is no price")
    if number > MOST:
        raise BadPrice(f"{str(value)[:40]} is more than a price can be")
    rounded = (number * scale).quantize(Decimal(1).scaleb(-PLACES), ROUND_HALF_UP)
    if rounded > MOST:
        raise BadPrice(f"{str(value)[:40]} is more than a price can be")
    return rounded


def plain_text(value: Decimal) -> str:
    """`0.15`: no exponent, no zeros at the end."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _nano(dollars: Decimal) -> int:
    return max(0, int((dollars * _NANO).to_integral_value(ROUND_HALF_UP)))


def _nano_or_none(dollars: Decimal | None) -> int | None:
    return None if dollars is None else _nano(dollars)
