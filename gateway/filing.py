"""What clients may do with files and batches, each through the same relay as any request."""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import parse_qs

import msgspec
import structlog
from django.db import DatabaseError

from gateway.batching import may_batch
from gateway.errors import ApiError
from gateway.files import Place, chosen, owned, places, renamed, request_for
from gateway.handles import Handle, seal, unseal
from gateway.messages import Inbound, Reply, json_reply
from gateway.relay import answer, authenticate
from gateway.runtime import Gateway
from gateway.surfaces import kept
from gateway.surfaces.base import Surface
from keys.entries import Entry
from usage import stored
from usage.stored import Stored

log = structlog.get_logger(__name__)
_USUAL, _MOST = 20, 100
# Of a batch in one of these the provider has more to tell.
_UNDER_WAY = frozenset({"validating", "in_progress", "finalizing", "cancelling"})
_object = msgspec.json.Decoder(dict[str, Any])


async def upload(gateway: Gateway, inbound: Inbound) -> Reply:
    """A new file. Raises `ApiError`."""
    caller = await authenticate(gateway, inbound)
    if inbound.upload is None:
        message = "A file is sent as multipart/form-data with the fields 'file' and 'purpose'."
        raise ApiError(400, message, code="invalid_request", param="file")
    place = chosen(gateway.snapshot, caller, inbound)
    return await _ask(gateway, caller, inbound, kept.FILES, place, "files")


async def new_batch(gateway: Gateway, inbound: Inbound) -> Reply:
    """A new batch, at the provider of its input file. Raises `ApiError`."""
    caller = await authenticate(gateway, inbound)
    try:
        told = _object.decode(inbound.body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise ApiError(400, "The body must be a JSON object.", code="invalid_request") from None
    name = told.get("input_file_id")
    if not isinstance(name, str):
        message = "The field 'input_file_id' is missing, or no text."
        raise ApiError(400, message, code="invalid_request", param="input_file_id")
    handle, place = owned(gateway.snapshot, caller, "file", name)
    may_batch(gateway.snapshot, caller, place)
    body = msgspec.json.encode({**told, "input_file_id": handle.id})
    return await _ask(gateway, caller, inbound, kept.BATCHES, place, "batches", body, {handle.id: name})


async def one(gateway: Gateway, inbound: Inbound, kind: str, name: str, surface: Surface) -> Reply:
    """A file or batch: what it is, its content, its end. Raises `ApiError`."""
    caller = await authenticate(gateway, inbound)
    handle, place = owned(gateway.snapshot, caller, kind, name)
    path = surface.name.replace("{id}", handle.id)
    reply = await _ask(gateway, caller, inbound, surface, place, path, b"", {handle.id: name})
    if reply.status == 404 or (reply.status < 300 and inbound.method == "DELETE"):
        await _in_database(
            gateway, partial(stored.forget, kind, place.key, handle.id, caller.owner), handle.id
        )
    return reply


async def _ask(
    gateway: Gateway,
    caller: Entry,
    inbound: Inbound,
    surface: Surface,
    place: Place,
    path: str,
    body: bytes = b"",
    names: Mapping[str, str] | None = None,
) -> Reply:
    """The provider's answer, with the client's names in it; what it tells of is entered."""
    request = request_for(gateway, caller, inbound, surface, place, path, body)
    reply = await answer(request, place.model())
    if not isinstance(reply.body, bytes):
        return reply
    told = reply.body
    if 200 <= reply.status < 300 and told:
        told = await _entered(gateway, caller, place, told)
    for id, name in (names or {}).items():
        told = told.replace(id.encode(), name.encode())
    return Reply(reply.status, reply.headers, told)


async def _entered(gateway: Gateway, caller: Entry, place: Place, body: bytes) -> bytes:
    told = _object.decode(body)
    kind, id = told.get("object"), told.get("id")
    if kind in ("file", "batch") and isinstance(id, str) and not told.get("deleted"):
        entry = Stored(kind, place.key, id, told)
        work = partial(stored.enter, entry, caller.owner, caller.name, caller.public_id)
        await _in_database(gateway, work, id)
    return msgspec.json.encode(renamed(told, place.key, caller.owner))


async def _in_database(gateway: Gateway, work: "partial[None]", id: str) -> None:
    """The provider has done it already: a list that lacks it is the lesser evil."""
    try:
        await gateway.seeding.run(work)
    except (DatabaseError, TimeoutError) as error:
        log.error("stored_object_not_entered", id=id, error=str(error).split("\n")[0])


async def listed(gateway: Gateway, inbound: Inbound, kind: str) -> Reply:
    """The caller's own, as the gateway entered them; of batches under way the provider is asked anew.

    Raises `ApiError`.
    """
    caller = await authenticate(gateway, inbound)
    query = {name: values[-1] for name, values in parse_qs(inbound.query).items()}
    most = _limit(query.get("limit"))
    after = None
    if name := query.get("after"):
        handle = unseal(kind, name, caller.owner)
        if handle is None:
            raise ApiError(400, "'after' is no id of yours.", code="invalid_request", param="after")
        after = (handle.place, handle.id)
    work = partial(
        stored.page,
        kind,
        caller.owner,
        most=most,
        after=after,
        newest_first=query.get("order") != "asc",
        purpose=query.get("purpose", ""),
    )
    try:
        found, more = await gateway.seeding.run(work)
    except (DatabaseError, TimeoutError):
        message = "Lists cannot be read now because the database is away. Try again soon."
        raise ApiError(503, message, code="database_unavailable", headers={"retry-after": "5"}) from None
    told = await asyncio.gather(*(_newest(gateway, caller, inbound, each) for each in found))
    rows = [renamed(row, each.place, caller.owner) for row, each in zip(told, found, strict=True)]
    names = [seal(Handle(each.kind, each.place, each.id), caller.owner) for each in found]
    first, last = (names[0], names[-1]) if names else (None, None)
    body = {"object": "list", "data": rows, "first_id": first, "last_id": last, "has_more": more}
    return json_reply(200, msgspec.json.encode(body), inbound.request_id)


async def _newest(gateway: Gateway, caller: Entry, inbound: Inbound, each: Stored) -> dict[str, Any]:
    """What the provider says of a batch under way now; what was entered, where it does not answer."""
    if each.kind != "batch" or each.told.get("status") not in _UNDER_WAY:
        return each.told
    place = next((p for p in places(gateway.snapshot, caller).values() if p.key == each.place), None)
    if place is None:
        return each.told
    asked = Inbound("GET", kept.BATCH.name, "", inbound.headers, b"", inbound.request_id)
    request = request_for(gateway, caller, asked, kept.BATCH, place, f"batches/{each.id}")
    try:
        reply = await answer(request, place.model())
    except ApiError:
        return each.told
    if reply.status != 200 or not isinstance(reply.body, bytes):
        return each.told
    told = _object.decode(reply.body)
    work = partial(
        stored.enter, Stored("batch", each.place, each.id, told), caller.owner, caller.name, caller.public_id
    )
    await _in_database(gateway, work, each.id)
    return told


def _limit(text: str | None) -> int:
    if text is None:
        return _USUAL
    if not (text.isascii() and text.isdecimal()) or len(text) > 6 or int(text) < 1:
        raise ApiError(400, "'limit' is a number from 1 on.", code="invalid_request", param="limit")
    return min(int(text), _MOST)
