"""What a request may use, before anybody knows: tokens and cost to reserve, and the cap that keeps to it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gateway.calls import NOTHING_BESIDE, Beside
from keys.limits import Need
from providers.prices import PER, PriceList, in_effect
from providers.state import How

DEFAULT_OUTPUT = 4096
# What OpenAI's largest picture of the best quality counts as, where pictures are paid by tokens.
MOST_OF_PICTURE = 6240
# What OpenAI's models that hear count a second as, where sound is paid by tokens.
TOKENS_OF_SECOND = 10


@dataclass(frozen=True, slots=True)
class Estimate:
    """An upper bound of prompt tokens, the client's cap on output tokens of each choice or None, choices.

    `most_output`: what one answer of the model can have at most, if known; `foreseen`: output tokens that
    such an answer has as a rule, all choices together.
    """

    prompt: int
    cap: int | None
    choices: int
    most_output: int | None
    foreseen: int = 0

    @property
    def least_output(self) -> int:
        """With a cap of the client's all of it must fit; without one, any output at all."""
        return self.choices if self.cap is None else self._capped

    @property
    def want_output(self) -> int:
        return (self.most_output or DEFAULT_OUTPUT) * self.choices if self.cap is None else self._capped

    @property
    def _capped(self) -> int:
        assert self.cap is not None, "asked only where there is one"
        cap = min(self.cap, self.most_output) if self.most_output else self.cap
        return cap * self.choices

    @property
    def likely_output(self) -> int:
        """What is charged when nobody lives to say how much it was."""
        return self.foreseen if self.cap is None else min(self.foreseen, self._capped)


class Tariff(NamedTuple):
    """A price for one prompt: `base` for it and `rate` for each output token, in nano-dollars times `PER`."""

    base: int
    rate: int

    def cost(self, output: int) -> int:
        """Nano-dollars, rounded up."""
        return -(-(self.base + output * self.rate) // PER)

    def output_for(self, nano: int) -> int:
        """Output tokens that this much pays for; none where not even the prompt is."""
        return (nano * PER - self.base) // self.rate


def tariff(
    prices: Sequence[PriceList], at_ms: int, prompt: int, beside: Beside = NOTHING_BESIDE
) -> Tariff | None:
    """At the dearest kind of token that a text may turn out to be; None: no price is known."""
    price = in_effect(prices, at_ms)
    if price is None:
        return None
    rates = price.rates_for(prompt)
    written = max(rates.input, rates.cache_write or 0)
    spoken = max(rates.output, rates.reasoning or 0)
    picture = PER * price.per_image or MOST_OF_PICTURE * spoken
    heard = max(rates.input, rates.audio_input or 0)
    second = PER * price.per_second or TOKENS_OF_SECOND * heard
    each = price.per_request + price.per_character * beside.characters
    base = prompt * written + beside.pictures * picture + beside.most_seconds * second
    return Tariff(base + PER * each, spoken)


def need(estimate: Estimate, tariffs: Iterable[Tariff] = ()) -> Need:
    """What must fit into limits and what is wanted of them; cost at the dearest of these tariffs."""
    least, want = estimate.least_output, max(estimate.least_output, estimate.want_output)
    least_cost = want_cost = 0
    for each in tariffs:
        least_cost = max(least_cost, each.cost(least))
        want_cost = max(want_cost, each.cost(want))
    return Need(estimate.prompt + least, estimate.prompt + want, least_cost, want_cost)


def output_cap(
    grants: Iterable[tuple[How, int]], estimate: Estimate, tariffs: Sequence[Tariff] = ()
) -> int | None:
    """The cap to send upstream so that each answer stays in what was granted; None: send none."""
    if estimate.cap is not None:
        return None
    outputs: list[int] = []
    for how, granted in grants:
        if how == How.TOKENS:
            outputs.append(granted - estimate.prompt)
        elif how == How.COST:
            outputs += [each.output_for(granted) for each in tariffs if each.rate]
    return max(1, min(outputs) // estimate.choices) if outputs else None
