"""Which deployment is asked, in which order, and what a failure means for the next one."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import inf
from types import MappingProxyType

from providers.prices import PER, PriceList, in_effect
from providers.signals import Load

# With so many tokens in, and as many out, prices are compared.
TYPICAL_TOKENS = 1000
NO_SCORES: Mapping[int, float] = MappingProxyType({})
# What a deployment is taken for that was asked and has not answered yet: one is tried, others wait for it.
_UNKNOWN_LATENCY = 10.0


class Strategy(StrEnum):
    """Whom of a tier to ask first; where several are as good, their weights decide."""

    WEIGHTED = "weighted"
    LEAST_BUSY = "least-busy"
    LATENCY = "latency"
    COST = "cost"
    USAGE = "usage"


# As operators choose from them.
STRATEGIES = {
    Strategy.WEIGHTED: "weighted: exact shares",
    Strategy.LEAST_BUSY: "least busy: fewest in flight for its weight",
    Strategy.LATENCY: "latency: soonest first token",
    Strategy.COST: "cost: cheapest price",
    Strategy.USAGE: "usage: most left of its limits per minute",
}


@dataclass(frozen=True, slots=True)
class Share:
    """What ordering needs of a deployment: its id, tier (lower first) and weight (0: standby)."""

    id: int
    priority: int
    weight: int


class Passed(StrEnum):
    """Why a deployment is not asked at this moment."""

    TAGS = "tags"
    TRIED = "tried"
    RESTING = "resting"
    EJECTED = "ejected"
    QUEUED_OUT = "queued_out"
    GONE = "gone"  # switched off or draining since the request came
    SURFACE = "surface"
    ELSEWHERE = "elsewhere"


NO_ONE_PASSED: Mapping[int, Passed] = MappingProxyType({})


def order(
    shares: Sequence[Share],
    credits: Mapping[int, int],
    passed_over: Collection[int],
    scores: Mapping[int, float] = NO_SCORES,
) -> list[int]:
    """Smooth weighted round robin: ids in the order to ask.

    Every usable deployment of a tier gains its weight; whoever then has most goes first. The one that
    is really asked pays (`payment`), so that shares stay exact when the first one is full.
    Tiers go by priority; standby (weight 0) comes last in its tier. `passed_over` is left out. In a tier
    the lower score goes first, and the round robin is among equals.
    """
    usable = [share for share in shares if share.id not in passed_over]
    saved = {share.id: credits.get(share.id, 0) + share.weight for share in usable}
    if scores:
        ranked = sorted(usable, key=lambda s: (s.priority, s.weight == 0, scores[s.id], -saved[s.id]))
    else:
        ranked = sorted(usable, key=lambda s: (s.priority, s.weight == 0, -saved[s.id]))
    return [share.id for share in ranked]


def payment(
    shares: Sequence[Share],
    passed_over: Collection[int],
    asked: int,
    scores: Mapping[int, float] = NO_SCORES,
) -> dict[int, int]:
    """How credits change when `asked` gets the request: it pays what its equals gain, and it gains too.

    Equals are of one tier and score.
    """
    tier = next(share.priority for share in shares if share.id == asked)
    score = scores.get(asked)
    changes = {
        share.id: share.weight
        for share in shares
        if share.priority == tier and share.id not in passed_over and scores.get(share.id) == score
    }
    changes[asked] -= sum(changes.values())
    return changes


def settle_credits(
    shares: Sequence[Share], credits: Mapping[int, int], changes: Mapping[int, int], sign: int = 1
) -> dict[int, int]:
    """The credits after these changes, or with -1 without them again. Debts and savings are bounded."""
    bound = 4 * sum(share.weight for share in shares)
    after = dict(credits)
    for id, change in changes.items():
        after[id] = max(-bound, min(bound, after.get(id, 0) + sign * change))
    return after


# --- strategies: scores, of which the lowest is asked first -------------------------------------


def by_load(shares: Sequence[Share], loads: Mapping[int, Load]) -> dict[int, float]:
    """Requests in flight, for its weight."""
    return {share.id: loads[share.id].in_flight / max(1, share.weight) for share in shares}


def by_latency(shares: Sequence[Share], loads: Mapping[int, Load]) -> dict[int, float]:
    """The time to a first token, times those who wait for one, with this request."""
    return {share.id: _expected_wait(loads[share.id]) for share in shares}


def _expected_wait(load: Load) -> float:
    if not load.latency and not load.waiting:
        return 0.0
    return (load.latency or _UNKNOWN_LATENCY) * (load.waiting + 1)


def by_cost(
    shares: Sequence[Share], prices: Mapping[int, Sequence[PriceList]], at_ms: int
) -> dict[int, float]:
    """What a typical request costs at this moment; whose price nobody knows is dearest."""
    return {share.id: _typical_cost(prices[share.id], at_ms) for share in shares}


def _typical_cost(prices: Sequence[PriceList], at_ms: int) -> float:
    price = in_effect(prices, at_ms)
    if price is None:
        return inf
    rates = price.rates_for(TYPICAL_TOKENS)
    return (rates.input + rates.output) * TYPICAL_TOKENS + price.per_request * PER


NO_PARTS: Mapping[int, float] = MappingProxyType({})


def held_back(
    scores: Mapping[int, float], parts: Mapping[int, float], turns: Mapping[int, float]
) -> Mapping[int, float]:
    """The scores, those that come back last in their tier unless it is their turn.

    Of those `parts` is the part of the requests that each may have, `turns` what it saved of one so far.
    """
    waiting = {id: inf for id, part in parts.items() if turns.get(id, 0.0) + part < _WHOLE_TURN}
    return {**scores, **waiting} if waiting else scores


_WHOLE_TURN = 1.0 - 1e-9  # ten tenths are one, in floats too


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a deployment may take within a minute; None: it has no such limit."""

    requests: int | None = None
    tokens: int | None = None


NO_ALLOWANCE = Allowance()
type Allowances = Mapping[int, Allowance]
NO_ALLOWANCES: Allowances = MappingProxyType({})


def by_use(shares: Sequence[Share], allowed: Allowances, loads: Mapping[int, Load]) -> dict[int, float]:
    """The part of its limits that it used in the last minute, of the limit that is used most."""
    return {share.id: _used_part(allowed.get(share.id, NO_ALLOWANCE), loads[share.id]) for share in shares}


def _used_part(allowance: Allowance, load: Load) -> float:
    pairs = ((load.requests, allowance.requests), (load.tokens, allowance.tokens))
    return max(used / limit if limit else 1.0 for used, limit in (*pairs, (0, 1)) if limit is not None)
