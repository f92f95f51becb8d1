"""What the holder of a key may know of it: its limits, how full they are, and what it spent."""

import datetime
from functools import partial
from typing import Any

import msgspec
from django.db import DatabaseError
from django.http import HttpResponseBase

from gateway.counted import Counted
from gateway.errors import ApiError
from gateway.levels import levels
from gateway.messages import json_reply
from gateway.relay import authenticate
from gateway.runtime import Gateway
from gateway.views.base import ApiRequest, GatewayView, ReplyResponse
from keys import limits
from keys.entries import Entry
from providers.state import StateUnavailable
from usage import spent

DAYS, MOST_DAYS = 30, 366


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
    return await levels(gateway, [*caller.rules, *own], end_user)


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
