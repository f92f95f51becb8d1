"""What would become of a request that nobody has made: told from the live state, and changing none of it."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
from django.db import DatabaseError

from gateway.control_client import ControlError
from gateway.errors import ApiError
from gateway.levels import levels
from gateway.runtime import Gateway
from keys import limits
from keys.directory import entries_named
from keys.entries import Entry
from providers import decisions, explaining, tags
from providers.decisions import Circumstances, Decision, Fate
from providers.fallbacks import On
from providers.router import Order
from providers.snapshot import ServedModel
from usage.explained import decision_data

_MOST_TAG_TEXT = 10_000


@dataclass(frozen=True, slots=True)
class Question:
    """A request as it would be made: names of a model and of a key (or its public id), the client's tags."""

    model: str
    key: str
    tags: tuple[str, ...] = ()
    stream: bool = False


def question_of(told: Mapping[str, Any]) -> Question:
    """Read `{"model", "key", "tags", "stream"}`. Raises `ApiError` 400."""
    for name in ("model", "key"):
        if not isinstance(told.get(name), str) or not told[name]:
            raise _bad(f"'{name}' is a name, as text.", name)
    given = told.get("tags", [])
    if isinstance(given, str):
        given = given.split(",")
    if not isinstance(given, list) or not all(isinstance(tag, str) for tag in given):
        raise _bad("'tags' is a list of names.", "tags")
    if sum(map(len, given)) > _MOST_TAG_TEXT:
        raise _bad("'tags' is too long.", "tags")
    if not isinstance(told.get("stream", False), bool):
        raise _bad("'stream' is true or false.", "stream")
    return Question(told["model"], told["key"], tuple(given), told.get("stream", False))


def _bad(message: str, param: str) -> ApiError:
    return ApiError(400, message, code="invalid_request", param=param)


async def foresee(gateway: Gateway, question: Question) -> dict[str, Any]:
    """Who would be asked in which order and why, which limits hold, and who is asked when none answers.

    `verdict`: served, full, refused, resting, no_deployment or not_allowed. Raises `ApiError`: 404 for a key
    or model that nobody has, 409 for a name that several keys have, 503 while the database is away.
    """
    key = await _key(gateway, question.key)
    snapshot = gateway.snapshot
    model = snapshot.find(question.model)
    if model is None:
        message = f"There is no model '{question.model[:200]}'."
        raise ApiError(404, message, code="model_not_found", param="model")
    given = tags.clean(question.tags) | key.tags
    order = gateway.order(model, tags=given if model.tagged else tags.NONE)
    rules = limits.holding(key.rules, model.name)
    own = await levels(gateway, rules, None)
    decision = await _decision(gateway, model, order, question, given)
    verdict, note = _verdict(key, model, order, decision, own)
    decision = msgspec.structs.replace(decision, note=note)
    lines = [note] if verdict == "not_allowed" else map(str, explaining.choice(decision, ahead=True))
    return {
        "verdict": verdict,
        "model": model.name,
        "key": {"id": key.public_id, "name": key.name},
        "configuration": snapshot.version,
        "why": list(lines),
        "decision": decision_data(decision),
        "timeout": _timeout(model, decision, question),
        "limits": own,
        "instead": [_instead(model, on, key) for on in On if model.instead.get(on)],
    }


async def _key(gateway: Gateway, name: str) -> Entry:
    try:
        found = await gateway.seeding.run(partial(entries_named, name))
    except (DatabaseError, TimeoutError):
        message = "The key cannot be looked up now because the database is away. Try again soon."
        raise ApiError(503, message, code="database_unavailable", headers={"retry-after": "5"}) from None
    exact = [entry for entry in found if entry.public_id == name] or found
    if not exact:
        raise ApiError(404, f"There is no key '{name[:120]}'.", code="key_not_found", param="key")
    if len(exact) > 1:
        ids = ", ".join(entry.public_id for entry in exact)
        message = f"Several keys are named '{name[:120]}'; say which by its id: {ids}."
        raise ApiError(409, message, code="key_ambiguous", param="key")
    return exact[0]


async def _decision(
    gateway: Gateway, model: ServedModel, order: Order, question: Question, given: frozenset[str]
) -> Decision:
    """With the first one that has room as the chosen one."""
    blocked = await _blocked(gateway, model, order.ids)
    taken = next((id for id in order.ids if id not in blocked), None)
    asked = "" if question.model == model.name else question.model
    text = decisions.record(
        model.strategy.value,
        order,
        model.targets,
        taken,
        circumstances=Circumstances(asked, given),
        blocked=lambda id: blocked.get(id, Fate.NEXT),
        ramped=order.shares is not model.shares,
    )
    decision = decisions.decoded(text)
    assert decision is not None, "it was just made"
    return decision


