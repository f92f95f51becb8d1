"""The live side of routing in one process: credits of the round robin, and who is left alone."""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from providers import routing
from providers.health import Health
from providers.retries import RetryBudget
from providers.routing import Share
from providers.snapshot import ServedModel

# Of a weight, so that a part of one is a whole number too.
_SCALE = 100


@dataclass(frozen=True, slots=True)
class Order:
    """The deployments to ask, best first, and what `charge` needs of this step.

    `rests_for`: where there is none, the seconds until one that asked to be left alone may be asked again.
    """

    ids: list[int]
    shares: Sequence[Share] = ()
    gained: Mapping[int, int] = MappingProxyType({})
    rests_for: float | None = None


class Router:
    """Orders a model's deployments by shares and health."""

    def __init__(self) -> None:
        self.health = Health()
        self._credits: dict[str, dict[int, int]] = {}
        self._budgets: dict[str, RetryBudget] = {}

    def order(self, model: ServedModel, tried: Collection[int] = ()) -> Order:
        """Whom to ask for this model, after those that were tried already."""
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
        ids, gained = routing.order(shares, self._credits.get(model.name, {}), out)
        return Order(ids, shares, gained)

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
        self._credits[model.name] = routing.charge(order.shares, order.gained, asked)

    def budget(self, model: ServedModel) -> RetryBudget:
        """How often requests for this model may be retried."""
        found = self._budgets.get(model.name)
        if found is None:
            found = self._budgets[model.name] = RetryBudget()
        return found

    def forget(self, kept: set[int], models: Collection[str]) -> None:
        """Drop what is known of deployments and models that no longer exist."""
        self.health.forget(kept)
        self._budgets = {name: budget for name, budget in self._budgets.items() if name in models}
        for name, credits in self._credits.items():
            self._credits[name] = {id: credit for id, credit in credits.items() if id in kept}
