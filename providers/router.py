"""The live side of routing in one process: credits of the round robin, and who is left alone."""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from providers import routing
from providers.health import Health
from providers.retries import RetryBudget
from providers.routing import (
    NO_ALLOWANCES,
    NO_ONE_PASSED,
    NO_PARTS,
    NO_SCORES,
    Allowances,
    Passed,
    Share,
    Strategy,
)
from providers.signals import Signals
from providers.snapshot import ServedModel, Snapshot
from providers.tags import passed_over

# Of a weight, so that a part of one is a whole number too.
_SCALE = 100
_WATCHING = frozenset({Strategy.LEAST_BUSY, Strategy.LATENCY, Strategy.USAGE})


@dataclass(frozen=True, slots=True)
class Order:
    """The deployments to ask, best first; why others are `passed` over; and what the decision rests on.

    `rests_for`: where there is none, the seconds until one that asked to be left alone may be asked again.
    `parts`: of those that come back, the part of the requests that each may have, where weights do not say.
    """

    ids: list[int]
    shares: Sequence[Share] = ()
    passed: Mapping[int, Passed] = NO_ONE_PASSED
    scores: Mapping[int, float] = NO_SCORES
    rests_for: float | None = None
    parts: Mapping[int, float] = NO_PARTS


class Router:
    """Orders a model's deployments by its strategy, shares and health."""

    def __init__(self) -> None:
        self.health = Health()
        self._signals = Signals()
        self._credits: dict[str, dict[int, int]] = {}
        self._turns: dict[int, float] = {}  # saved by deployments that come back
        self._budgets: dict[str, RetryBudget] = {}

    def signals(self, model: ServedModel) -> Signals | None:
        """Where attempts tell what this model's strategy looks at, if it looks at any of it."""
        return self._signals if model.strategy in _WATCHING else None

    def order(
        self,
        model: ServedModel,
        tried: Collection[int] = (),
        allowed: Allowances = NO_ALLOWANCES,
        tags: Collection[str] = (),
        left_out: Mapping[int, Passed] = NO_ONE_PASSED,
    ) -> Order:
        """Whom to ask for this model, after those that were tried already and without those left out.

        `allowed`: what its deployments may take within a minute, for the strategy that looks at it; `tags` of
        the request.
        """
        now = time.monotonic()
        passed: dict[int, Passed] = dict(left_out) if left_out else {}
        if model.tagged:
            own = {id: target.tags for id, target in model.targets.items()}
            passed = dict.fromkeys(passed_over(own, tags), Passed.TAGS) | passed
        if tried:
            passed |= dict.fromkeys(tried, Passed.TRIED)
        left = [share.id for share in model.shares if share.id not in passed]
        resting = self.health.resting(left, now)
        if resting:
            passed |= dict.fromkeys(resting, Passed.RESTING)
            left = [id for id in left if id not in resting]
            if not left:
                return Order([], model.shares, passed, rests_for=min(resting.values()) - now)
        passed |= dict.fromkeys(self.health.ejected(left, now), Passed.EJECTED)
        shares = self._ramped(model.shares, now)
        credits = self._credits.get(model.name, {})
        if model.strategy is Strategy.WEIGHTED:
            return Order(routing.order(shares, credits, passed), shares, passed)
        scores = self._scores(model, shares, allowed, now)
        parts = NO_PARTS
        if shares is not model.shares and model.strategy is not Strategy.LEAST_BUSY:
            parts = self._parts(model.shares, passed, now)
            scores = routing.held_back(scores, parts, self._turns)
        return Order(routing.order(shares, credits, passed, scores), shares, passed, scores, parts=parts)

    def _parts(self, shares: Sequence[Share], passed: Collection[int], now: float) -> Mapping[int, float]:
        """Of each deployment that comes back, the part of the requests that it may have."""
        parts = {share.id: self.health.share(share.id, now) for share in shares if share.id not in passed}
        return {id: part for id, part in parts.items() if part < 1.0}

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

    def expect(self, model: ServedModel, order: Order) -> None:
        """Before anybody waits: the first of an order is taken to get the request, and others know."""
        first = order.ids[0]
        self._pay(model, order, first)
        for id, part in order.parts.items():
            self._turns[id] = min(1.0, self._turns.get(id, 0.0) + part)
        self._use_turn(order, first, 1.0)
        self.health.asked(first)

    def took(self, model: ServedModel, order: Order, slot: int | None) -> None:
        """After `expect`: who really got the request; None: nobody did."""
        first = order.ids[0]
        if slot == first:
            return
        self._pay(model, order, first, -1)
        self._use_turn(order, first, -1.0)
        self.health.undecided(first)
        if slot is not None:
            self._pay(model, order, slot)
            self._use_turn(order, slot, 1.0)

    def _use_turn(self, order: Order, id: int, turns: float) -> None:
        if id in order.parts:
            self._turns[id] = min(1.0, max(0.0, self._turns.get(id, 0.0) - turns))

    def _pay(self, model: ServedModel, order: Order, id: int, sign: int = 1) -> None:
        changes = routing.payment(order.shares, order.passed, id, order.scores)
        credits = self._credits.get(model.name, {})
        self._credits[model.name] = routing.settle_credits(order.shares, credits, changes, sign)

    def budget(self, model: ServedModel) -> RetryBudget:
        """How often requests for this model may be retried."""
        found = self._budgets.get(model.name)
        if found is None:
            found = self._budgets[model.name] = RetryBudget()
        return found

    def follow(self, snapshot: Snapshot) -> None:
        """Take over the numbers of a new configuration; what is known of those that are gone is dropped."""
        ejections, models = snapshot.ejections(), snapshot.models
        self.health.follow(ejections)
        self._signals.forget(ejections.keys())
        self._budgets = {name: budget for name, budget in self._budgets.items() if name in models}
        self._turns = {id: turns for id, turns in self._turns.items() if id in ejections}
        self._credits = {
            name: {id: credit for id, credit in credits.items() if id in ejections}
            for name, credits in self._credits.items()
            if name in models
        }
