"""Who may send a request now, and to whom: limits are reserved and a place is taken, or it is refused."""

import time
from collections.abc import Sequence
from dataclasses import replace
from math import inf

from gateway.asking import Asking
from gateway.attempts import Outcome, Subject, settled
from gateway.deciding import Case
from gateway.dispatch import Dispatch
from gateway.end_users import end_user_of
from gateway.errors import ApiError, not_served
from gateway.lines import LineFull
from gateway.request import Instead, Request
from keys import limits
from providers.router import Order
from providers.routing import Passed
from providers.snapshot import ServedModel
from providers.state import Full, Refusal, StateUnavailable, Ticket
from usage.ids import uuid7

# What one request uses more of than another.
_SIZES = frozenset({"tokens", "cost"})

type _Verdict = tuple[Ticket | Refusal | Full, Order]


class Unserved(ApiError):
    """None of a model's deployments takes the request now: another model may be asked instead."""


async def admit(request: Request, model: ServedModel, came_from: Instead | None = None) -> Dispatch:
    """Reserve against every limit and take a place, perhaps after waiting for one; or nothing is consumed.

    Raises `ApiError`, of which `Unserved` is one.
    """
    gateway, caller = request.gateway, request.caller
    subject = _subject(request, model)
    asking = Asking(gateway, caller, request.standing, request.call, model, subject)
    case = Case(request, model, asking, came_from)
    waited = 0.0
    verdict: Ticket | Refusal | Full = Full()
    if not gateway.lines.busy(model.name, request.line_tags(model)):
        verdict, order = await _try(case)
    else:
        order = _order(case, 0.0)
    if isinstance(verdict, Full):
        began = time.monotonic()
        verdict, order = await _wait(case, verdict, order)
        waited = time.monotonic() - began
    match verdict:
        case Refusal():
            raise _refused(case, order, verdict)
        case Full():
            raise _full(case, order, verdict, waited)
    gateway.router.budget(model).asked(time.monotonic())
    asking.note_shadows(verdict)
    return Dispatch(case, subject, verdict, order, waited)


async def _try(case: Case, waited: float = 0.0) -> _Verdict:
    """Once, and what is decided rests on. Raises `ApiError`."""
    gateway, model = case.request.gateway, case.model
    order = _order(case, waited)
    if not order.ids:
        return Full(), order
    gateway.router.expect(model, order)
    slot = None
    try:
        verdict = await gateway.state.admit(case.asking.ask(order.ids))
        slot = verdict.slot if isinstance(verdict, Ticket) else None
    except StateUnavailable:
        message = "Limits cannot be counted now, and this key is not served without. Try again soon."
        raise ApiError(503, message, code="limits_unavailable", headers=limits.waiting(1000)) from None
    finally:
        gateway.router.took(model, order, slot)
    return verdict, order


def _order(case: Case, waited: float) -> Order:
    """Whom to ask, without those for which it has `waited` long enough. Raises `ApiError`: nobody."""
    request, model = case.request, case.model
    order = request.gateway.order(model, tags=request.tags(model), left_out=request.left_out(model))
    if order.rests_for is not None:
        raise _resting(case, order, order.rests_for)
    if not order.ids:
        raise _nobody(case, order)
    if not waited:
        return order
    gone = [id for id in order.ids if model.targets[id].queue_seconds < waited]
    if not gone:
        return order
    passed = {**order.passed, **dict.fromkeys(gone, Passed.QUEUED_OUT)}
    return replace(order, ids=[id for id in order.ids if id not in passed], passed=passed)


async def _wait(case: Case, full: Full, order: Order) -> _Verdict:
    """In line until a place is free, as long as the deployments allow. Raises `ApiError`."""
    request, model = case.request, case.model
    seconds = _longest_wait(model, order.ids, full, request.seconds_left())
    if not seconds or not model.max_queue:
        return full, order
    began = time.monotonic()
    until = began + seconds
    try:
        with request.gateway.lines.place(model.name, request.line_tags(model), model.max_queue) as place:
            while await place.turn(until - time.monotonic()):
                waited = time.monotonic() - began
                verdict, order = await _try(case, waited)
                if not isinstance(verdict, Full):
                    return verdict, order
                full = verdict
                if _wants_more_than_others(case, order):
                    place.let_past()
    except LineFull:
        message = (
            f"Every deployment of '{model.name}' is full, and so is its queue of {model.max_queue} requests."
        )
        _record_refusal(case, "queue_full", case.refusal(order, message))
        raise Unserved(429, message, code="queue_full", headers=limits.waiting(1000)) from None
    return full, order


