"""Public price lists, read: LiteLLM's model_prices JSON, and the data of the genai-prices package."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from providers.dialects import KINDS
from providers.prices import PER, BadPrice, Charges, amount, charges_of

# --- the names of LiteLLM ----------------------------------------------------------------------

_TOKEN_KEYS = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cached_input",
    "cache_creation_input_token_cost": "cache_write",
    "output_cost_per_reasoning_token": "reasoning",
    "input_cost_per_audio_token": "audio_input",
    "output_cost_per_audio_token": "audio_output",
}
_EACH_KEYS = {
    "input_cost_per_request": "per_request",
    "input_cost_per_image": "per_image",
    "output_cost_per_image": "per_image",
    "input_cost_per_second": "per_second",
    "output_cost_per_second": "per_second",
    "input_cost_per_character": "per_character",
}
_WRITTEN_EACH = {
    "input_cost_per_request": "per_request",
    "output_cost_per_image": "per_image",
    "input_cost_per_second": "per_second",
    "input_cost_per_character": "per_character",
}
# LiteLLM's `mode` of the models where these mean what is said here, "": of those without one. Elsewhere they
# are of the time that a machine works, of a prompt's letters, or of the sound that is made.
_MODES = {
    "input_cost_per_second": ("", "audio_transcription"),
    "output_cost_per_second": ("audio_transcription",),
    "input_cost_per_character": ("", "audio_speech"),
}
COST_KEYS = frozenset(_TOKEN_KEYS) | frozenset(_EACH_KEYS)
_TIER_KEY = re.compile(r"(?P<plain>.+)_above_(?P<thousands>[1-9]\d{0,6})k_tokens")
_COST_KEY = re.compile(r"cost_per|token_cost|pricing")


def is_cost_key(key: str) -> bool:
    """Whether LiteLLM means money by a name, read here or not."""
    return bool(_COST_KEY.search(key))


def is_read_cost_key(key: str, mode: object = "") -> bool:
    """Whether `read_costs` reads this name; `mode`: LiteLLM's of the model, "" if nothing is said."""
    tier = _TIER_KEY.fullmatch(key)
    if key in _MODES and mode not in _MODES[key]:
        return False
    return key in COST_KEYS or (tier is not None and tier["plain"] in _TOKEN_KEYS)


def read_costs(costs: Mapping[str, object]) -> Charges:
    """Charges of LiteLLM's cost keys, all of which `is_read_cost_key`. Raises `BadPrice`, naming the key."""
    charges: dict[str, Decimal] = {}
    tiers: dict[int, dict[str, Decimal]] = {}
    for key, value in costs.items():
        if tier := _TIER_KEY.fullmatch(key):
            above = int(tier["thousands"]) * 1000
            tiers.setdefault(above, {})[_TOKEN_KEYS[tier["plain"]]] = _cost(key, value, PER)
        elif key in _TOKEN_KEYS:
            charges[_TOKEN_KEYS[key]] = _cost(key, value, PER)
        else:
            name = _EACH_KEYS[key]
            charges[name] = max(charges.get(name, Decimal(0)), _cost(key, value, 1))
    return _charges(charges, tiers)


def written_costs(charges: Charges) -> dict[str, float]:
    """LiteLLM's keys for these charges: what `read_costs` reads back, but for tiers not at a thousand."""
    costs = {key: getattr(charges, name) / PER for key, name in _TOKEN_KEYS.items() if _said(charges, name)}
    costs |= {key: getattr(charges, name) for key, name in _WRITTEN_EACH.items() if getattr(charges, name)}
    for above, dear in charges.tiers:
        if above % 1000 == 0:
            suffix = f"_above_{above // 1000}k_tokens"
            costs |= {key + suffix: dear[name] / PER for key, name in _TOKEN_KEYS.items() if name in dear}
    return {key: float(cost) for key, cost in costs.items()}


def _said(charges: Charges, name: str) -> bool:
    return name in ("input", "output") or getattr(charges, name) is not None


def _cost(key: str, value: object, scale: int) -> Decimal:
    try:
        return amount(value, scale)
    except BadPrice as error:
        raise BadPrice(f"{key}: {error}") from None


def _charges(amounts: Mapping[str, Decimal], tiers: Mapping[int, Mapping[str, Decimal]]) -> Charges:
    return charges_of(amounts, tuple((above, tiers[above]) for above in sorted(tiers)))


@dataclass(frozen=True, slots=True)
class PriceFile:
    """A price file, read: charges by (provider kind, upstream model), and what of it was left out.

    `ignored` counts keys that mean money and are not read; `skipped` counts entries by why.
    """

    charges: Mapping[tuple[str, str], Charges]
    ignored: Mapping[str, int] = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict)


class BadPriceFile(ValueError):
    """A file that is no price list; the one-line message says why."""


