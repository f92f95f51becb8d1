"""How long the answers of a model are as a rule: what is charged for one that nobody lived to count."""

_FIRST_GUESS = 256.0
_WEIGHT = 0.05  # of each new answer: about the last 40 decide
_MOST_MODELS = 10_000


class Completions:
    """A moving mean of completion tokens, per choice, of each model that this worker serves."""

    def __init__(self) -> None:
        self._means: dict[str, float] = {}

    def mean(self, model: str) -> int:
        return int(self._means.get(model, _FIRST_GUESS))

    def observe(self, model: str, tokens: int) -> None:
        if model not in self._means and len(self._means) >= _MOST_MODELS:
            del self._means[next(iter(self._means))]
        mean = self._means.get(model, _FIRST_GUESS)
        self._means[model] = mean + (tokens - mean) * _WEIGHT
