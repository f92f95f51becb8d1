"""THE WAY OF A REQUEST: authenticate -> route -> admit -> call -> settle and record."""

import time

from gateway import calls
from gateway.asking import Asking
from gateway.attempts import Outcome, Subject, settled
from gateway.dispatch import Dispatch
from gateway.end_users import end_user_of
from gateway.errors import ApiError
from gateway.messages import Inbound, Reply, error_reply
from gateway.runtime import Gateway
from keys import limits, tokens
from keys.directory import DirectoryUnavailable
from keys.entries import Entry
from providers.snapshot import ServedModel
from providers.state import Full, Refusal, StateUnavailable, Ticket
from usage.ids import uuid7
from usage.journal import JournalFull


async def relay(gateway: Gateway, inbound: Inbound) -> Reply:
    """Serve one request for a model. Never raises but `CancelledError`: errors are replies."""
    request_id = inbound.request_id()
    try:
        caller = await authenticate(gateway, inbound)
        call = read(inbound)
        model = find_model(gateway, caller, call.model)
        dispatch = await admit(gateway, caller, call, model, inbound, request_id)
        return await dispatch.run()
    except ApiError as error:
        return error_reply(error, request_id)
    except JournalFull:
        message = "Usage cannot be recorded because the gateway's disk is full, so nothing is served."
        return error_reply(ApiError(503, message, code="journal_full"), request_id)


async def authenticate(gateway: Gateway, inbound: Inbound) -> Entry:
    """Who asks. Raises `ApiError` 401, or 503 when the key is not known here and the database is away."""
    text = _credential(inbound)
    if text is None:
        message = "No API key was given. Send it as 'Authorization: Bearer YOUR_KEY'."
        raise ApiError(401, message, code="invalid_api_key")
    entry = gateway.keys.known(text)
    if entry is None and _could_exist(text):
        try:
            entry = await gateway.keys.look_up(text)
        except DirectoryUnavailable:
            message = "This API key cannot be checked now because the database is away. Try again soon."
            raise ApiError(503, message, code="database_unavailable", headers={"retry-after": "5"}) from None
    if entry is None:
        raise ApiError(401, f"Incorrect API key provided: {tokens.hint(text)}", code="invalid_api_key")
    if not entry.enabled or (entry.expires_at is not None and entry.expires_at <= time.time()):
        why = "has expired" if entry.enabled else "is disabled"
        raise ApiError(401, f"The API key {tokens.hint(text)} {why}.", code="invalid_api_key")
    return entry


def _credential(inbound: Inbound) -> str | None:
    scheme, _, text = inbound.headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() == "bearer" and text.strip():
        return text.strip()
    return inbound.headers.get("x-api-key") or inbound.headers.get("api-key") or None


def _could_exist(text: str) -> bool:
    """Whether a look-up is worth it: a key of our own form must have a right checksum."""
    return tokens.is_ours(text) if text.startswith(tokens.PREFIX) else len(text) <= tokens.LONGEST


def read(inbound: Inbound) -> calls.Call:
    try:
        return calls.read(inbound.body)
    except calls.BadCall as bad:
        raise ApiError(400, str(bad), code="invalid_request", param=bad.param) from None


def find_model(gateway: Gateway, caller: Entry, name: str) -> ServedModel:
    """The model of this name or alias; one that the key may not use looks like one that does not exist."""
    model = gateway.snapshot.find(name)
    if model is None or not caller.may_use(model.name):
        message = f"The model '{name[:200]}' does not exist or you do not have access to it."
        raise ApiError(404, message, code="model_not_found", param="model")
    return model


