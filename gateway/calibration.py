"""How many tokens a prompt will count as: an upper bound that learns from what providers report."""

import msgspec

FLOOR = 0.1
DEFAULT = 0.4  # above what tokenizers make of English (0.25), code (0.33) and CJK (0.35)
CEILING = 2.0  # more than one for each byte: emoji, and tokenizers that fall back to bytes
_PER_MESSAGE = 8
_PER_MEDIUM = 1500  # a picture or a sound clip, whatever its bytes
_BESIDE = 16

_SMALLEST = 200  # bytes: below them the frame of a message counts for more than its text
_MARGIN = 1.1
# What a report brings the rate down towards it by: within 200 reports from the ceiling to near the floor, and
# hardly between two dense prompts of a model that sees both kinds.
_DOWN = 0.02
_MOST_MODELS = 10_000


class PromptSize(msgspec.Struct, frozen=True, gc=False):
    """What of a prompt decides on its tokens: bytes of JSON without media, messages, and media."""

    text_bytes: int
    messages: int
    media: int


def estimate(size: PromptSize, rate: float = DEFAULT) -> int:
    """Tokens of a prompt at so many tokens per byte of its text."""
    return int(size.text_bytes * rate) + size.messages * _PER_MESSAGE + size.media * _PER_MEDIUM + _BESIDE


class Calibration:
    """The tokens per byte of each model, of the last 10,000 models that were new to this worker.

    Up at once, down slowly: an estimate too low lets a request through that its limit cannot pay.
    """

    def __init__(self) -> None:
        self._rates: dict[str, float] = {}

    def estimate(self, model: str, size: PromptSize) -> int:
        """An upper bound of what this prompt will count as."""
        return estimate(size, self._rates.get(model, DEFAULT))

    def observe(self, model: str, size: PromptSize, prompt_tokens: int) -> None:
        """Learn from the tokens that a provider reported for a prompt, where they tell of its text.

        Reports of none, and of more than any text can be (hidden prompts, what tools read), tell nothing.
        """
        if size.media or size.text_bytes < _SMALLEST:
            return
        if not 0 < prompt_tokens <= estimate(size, CEILING):
            return
        told = min(CEILING, max(FLOOR, prompt_tokens / size.text_bytes * _MARGIN))
        rate = self._rates.get(model)
        if rate is None:
            rate = self._begin(model)
        self._rates[model] = told if told > rate else rate + (told - rate) * _DOWN

    def _begin(self, model: str) -> float:
        if len(self._rates) >= _MOST_MODELS:
            del self._rates[next(iter(self._rates))]
        return DEFAULT
