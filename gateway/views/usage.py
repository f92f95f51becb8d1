"""What the holder of a key may know of it: its limits, how full they are, and what it spent."""

import datetime
from functools import partial
from typing import Any

import msgspec
from django.db import DatabaseError
from django.http import HttpResponseBase

from gateway import estimates
from gateway.errors import ApiError
from gateway.messages import json_reply
from gateway.relay import authenticate
from gateway.runtime import Gateway
from gateway.seeding import Counted, counted
from gateway.views.base import ApiRequest, GatewayView, ReplyResponse
from keys import limits
from keys.entries import Entry
from keys.limits import Rule
from providers.state import Demand, StateUnavailable
from providers.state.memory import now_ms
from usage import spent

DAYS, MOST_DAYS = 30, 366
_NOTHING = estimates.need(estimates.Estimate(prompt=0, cap=1, choices=1, most_output=None))


class UsageView(GatewayView):
    """`GET /v1/usage[?days=30][&end_user=NAME]`: amounts of cost are US dollars as text."""

    async def get(self, request: ApiRequest) -> HttpResponseBase:
        caller = await authenticate(request.gateway, request.inbound)
        days = _days(request.GET.get("days", str(DAYS)))
        told = {
            "object": "usage",
            "key": {"id": caller.public_id, "name": caller.name, "team": caller.team or None},
            "limits": await _limits(request.gateway, caller, request.GET.get("end_user")),
            "spend": await _spend(request.gateway, caller, days),
        }
        return ReplyResponse(json_reply(200, msgspec.json.encode(told), request.request_id))


def _days(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > 3 or not 1 <= int(text) <= MOST_DAYS:
        raise ApiError(
            400, f"'days' is a number from 1 to {MOST_DAYS}.", code="invalid_request", param="days"
        )
    return int(text)


async def _limits(gateway: Gateway, caller: Entry, named: str | None) -> list[dict[str, Any]]:
    """Limits for each end user are told of the one that the request names, if the key ever named them."""
    end_user = named if named is None or await _is_named_by(gateway, caller, named) else None
    own = gateway.keys.standing.end_users.get(end_user, ()) if end_user else ()
    rules = [*caller.rules, *own]
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
    unasked = [rule for rule in rules if rule not in asked]
    return told + [_told(rule, rule.demand, None, now) for rule in unasked]


async def _is_named_by(gateway: Gateway, caller: Entry, end_user: str) -> bool:
    """Whether requests of the key were for them: of a name that it never used nothing is told."""
    if not end_user:
        return True
    demand = limits.end_users_demand(caller.public_id, caller.max_end_users, end_user)
    names = Counted(demand, limits.Scope(), caller.public_id)
    try:
        [known] = await gateway.state.peek([demand], partial(gateway.seeding.seeds, [names], closed=True))
    except StateUnavailable:
        return False
    return bool(known)


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
    moment = datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.UTC)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


async def _spend(gateway: Gateway, caller: Entry, days: int) -> dict[str, Any]:
    since = datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=days - 1)
    try:
        rows = await gateway.seeding.run(partial(spent.by_model_and_day, caller.public_id, since))
    except (DatabaseError, TimeoutError):
        message = "What was spent cannot be read now because the database is away. Try again soon."
        raise ApiError(503, message, code="database_unavailable", headers={"retry-after": "5"}) from None
    days_told = [
        {
            "date": row.day.isoformat(),
            "model": row.model,
            "requests": row.requests,
            "tokens": row.tokens,
            "cost": limits.amount_text("cost", row.cost_nano),
        }
        for row in rows
    ]
    total = sum(row.cost_nano for row in rows)
    return {"since": since.isoformat(), "cost": limits.amount_text("cost", total), "days": days_told}
