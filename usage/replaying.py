"""Requests as they were made, through a configuration that is only a draft: who would have got them.

What was known when they were made is taken as it was: which deployments were ejected, at rest or full, how
long answers took, what they used. Limits of keys and places are not counted anew.
"""

from collections import Counter, OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from math import inf
from types import MappingProxyType

from providers import patterns, routing
from providers.decisions import Decision, Fate
from providers.prices import PriceList, timeline
from providers.routing import NO_SCORES, Allowance, Passed, Share, Strategy
from providers.signals import Signals
from providers.tags import NONE, passed_over
from usage.pricing import Used, rated

NOBODY = ""  # in place of a deployment's name
MOST_MISSING = 1000
# Requests that may make another attempt; one that makes its next one later counts as another request.
_MOST_OPEN = 10_000
_MOST_PRICED = 10_000
_UNSENT = frozenset({"refused", "cached"})
_OUT = frozenset({Passed.RESTING, Passed.EJECTED, Passed.QUEUED_OUT, Fate.PLACES, Fate.LIMIT, Fate.FULL})
# Refusals of which the reason is where a request could go; all others are limits.
_UNROUTED = frozenset(
    {"deployments_full", "queue_full", "provider_rate_limited", "no_deployment", "no_deployment_for_tags"}
)

type General = Mapping[tuple[str, str], Sequence[PriceList]]


# --- the draft ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DraftTarget:
    """A deployment of the draft: what routing and rating need of it. `own`: the price it has for itself."""

    name: str
    kind: str
    upstream_model: str
    share: Share
    tags: frozenset[str] = NONE
    own: tuple[PriceList, ...] = ()
    allowance: Allowance | None = None


@dataclass(frozen=True, slots=True)
class DraftModel:
    """A model of the draft with its deployments that are switched on."""

    name: str
    strategy: Strategy
    targets: Mapping[int, DraftTarget]
    shares: tuple[Share, ...] = ()


@dataclass(frozen=True, slots=True)
class Draft:
    """`models` by their names, patterns among them; `aliases` by every other name."""

    models: Mapping[str, DraftModel]
    aliases: Mapping[str, str] = MappingProxyType({})
    general: General = MappingProxyType({})

    def find(self, name: str) -> tuple[DraftModel, tuple[str, ...]] | None:
        """The model of this name, and what its stars stand for."""
        if (model := self.models.get(self.aliases.get(name, name))) is not None:
            return model, ()
        found = patterns.best((each for each in self.models if patterns.is_pattern(each)), name)
        return None if found is None else (self.models[found[0]], found[1])

    def prices(self, target: DraftTarget, upstream: str) -> tuple[PriceList, ...]:
        """Those of a deployment for this one of its provider's models."""
        return timeline(target.own, self.general.get((target.kind, upstream), ()))


# --- what was recorded --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Recorded:
    """One row of the ledger as far as it is replayed; times in Unix milliseconds."""

    at_ms: int
    request_id: str
    key_id: str
    model: str
    deployment: str
    number: int
    status: str
    http_status: int | None
    error_class: str
    used: Used
    cost_nano: int
    ttft_ms: int | None
    latency_ms: int | None
    decision: Decision | None
    endpoint: str = ""

    @property
    def asked(self) -> str:
        """The name to look for in the draft."""
        if self.decision is None or self.decision.instead_of:
            return self.model
        return self.decision.asked or self.model


@dataclass(slots=True)
class Line:
    """Requests and cost of one deployment, as it was and as it would be."""

    requests_before: int = 0
    requests_after: int = 0
    cost_before: int = 0
    cost_after: int = 0


@dataclass(slots=True)
class Outcome:
    """`lines` by deployment, those of requests that nobody got under `NOBODY`.

    `requests` is how many there were: the sum of either column with `missing`, those of models that the draft
    does not have. `limited`: refused by limits, which are left out. `unpriced`: attempts that would have no
    price. `undecided`: rows of a version that kept no decision, whose tags and aliases nobody knows.
    """

    lines: dict[str, Line] = field(default_factory=dict)
    missing: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    limited: int = 0
    undecided: int = 0
    unpriced: int = 0
    first_ms: int | None = None
    last_ms: int | None = None

    def line(self, deployment: str) -> Line:
        found = self.lines.get(deployment)
        if found is None:
            found = self.lines[deployment] = Line()
        return found