def read_price_file(text: str) -> PriceFile:
    """Read LiteLLM's model_prices_and_context_window.json, every digit of it. Raises `BadPriceFile`."""
    entries = _entries(text)
    charges: dict[tuple[str, str], Charges] = {}
    ignored: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    for name, entry in entries.items():
        if name == "sample_spec":
            continue
        if not isinstance(entry, dict):
            raise BadPriceFile(f"{name[:80]}: an object of prices is expected")
        mode = entry.get("mode", "")
        ignored.update(key for key in entry if is_cost_key(key) and not is_read_cost_key(key, mode))
        subject = _subject(name, entry)
        costs = {key: entry[key] for key in entry if is_read_cost_key(key, mode) and entry[key] is not None}
        if subject is None:
            skipped["of a provider that is not served"] += 1
        elif not costs:
            skipped["without a price that is read"] += 1
        else:
            charges[subject] = _costs_of(name, costs)
    return PriceFile(charges, ignored, skipped)


def _entries(text: str) -> dict[str, object]:
    try:
        entries = json.loads(text, parse_float=Decimal, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        raise BadPriceFile(f"line {error.lineno}: not JSON: {error.msg}") from None
    except (RecursionError, ValueError) as error:
        raise BadPriceFile(f"not JSON: {error}") from None
    if not isinstance(entries, dict) or not entries:
        raise BadPriceFile("a JSON object of models and their prices is expected")
    return entries


def _no_number(name: str) -> object:
    raise ValueError(f"{name} is no number")


def _costs_of(name: str, costs: Mapping[str, object]) -> Charges:
    try:
        return read_costs(costs)
    except BadPrice as error:
        raise BadPriceFile(f"{name[:80]}: {error}") from None


def _subject(name: str, entry: Mapping[str, object]) -> tuple[str, str] | None:
    """Kind and upstream model of an entry: `groq/llama-3` of groq is `llama-3` there."""
    prefix, slash, rest = name.partition("/")
    told = entry.get("litellm_provider")
    kind = told if isinstance(told, str) else prefix if slash else "openai"
    kind = "openai" if kind == "text-completion-openai" else kind
    if kind not in KINDS:
        return None
    model = rest if slash and prefix == kind else name
    return (kind, model) if model and len(model) <= 300 else None


# --- genai-prices ------------------------------------------------------------------------------

# Our kinds whose prices the package lists under another name; the other kinds are looked for as they are.
_GENAI_PROVIDERS = {
    "together_ai": "together",
    "fireworks_ai": "fireworks",
    "xai": "x-ai",
    "moonshot": "moonshotai",
    "nebius": "huggingface_nebius",
    "sambanova": "huggingface_sambanova",
    "nscale": "huggingface_nscale",
    "hyperbolic": "huggingface_hyperbolic",
}
_GENAI_KINDS = frozenset(
    ["openai", "groq", "mistral", "deepseek", "openrouter", "perplexity", "cerebras", "novita", "zai"]
)
_GENAI_FIELDS = {
    "input_mtok": "input",
    "output_mtok": "output",
    "cache_read_mtok": "cached_input",
    "cache_write_mtok": "cache_write",
    "output_reasoning_mtok": "reasoning",
    "input_audio_mtok": "audio_input",
    "output_audio_mtok": "audio_output",
}


class GenaiModel(Protocol):
    """What is needed of genai_prices.types.ModelInfo."""

    prices: Any


@dataclass(frozen=True, slots=True)
class Listed:
    """What the package lists for a model now; `notes` tell people what it cannot say exactly."""

    charges: Charges
    notes: str = ""


def genai_provider(kind: str) -> str | None:
    """The package's name for providers of this kind, None where it has none."""
    return _GENAI_PROVIDERS.get(kind) or (kind if kind in _GENAI_KINDS else None)


def listed_charges(model: GenaiModel, now: datetime) -> Listed | None:
    """The charges of a model of genai-prices; None when it asks nothing that is read here.

    Where the price varies with the time of day, the dearest is taken.
    """
    active, varies = _active(model.prices, now)
    found = [charges for prices in active if (charges := _genai_charges(vars(prices))) is not None]
    if not found:
        return None
    dearest = max(found, key=lambda charges: (charges.input + charges.output, charges.input))
    return Listed(dearest, "Varies with the time of day: this is the dearest." if varies else "")


def _active(prices: Any, now: datetime) -> tuple[list[Any], bool]:
    """The prices that may hold today, and whether that depends on the hour."""
    if not isinstance(prices, list):
        return [prices], False
    held = prices[0].prices
    hourly = []
    for conditional in prices:
        constraint = conditional.constraint
        if hasattr(constraint, "start_time"):
            hourly.append(conditional.prices)
        elif constraint is None or constraint.active(now):
            held, hourly = conditional.prices, []
    return [held, *hourly], bool(hourly)


def _genai_charges(prices: Mapping[str, Any]) -> Charges | None:
    amounts: dict[str, Decimal] = {}
    tiers: dict[int, dict[str, Decimal]] = {}
    for key, name in _GENAI_FIELDS.items():
        if (asked := prices.get(key)) is None:
            continue
        amounts[name] = amount(getattr(asked, "base", asked))
        for tier in getattr(asked, "tiers", ()):
            tiers.setdefault(tier.start, {})[name] = amount(tier.price)
    if (per_thousand := prices.get("requests_kcount")) is not None and not hasattr(per_thousand, "base"):
        amounts["per_request"] = amount(Decimal(per_thousand) / 1000)
    if not amounts:
        return None
    return _charges(amounts, {above: tier for above, tier in tiers.items() if above > 0})