async def _blocked(gateway: Gateway, model: ServedModel, ids: Sequence[int]) -> dict[int, Fate]:
    """Those of them that have no place free on this server, or a limit of their own that is used up."""
    try:
        told = await gateway.control.of_all({"op": "in_flight"})
    except ControlError:
        told = {"in_flight": {}}
    found: dict[int, Fate] = {}
    for id in ids:
        slots = model.targets[id].slots
        if slots is not None and told["in_flight"].get(str(id), 0) >= slots:
            found[id] = Fate.PLACES
            continue
        rules = gateway.keys.standing.deployments.get(id, ())
        if rules and any(_is_used_up(each) for each in await levels(gateway, rules, None)):
            found[id] = Fate.LIMIT
    return found


def _is_used_up(level: Mapping[str, Any]) -> bool:
    return level["mode"] == "enforce" and level["remaining"] in (0, "0")


def _verdict(
    key: Entry, model: ServedModel, order: Order, decision: Decision, own: Sequence[Mapping[str, Any]]
) -> tuple[str, str]:
    """What would become of the request, and what is to be said of it beside the order of deployments."""
    if not key.enabled:
        return "not_allowed", f"The key {key.name} is disabled: it is refused with 401."
    if key.expires_at is not None and key.expires_at <= time.time():
        return "not_allowed", f"The key {key.name} has expired: it is refused with 401."
    if not key.may_use(model.name):
        return "not_allowed", (
            f"The key {key.name} may not use {model.name}: it is told that there is no such model (404)."
        )
    if order.rests_for is not None:
        return (
            "resting",
            f"Refused with 429: every provider asked for a pause, {order.rests_for:.0f} s are left.",
        )
    if not order.ids:
        return "no_deployment", "Refused: no deployment is left that could be asked."
    if full := next((level for level in own if _is_used_up(level)), None):
        return "refused", f"Refused with 429: {limit_text(full)}."
    if decision.chosen is None:
        waits = max(model.targets[id].queue_seconds for id in order.ids) if model.max_queue else 0.0
        return "full", (
            f"It waits up to {waits:g} s for a place."
            if waits
            else "Refused with 429: none of them has room."
        )
    return "served", ""


def _timeout(model: ServedModel, decision: Decision, question: Question) -> float | None:
    """Seconds that the first one has: for a whole answer, or of a stream for its first event."""
    chosen = decision.chosen
    target = next((t for t in model.targets.values() if chosen and t.name == chosen.name), None)
    if target is None:
        return None
    return min(model.deadline, target.first_event_timeout if question.stream else target.timeout)


def _instead(model: ServedModel, on: On, key: Entry) -> dict[str, Any]:
    names = model.instead[on]
    return {
        "on": on.value,
        "models": [name for name in names if key.may_use(name)],
        "not_allowed": [name for name in names if not key.may_use(name)],
    }


# --- in words -----------------------------------------------------------------------------------


def limit_text(level: Mapping[str, Any]) -> str:
    """`requests per minute of key 'alice': 3 of 10 used, 7 left`."""
    window = level["window"]
    per = "" if not window else " in total" if window == "total" else f" per {window}"
    model = f" on {level['model']}" if level["model"] else ""
    used = "not known now" if level["used"] is None else f"{level['used']} of {level['limit']} used"
    left = "" if level["remaining"] is None else f", {level['remaining']} left"
    shadow = " (shadow: it only counts)" if level["mode"] == "shadow" else ""
    return f"{level['metric']}{per} of {level['of']}{model}: {used}{left}{shadow}"


def text(told: Mapping[str, Any], *, stream: bool) -> str:
    """What `foresee` found, for people."""
    key = told["key"]
    lines = [f"{told['model']} for key {key['name']} ({key['id']}): {_VERDICTS[told['verdict']]}"]
    lines += [f"  {line}" for line in told["why"]]
    if told["verdict"] != "not_allowed":
        if told["timeout"] is not None:
            what = "the first event of its stream" if stream else "its answer"
            lines.append(f"  It has {told['timeout']:g} s for {what}.")
        lines += [f"  Limit: {limit_text(level)}." for level in told["limits"]] or [
            "  No limit of the key, its team or everyone holds for it."
        ]
        for each in told["instead"]:
            lines += _instead_lines(each)
    return "\n".join(lines)


def _instead_lines(each: Mapping[str, Any]) -> list[str]:
    when = _WHEN[each["on"]]
    lines = [f"  {when}, these are asked instead: {', '.join(each['models'])}."] if each["models"] else []
    if each["not_allowed"]:
        lines.append(f"  {when}, the key may not use {', '.join(each['not_allowed'])}.")
    return lines


_WHEN = {
    "any": "When none of them answers",
    "context_window": "When the prompt is too long",
    "content_policy": "When the content is refused",
}
_VERDICTS = {
    "served": "it would be sent",
    "full": "no deployment has room",
    "refused": "it would be refused",
    "resting": "it would be refused",
    "no_deployment": "it would be refused",
    "not_allowed": "it would be refused",
}
