"""What an attempt costs: integer nano-dollars from token counts and one price."""

from collections.abc import Sequence
from dataclasses import dataclass

from providers.prices import PER, PriceList, in_effect
from usage.records import MOST_NANO


@dataclass(frozen=True, slots=True)
class Used:
    """Counts of one attempt. The details are parts of `prompt` or `completion`, never beside them."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0
    audio_input: int = 0
    audio_output: int = 0
    images: int = 0
    seconds: int = 0
    characters: int = 0


@dataclass(frozen=True, slots=True)
class Rated:
    """What a usage row keeps of its rating; without a price it costs nothing and is not `priced`."""

    cost_nano: int = 0
    price_id: int | None = None

    @property
    def priced(self) -> bool:
        return self.price_id is not None


UNPRICED = Rated()
# The client left a stream of a provider that does not bill those: the row's `error_class`.
LEFT_UNBILLED = "client_left_unbilled"
# What is asked about a request before or after it: its provider charges the request alone.
_ABOUT_REQUESTS = frozenset({"responses/{id}", "messages/count_tokens"})
_NEVER_RATED = frozenset({"refused", "cached"})


def rated(
    prices: Sequence[PriceList],
    at_ms: int,
    used: Used,
    *,
    status: str,
    http_status: int | None,
    error_class: str = "",
    endpoint: str = "",
) -> Rated:
    """Rate an attempt with the price that held when it started (Unix milliseconds).

    What no provider was asked for is never priced, and `LEFT_UNBILLED` costs nothing.
    """
    price = None if status in _NEVER_RATED else in_effect(prices, at_ms)
    if price is None:
        return UNPRICED
    if error_class == LEFT_UNBILLED:
        return Rated(0, price.id)
    answered = was_answered(status, http_status) and endpoint not in _ABOUT_REQUESTS
    nano = cost(price, used, answered=answered)
    return Rated(min(nano, MOST_NANO), price.id)


def was_answered(status: str, http_status: int | None) -> bool:
    """Whether the provider answered with success, which is what it charges a request for."""
    return status in ("ok", "cancelled") and http_status is not None and 200 <= http_status < 300


def cost(price: PriceList, used: Used, *, answered: bool = True) -> int:
    """Nano-dollars, rounded half up once; never negative, whatever a provider counted."""
    rates = price.rates_for(used.prompt)
    prompt_details = [
        (used.cached, rates.cached_input),
        (used.cache_write, rates.cache_write),
        (used.audio_input, rates.audio_input),
    ]
    completion_details = [(used.reasoning, rates.reasoning), (used.audio_output, rates.audio_output)]
    millionths = (
        _split(used.prompt, rates.input, prompt_details)
        + _split(used.completion, rates.output, completion_details)
        + PER * (price.per_request * answered + price.per_image * max(0, used.images))
        + PER * (price.per_second * max(0, used.seconds) + price.per_character * max(0, used.characters))
    )
    return (millionths + PER // 2) // PER


def _split(whole: int, rate: int, details: Sequence[tuple[int, int | None]]) -> int:
    """The sum over the parts of a whole, each at its rate; details that claim more than is left are cut."""
    left, total = max(0, whole), 0
    for tokens, special in details:
        if special is not None:
            part = min(max(0, tokens), left)
            total += part * special
            left -= part
    return total + left * rate
