"""THE WAY OF A REQUEST: authenticate -> route -> admit -> call -> settle and record."""

import time
from collections.abc import Awaitable

from gateway import calls
from gateway.admission import Unserved, admit
from gateway.counting import can_count, counted_here
from gateway.errors import ApiError, no_such_model
from gateway.failures import Unanswered
from gateway.files import refer_to_files
from gateway.items import request_of
from gateway.messages import Inbound, Reply, error_reply, with_id_for
from gateway.referring import refer
from gateway.request import Instead, Request, seconds_allowed
from gateway.runtime import Gateway
from gateway.surfaces import SURFACES
from gateway.uploads import MODEL
from keys import tokens
from keys.directory import DirectoryUnavailable
from keys.entries import Entry
from providers.dialects import COUNT_TOKENS, RESPONSES
from providers.fallbacks import On, whom_instead
from providers.retries import LEAST_SECONDS
from providers.snapshot import ServedModel, Snapshot
from usage.journal import JournalFull

# One, and at most so many fallbacks.
MOST_MODELS = 6


async def relay(gateway: Gateway, inbound: Inbound) -> Reply:
    """Serve one request for a model. Never raises but `CancelledError`: errors are replies."""
    return await told(inbound, _serve(gateway, inbound))


async def relay_item(gateway: Gateway, inbound: Inbound, name: str) -> Reply:
    """Serve one request for a response that was made before, as `relay` does."""
    return await told(inbound, _serve_item(gateway, inbound, name))


async def _serve(gateway: Gateway, inbound: Inbound) -> Reply:
    caller = await authenticate(gateway, inbound)
    surface = SURFACES[inbound.endpoint]
    call = await read(inbound, surface.reading)
    snapshot = gateway.snapshot  # the same one to the end, whatever is changed meanwhile
    model = find_model(snapshot, caller, call.model)
    request = Request(gateway, snapshot, caller, call, inbound, surface)
    if b"file-sy" in inbound.body:
        refer_to_files(request)
    if surface.name == RESPONSES:
        refer(request)
    elif surface.name == COUNT_TOKENS and not can_count(model):
        return counted_here(request, model)
    return await answer(request, model)


async def _serve_item(gateway: Gateway, inbound: Inbound, name: str) -> Reply:
    caller = await authenticate(gateway, inbound)
    request, model = request_of(gateway, caller, inbound, name)
    return await answer(request, model)


async def told(inbound: Inbound, serving: Awaitable[Reply]) -> Reply:
    """What is served, or the error instead."""
    try:
        return with_id_for(await serving, inbound.endpoint)
    except ApiError as error:
        return error_reply(error, inbound.endpoint, inbound.request_id)
    except JournalFull:
        message = "Usage cannot be recorded because the gateway's disk is full, so nothing is served."
        full = ApiError(503, message, code="journal_full")
        return error_reply(full, inbound.endpoint, inbound.request_id)


async def answer(request: Request, model: ServedModel) -> Reply:
    """The answer of this model, else of one that its operator named for such an error.

    When none answers, the client hears what was wrong with the model it asked for. Raises `ApiError`.
    """
    request.until = time.monotonic() + min(model.deadline, seconds_allowed(request.inbound.headers))
    try:
        return await _ask(request, model, None)
    except Unanswered as unanswered:
        first = unanswered
        if not model.instead:
            return first.reply()
    asked, ahead = [model.name], _instead(request, model, first.on, [model.name])
    while ahead and len(asked) < MOST_MODELS and request.seconds_left() >= LEAST_SECONDS:
        came_from = ahead.pop(0)
        other = request.snapshot.find(came_from.to)
        if other is None or other.name in asked:
            continue
        asked.append(other.name)
        try:
            return await _ask(request, other, came_from)
        except Unanswered as unanswered:
            ahead = [*_instead(request, other, unanswered.on, asked), *ahead]
        except ApiError:
            continue  # a limit that holds for it; the next one may have room
    return first.reply()


async def _ask(request: Request, model: ServedModel, came_from: Instead | None) -> Reply:
    try:
        dispatch = await admit(request, model, came_from)
    except Unserved as unserved:
        raise Unanswered(unserved, On.ANY) from None
    return await dispatch.run()


def _instead(request: Request, model: ServedModel, on: On, asked: list[str]) -> list[Instead]:
    """Whom the key may ask instead of this model."""
    if request.pin is not None:
        return []  # no other model knows what it refers to
    names = whom_instead(model.instead, on, asked)
    return [Instead(model.name, on, name) for name in names if request.caller.may_use(name)]


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


async def read(inbound: Inbound, reading: calls.Reading) -> calls.Call:
    """What is asked; of a form as much is read as it takes to know that. Raises `ApiError`."""
    try:
        if inbound.upload is not None:
            await inbound.upload.learn(MODEL)
            return calls.of_form(inbound.upload.fields, reading, inbound.upload.size)
        return calls.read(inbound.body, reading)
    except calls.BadCall as bad:
        raise ApiError(400, str(bad), code="invalid_request", param=bad.param) from None


def find_model(snapshot: Snapshot, caller: Entry, name: str) -> ServedModel:
    """The model of this name or alias; one that the key may not use looks like one that does not exist."""
    model = snapshot.find(name)
    if model is None or not caller.may_use(model.name):
        raise no_such_model(name)
    return model
