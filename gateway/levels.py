"""How full limits are, told without reserving anything."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from gateway import estimates
from gateway.counted import counted
from gateway.runtime import Gateway
from keys import limits
from keys.limits import Rule
from providers.state import Demand, StateUnavailable
from providers.state.memory import now_ms

_NOTHING = estimates.need(estimates.Estimate(prompt=0, cap=1, choices=1, most_output=None))


async def levels(gateway: Gateway, rules: Sequence[Rule], end_user: str | None) -> list[dict[str, Any]]:
    """Each rule with what is used and left, None where nobody can say; costs are dollars as text.

    Rules for each end user are counted for `end_user`; without one they come last, and uncounted.
    """
    asked = [rule for rule in rules if not rule.each or end_user is not None]
    now, name = now_ms(), end_user or ""
    demands = [limits.demand_of(rule, _NOTHING, name, now) for rule in asked]
    wanted = [counted(rule, demand, name) for rule, demand in zip(asked, demands, strict=True)]
    seed = partial(gateway.seeding.seeds, wanted, closed=True)
    used: list[int | None]
    try:
        used = list(await gateway.state.peek(demands, seed))
    except StateUnavailable:
        used = [None] * len(asked)
    told = [
        _told(rule, demand, amount, now) for rule, demand, amount in zip(asked, demands, used, strict=True)
    ]
    return told + [_told(rule, rule.demand, None, now) for rule in rules if rule not in asked]


def _told(rule: Rule, demand: Demand, used: int | None, now: int) -> dict[str, Any]:
    resets_at = None
    if used:
        resets_at = demand.ends or (now + demand.window if demand.window else 0)
    return {
        "of": rule.owner,
        "model": rule.model,
        "metric": rule.metric,
        "window": rule.window or None,
        "mode": "shadow" if rule.shadow else "enforce",
        "limit": _amount(rule, rule.amount),
        "used": None if used is None else _amount(rule, used),
        "remaining": None if used is None else _amount(rule, max(0, rule.amount - used)),
        "resets_at": _iso(resets_at) if resets_at else None,
    }


def _amount(rule: Rule, amount: int) -> int | str:
    return limits.amount_text("cost", amount) if rule.metric == "cost" else amount


def _iso(milliseconds: int) -> str:
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
