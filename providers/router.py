"""The live side of routing in one process: credits of the round robin, and who is left alone."""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from providers import routing
from providers.health import Health
from providers.retries import RetryBudget
from providers.routing import NO_ALLOWANCES, NO_SCORES, Allowances, Share, Strategy
from providers.signals import Signals
from providers.snapshot import ServedModel

# Of a weight, so that a part of one is a whole number too.
_SCALE = 100
_WATCHING = frozenset({Strategy.LEAST_BUSY, Strategy.LATENCY, Strategy.USAGE})


@dataclass(frozen=True, slots=True)
class Order:
    """The deployments to ask, best first, and what `charge` needs of this step.

    `rests_for`: where there is none, the seconds until one that asked to be left alone may be asked again.
    """

    ids: list[int]
    shares: Sequence[Share] = ()
    gained: Mapping[int, int] = MappingProxyType({})
    scores: Mapping[int, float] = NO_SCORES
    rests_for: float | None = None


class Router:
    """Orders a model's deployments by its strategy, shares and health."""

    def __init__(self) -> None:
        self.health = Health()
        self._signals = Signals()
        self._credits: dict[str, dict[int, int]] = {}
        self._budgets: dict[str, RetryBudget] = {}

    def signals(self, model: ServedModel) -> Signals | None:
        """Where attempts tell what this model's strategy looks at, if it looks at any of it."""
        return self._signals if model.strategy in _WATCHING else None

    def order(
        self, model: ServedModel, tried: Collection[int] = (), allowed: Allowances = NO_ALLOWANCES
    ) -> Order:
        """Whom to ask for this model, after those that were tried already.

        `allowed`: what its deployments may take within a minute, for the strategy that looks at it.
        """
        now = time.monotonic()
        left = [share.id for share in model.shares if share.id not in tried]
        resting = self.health.resting(left, now)
        if resting:
            left = [id for id in left if id not in resting]
            if not left:
                return Order([], rests_for=min(resting.values()) - now)
        usable = set(left) - self.health.ejected(left, now)
        out = {share.id for share in model.shares} - usable
        shares = self._ramped(model.shares, now)
        credits = self._credits.get(model.name, {})
        if model.strategy is Strategy.WEIGHTED:
            ids, gained = routing.order(shares, credits, out)
            return Order(ids, shares, gained)
        scores = self._scores(model, shares, allowed, now)
        ids, gained = routing.order(shares, credits, out, scores)
        return Order(ids, shares, gained, scores)

    def _scores(
        self, model: ServedModel, shares: Sequence[Share], allowed: Allowances, now: float
    ) -> Mapping[int, float]:
        if model.strategy is Strategy.COST:
            prices = {id: target.prices for id, target in model.targets.items()}
            return routing.by_cost(shares, prices, int(time.time() * 1000))
        loads = {share.id: self._signals.load(share.id, now) for share in shares}
        match model.strategy:
            case Strategy.LEAST_BUSY:
                return routing.by_load(shares, loads)
            case Strategy.LATENCY:
                return routing.by_latency(shares, loads)
            case Strategy.USAGE:
                return routing.by_use(shares, allowed, loads)
        return NO_SCORES

    def _ramped(self, shares: Sequence[Share], now: float) -> Sequence[Share]:
        parts = [self.health.share(share.id, now) for share in shares]
        if all(part == 1.0 for part in parts):
            return shares
        return [
            replace(share, weight=max(1, int(share.weight * _SCALE * part)) if share.weight else 0)
            for share, part in zip(shares, parts, strict=True)
        ]

    def charge(self, model: ServedModel, order: Order, asked: int) -> None:
        """Note which deployment the step went to."""
        self._credits[model.name] = routing.charge(order.shares, order.gained, asked, order.scores)

    def budget(self, model: ServedModel) -> RetryBudget:
        """How often requests for this model may be retried."""
        found = self._budgets.get(model.name)
        if found is None:
            found = self._budgets[model.name] = RetryBudget()
        return found

    def forget(self, kept: set[int], models: Collection[str]) -> None:
        """Drop what is known of deployments and models that no longer exist."""
        self.health.forget(kept)
        self._signals.forget(kept)
        self._budgets = {name: budget for name, budget in self._budgets.items() if name in models}
        for name, credits in self._credits.items():
            self._credits[name] = {id: credit for id, credit in credits.items() if id in kept}