def _wants_more_than_others(case: Case, order: Order) -> bool:
    """Whether one that came later may be served where this one is not.

    That one needs fewer tokens of a deployment's limit, or a deployment for which this one waited too long.
    """
    if Passed.QUEUED_OUT in order.passed.values():
        return True
    limits_of = case.request.gateway.keys.standing.deployments
    rules = [rule for id in order.ids for rule in limits_of.get(id, ())]
    return any(rule.metric in _SIZES and not rule.shadow for rule in rules)


def _longest_wait(model: ServedModel, ids: Sequence[int], full: Full, seconds_left: float) -> float:
    """0: waiting is of no use, for what is full are limits that last longer, or for ever."""
    longest = min(seconds_left, max((model.targets[id].queue_seconds for id in ids), default=0.0))
    resets_in = inf if full.resets_at is None else full.resets_at / 1000 - time.time()
    return max(0.0, longest) if full.frees or resets_in <= longest else 0.0


def _subject(request: Request, model: ServedModel) -> Subject:
    gateway, caller, call, inbound = request.gateway, request.caller, request.call, request.inbound
    end_user = end_user_of(
        inbound.headers, call.end_user, caller.end_user_header, gateway.jwt_secret, time.time()
    )
    return Subject(
        request_id=request.id,
        key=caller.name,
        key_id=caller.public_id,
        team=caller.team,
        end_user=end_user,
        model=model.name,
        endpoint=request.surface.name,
        stream=call.stream,
        prompt_tokens=gateway.calibration.estimate(model.name, call.prompt),
        config_version=request.snapshot.version,
        task=inbound.task(),
        chat_id=inbound.chat_id(),
        beside=call.beside,
    )


def _record_refusal(case: Case, error_class: str, decision: str) -> None:
    outcome = Outcome("refused", error_class=error_class)
    row = settled(case.asking.subject, outcome, attempt_id=uuid7(), decision=decision)
    case.request.gateway.books.settled(row)


def _refused(case: Case, order: Order, refusal: Refusal) -> ApiError:
    asking = case.asking
    rule = asking.rule_of(refusal.demand)
    if rule is None:
        most, name = refusal.demand.limit, asking.subject.end_user[:80]
        message = (
            f"Limit reached: this key may name {most} end users, and '{name}' is new. "
            "Its operator can let it name more."
        )
        _record_refusal(case, "limit_end_users", case.refusal(order, message, tried=False))
        return ApiError(429, message, code="end_user_limit_exceeded", headers={"x-should-retry": "false"})
    message = limits.explain(rule, refusal)
    _record_refusal(case, f"limit_{rule.metric}", case.refusal(order, message, tried=False))
    code = "insufficient_quota" if limits.is_budget(rule) else "rate_limit_exceeded"
    return ApiError(429, message, code=code, headers=limits.refusal_headers(rule, refusal))


def _resting(case: Case, order: Order, seconds: float) -> Unserved:
    """Every provider said when to come back: until then nothing is sent to them."""
    wait = max(1, int(seconds * 1000))
    message = f"Every provider of '{case.model.name}' asked for a pause; try again in {-(-wait // 1000)} s."
    _record_refusal(case, "provider_rate_limited", case.refusal(order, message))
    return Unserved(429, message, code="provider_rate_limited", headers=limits.waiting(wait))


def _nobody(case: Case, order: Order) -> ApiError:
    tags = case.request.tags(case.model)
    if tags and Passed.TAGS in order.passed.values():
        named = ", ".join(sorted(tags))[:200]
        message = f"No deployment of '{case.model.name}' has one of the request's tags: {named}."
        _record_refusal(case, "no_deployment_for_tags", case.refusal(order, message))
        return ApiError(400, message, code="no_deployment_for_tags")
    passed = set(order.passed.values())
    if Passed.SURFACE in passed and passed <= {Passed.SURFACE, Passed.TAGS}:
        told = not_served(case.model.name, case.request.surface.name)
        _record_refusal(case, "unsupported_endpoint", case.refusal(order, str(told)))
        return told
    if Passed.ELSEWHERE in passed:
        message = "What this request refers to is at a provider that is not there for this model now."
        _record_refusal(case, "elsewhere", case.refusal(order, message))
        return ApiError(503, message, code="provider_unavailable")
    message = f"The model '{case.model.name}' has no deployment that is configured and switched on."
    _record_refusal(case, "no_deployment", case.refusal(order, message))
    return Unserved(503, message, code="no_deployment")


def _full(case: Case, order: Order, full: Full, waited: float) -> Unserved:
    name = case.model.name
    if full.resets_at is None:
        message = f"Every deployment of '{name}' has as many requests in flight as it may have."
        wait = 1000
    else:
        wait = max(1, full.resets_at - int(time.time() * 1000))
        message = (
            f"Every deployment of '{name}' has reached a limit; the next one resets in {-(-wait // 1000)} s."
        )
    _record_refusal(case, "deployments_full", case.refusal(order, message, waited=waited))
    return Unserved(429, message, code="deployments_full", headers=limits.waiting(wait))