@dataclass(frozen=True, slots=True)
class _Choice:
    """Whom the draft sends a request to; `target` None: nobody. `missing`: it has no such model."""

    target: DraftTarget | None = None
    prices: tuple[PriceList, ...] = ()
    missing: str = ""

    @property
    def name(self) -> str:
        return self.target.name if self.target else NOBODY


class Replay:
    """Takes rows in the order of their ids; memory does not grow with them."""

    def __init__(self, draft: Draft) -> None:
        self.outcome = Outcome()
        self._draft = draft
        self._credits: dict[str, dict[int, int]] = {}
        self._signals = Signals()
        self._open: OrderedDict[tuple[str, str], tuple[str, _Choice]] = OrderedDict()
        self._coming: list[tuple[float, int, int, float, int]] = []
        self._told: dict[str, tuple[float, float]] = {}
        self._count = 0
        self._priced: dict[tuple[int, str], tuple[PriceList, ...]] = {}

    def add_all(self, rows: Iterable[Recorded]) -> None:
        for row in rows:
            self.add(row)

    def add(self, row: Recorded) -> None:
        if row.status in _UNSENT and row.error_class not in _UNROUTED:
            self.outcome.limited += row.status == "refused"
            return
        outcome = self.outcome
        outcome.first_ms = row.at_ms if outcome.first_ms is None else outcome.first_ms
        outcome.last_ms = row.at_ms
        outcome.undecided += row.decision is None
        choice = self._again(row) if row.number > 1 or self._fell_back(row) else None
        if choice is None:
            choice = self._routed(row)
            outcome.requests += 1
            outcome.line(row.deployment).requests_before += 1
            self._place(choice, 1)
        self._account(row, choice)
        if row.status in ("failed", "refused"):
            self._keep_open(row, choice)

    # --- one request has several rows ----------------------------------------------------------

    def _fell_back(self, row: Recorded) -> bool:
        return row.decision is not None and bool(row.decision.instead_of)

    def _again(self, row: Recorded) -> _Choice | None:
        """A further attempt of a request: it is counted where it was answered in the end."""
        known = self._open.pop((row.key_id, row.request_id), None)
        if known is None:
            return None
        before, choice = known
        self.outcome.line(before).requests_before -= 1
        self.outcome.line(row.deployment).requests_before += 1
        if self._fell_back(row):  # what the first model failed with it would have failed with again
            self._place(choice, -1)
            choice = self._routed(row)
            self._place(choice, 1)
        return choice

    def _keep_open(self, row: Recorded, choice: _Choice) -> None:
        self._open[row.key_id, row.request_id] = row.deployment, choice
        if len(self._open) > _MOST_OPEN:
            self._open.popitem(last=False)

    def _place(self, choice: _Choice, count: int) -> None:
        if choice.missing:
            name = choice.missing
            if name not in self.outcome.missing and len(self.outcome.missing) >= MOST_MISSING:
                name = "(others)"
            self.outcome.missing[name] += count
        else:
            self.outcome.line(choice.name).requests_after += count

    def _account(self, row: Recorded, choice: _Choice) -> None:
        self.outcome.line(row.deployment).cost_before += row.cost_nano
        if choice.target is None or row.status in _UNSENT:
            return
        rating = rated(
            choice.prices, row.at_ms, row.used,
            status=row.status, http_status=row.http_status, error_class=row.error_class,
            endpoint=row.endpoint,
        )  # fmt: skip
        self.outcome.line(choice.name).cost_after += rating.cost_nano
        self.outcome.unpriced += not rating.priced

    # --- whom the draft asks -------------------------------------------------------------------

    def _routed(self, row: Recorded) -> _Choice:
        found = self._draft.find(row.asked)
        if found is None:
            return _Choice(missing=row.asked)
        model, stars = found
        now = row.at_ms / 1000
        if model.strategy in (Strategy.LATENCY, Strategy.LEAST_BUSY, Strategy.USAGE):
            self._pass_to(now)
        passed = self._passed(model, row.decision)
        credits = self._credits.get(model.name, {})
        scores = self._scores(model, stars, row.at_ms)
        ids = routing.order(model.shares, credits, passed, scores)
        if not ids:
            return _Choice()
        first = ids[0]
        changes = routing.payment(model.shares, passed, first, scores)
        self._credits[model.name] = routing.settle_credits(model.shares, credits, changes)
        target = model.targets[first]
        if model.strategy in (Strategy.LATENCY, Strategy.LEAST_BUSY, Strategy.USAGE):
            self._send(first, target, row, now)
        return _Choice(target, self._prices(target, stars))

    def _passed(self, model: DraftModel, decision: Decision | None) -> Collection[int]:
        """Those whose tags do not fit, and those that took nothing then, unless that leaves nobody."""
        tags = decision.tags if decision is not None else ()
        by_tags = passed_over({id: target.tags for id, target in model.targets.items()}, tags)
        if decision is None:
            return by_tags
        names = {each.name for each in decision.candidates if each.fate in _OUT}
        if not names:
            return by_tags
        out = by_tags | {id for id, target in model.targets.items() if target.name in names}
        return out if len(out) < len(model.targets) else by_tags

    def _scores(self, model: DraftModel, stars: tuple[str, ...], at_ms: int) -> Mapping[int, float]:
        shares, now = model.shares, at_ms / 1000
        if model.strategy is Strategy.WEIGHTED:
            return NO_SCORES
        if model.strategy is Strategy.COST:
            prices = {id: self._prices(target, stars) for id, target in model.targets.items()}
            return routing.by_cost(shares, prices, at_ms)
        loads = {share.id: self._signals.load(share.id, now) for share in shares}
        match model.strategy:
            case Strategy.LEAST_BUSY:
                return routing.by_load(shares, loads)
            case Strategy.LATENCY:
                return routing.by_latency(shares, loads)
        allowed = {id: target.allowance for id, target in model.targets.items() if target.allowance}
        return routing.by_use(shares, allowed, loads)

    def _prices(self, target: DraftTarget, stars: tuple[str, ...]) -> tuple[PriceList, ...]:
        upstream = target.upstream_model
        if stars and patterns.is_pattern(upstream):
            upstream = patterns.filled(upstream, stars)
        found = self._priced.get((target.share.id, upstream))
        if found is None:
            if len(self._priced) >= _MOST_PRICED:
                self._priced.clear()
            found = self._priced[target.share.id, upstream] = self._draft.prices(target, upstream)
        return found

    # --- what strategies look at ---------------------------------------------------------------

    def _send(self, id: int, target: DraftTarget, row: Recorded, now: float) -> None:
        """Let it be in flight there, as long as that deployment took when it answered last."""
        took = (row.latency_ms or 0) / 1000
        first = took if row.ttft_ms is None else row.ttft_ms / 1000
        if row.status == "ok":
            self._told[row.deployment] = first, took
        if target.name != row.deployment:
            first, took = self._told.get(target.name, (first, took))
        self._signals.asked(id, now)
        self._count += 1  # so that equals come in the order in which they were sent
        heappush(self._coming, (now + first, self._count, id, first, -1))
        tokens = row.used.prompt + row.used.completion
        heappush(self._coming, (now + max(first, took), self._count, id, inf, tokens))

    def _pass_to(self, now: float) -> None:
        while self._coming and self._coming[0][0] <= now:
            at, _, id, first, tokens = heappop(self._coming)
            if tokens < 0:
                self._signals.first_token(id, first, at)
            else:
                self._signals.ended(id, at, waiting=False, tokens=tokens)


def with_shares(model: DraftModel) -> DraftModel:
    """With the shares of its deployments."""
    return replace(model, shares=tuple(target.share for target in model.targets.values()))