async def admit(
    gateway: Gateway, caller: Entry, call: calls.Call, model: ServedModel, inbound: Inbound, request_id: str
) -> Dispatch:
    """Reserve against every limit and take a slot, or refuse: then nothing is consumed."""
    subject = _subject(gateway, caller, call, model, inbound, request_id)
    order = gateway.order(model)
    if order.rests_for is not None:
        raise _resting(model, order.rests_for)
    if not order.ids:
        message = f"The model '{model.name}' has no deployment that is configured and switched on."
        raise ApiError(503, message, code="no_deployment")
    asking = Asking(gateway, caller, call, model, subject)
    gateway.router.expect(model, order)
    slot = None
    try:
        verdict = await gateway.state.admit(asking.ask(order.ids))
    except StateUnavailable:
        message = "Limits cannot be counted now, and this key is not served without. Try again soon."
        raise ApiError(503, message, code="limits_unavailable", headers=limits.waiting(1000)) from None
    else:
        slot = verdict.slot if isinstance(verdict, Ticket) else None
    finally:
        gateway.router.took(model, order, slot)
    match verdict:
        case Refusal():
            raise _refused(gateway, asking, verdict)
        case Full():
            _record_refusal(gateway, subject, "deployments_full")
            raise _full(model, verdict)
    gateway.router.budget(model).asked(time.monotonic())
    asking.note_shadows(verdict)
    return Dispatch(gateway, inbound, call, model, subject, asking, verdict, caller.keeps)


def _subject(
    gateway: Gateway, caller: Entry, call: calls.Call, model: ServedModel, inbound: Inbound, request_id: str
) -> Subject:
    end_user = end_user_of(
        inbound.headers, call.end_user, caller.end_user_header, gateway.jwt_secret, time.time()
    )
    return Subject(
        request_id=request_id,
        key=caller.name,
        key_id=caller.public_id,
        team=caller.team,
        end_user=end_user,
        model=model.name,
        endpoint=inbound.endpoint,
        stream=call.stream,
        prompt_tokens=gateway.calibration.estimate(model.name, call.prompt),
        config_version=gateway.snapshot.version,
        task=inbound.task(),
    )


def _record_refusal(gateway: Gateway, subject: Subject, error_class: str) -> None:
    outcome = Outcome("refused", error_class=error_class)
    gateway.books.settled(settled(subject, outcome, attempt_id=uuid7()))


def _refused(gateway: Gateway, asking: Asking, refusal: Refusal) -> ApiError:
    rule = asking.rule_of(refusal.demand)
    if rule is None:
        _record_refusal(gateway, asking.subject, "limit_end_users")
        most, name = refusal.demand.limit, asking.subject.end_user[:80]
        message = (
            f"Limit reached: this key may name {most} end users, and '{name}' is new. "
            "Its operator can let it name more."
        )
        return ApiError(429, message, code="end_user_limit_exceeded", headers={"x-should-retry": "false"})
    _record_refusal(gateway, asking.subject, f"limit_{rule.metric}")
    code = "insufficient_quota" if limits.is_budget(rule) else "rate_limit_exceeded"
    told = limits.refusal_headers(rule, refusal)
    return ApiError(429, limits.explain(rule, refusal), code=code, headers=told)


def _resting(model: ServedModel, seconds: float) -> ApiError:
    """Every provider said when to come back: until then nothing is sent to them."""
    wait = max(1, int(seconds * 1000))
    message = f"Every provider of '{model.name}' asked for a pause; try again in {-(-wait // 1000)} s."
    return ApiError(429, message, code="provider_rate_limited", headers=limits.waiting(wait))


def _full(model: ServedModel, full: Full) -> ApiError:
    if full.resets_at is None:
        message = f"Every deployment of '{model.name}' has as many requests in flight as it may have."
        return ApiError(429, message, code="deployments_full", headers=limits.waiting(1000))
    wait = max(1, full.resets_at - int(time.time() * 1000))
    seconds = -(-wait // 1000)
    message = f"Every deployment of '{model.name}' has reached a limit; the next one resets in {seconds} s."
    return ApiError(429, message, code="deployments_full", headers=limits.waiting(wait))
