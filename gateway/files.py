"""Files and batches at the provider that owns them: clients know them by sealed names."""

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qs

import msgspec

from gateway import calls
from gateway.calibration import PromptSize
from gateway.errors import ApiError
from gateway.handles import Handle, seal, unseal
from gateway.messages import Inbound
from gateway.request import Pin, Request
from gateway.runtime import Gateway
from gateway.surfaces.base import Surface
from keys.entries import Entry
from providers.routing import Share
from providers.snapshot import ServedModel, Snapshot, Target

PROVIDER_HEADER = "x-switchyard-provider"
# Which field of an object names a thing of which kind.
_NAMES = {"input_file_id": "file", "output_file_id": "file", "error_file_id": "file"}
_NO_DEPLOYMENT = 0  # any of the provider will do
_OBJECTS = {"file": "file", "batch": "batch"}
_SEALED = re.compile(rb'"(file-sy[A-Za-z0-9_-]{20,1000})"')
_CALL = calls.Call(
    body=b"",
    fields={},
    model="",
    stream=False,
    wants_usage=False,
    cap=0,
    choices=1,
    prompt=PromptSize(0, 0, 0),
    end_user="",
)


@dataclass(frozen=True, slots=True)
class Place:
    """A provider, as the first of its deployments that a key may use knows it."""

    target: Target

    @property
    def key(self) -> str:
        return self.target.provider_key

    def model(self) -> ServedModel:
        """What is asked there is no model: no limits, places or prices of a deployment hold for it."""
        id = -1 - zlib.crc32(self.key.encode())
        share = Share(id, 0, 1)
        target = replace(self.target, id=id, name="", share=share, slots=None, upstream_model="", prices=())
        return ServedModel(
            name="",
            hidden=True,
            created=0,
            most_output=None,
            targets=MappingProxyType({id: target}),
            shares=(share,),
            max_attempts=1,
        )


def places(snapshot: Snapshot, caller: Entry) -> dict[str, Place]:
    """By their names, the providers with files that the models of a key lead to."""
    found: dict[str, Place] = {}
    for model in snapshot.models.values():
        if caller.may_use(model.name):
            for target in model.targets.values():
                if target.speech.others:
                    found.setdefault(target.provider, Place(target))
    return found


def chosen(snapshot: Snapshot, caller: Entry, inbound: Inbound) -> Place:
    """Where something new goes. Raises `ApiError` 400 that says how to name a provider."""
    known = places(snapshot, caller)
    query = {name: values[-1] for name, values in parse_qs(inbound.query).items()}
    model = query.get("model")
    name = inbound.headers.get(PROVIDER_HEADER) or query.get("provider")
    if model:
        served = snapshot.find(model)
        if served is not None and caller.may_use(served.name):
            name = next((target.provider for target in served.targets.values()), None)
        if not name or name not in known:
            raise _which(known, f"The model '{model[:200]}' leads to no provider with files.")
    if name:
        if name not in known:
            raise _which(known, f"There is no provider '{name[:120]}' with files for this key.")
        return known[name]
    if len(known) != 1:
        raise _which(known, "It is not clear which provider is meant.")
    return next(iter(known.values()))


def _which(known: Mapping[str, Place], problem: str) -> ApiError:
    names = ", ".join(sorted(known)[:20]) or "none"
    message = f"{problem} Name one in the header {PROVIDER_HEADER}; this key has: {names}."
    return ApiError(400, message, code="provider_required", param="provider")


def request_for(
    gateway: Gateway,
    caller: Entry,
    inbound: Inbound,
    surface: Surface,
    place: Place,
    path: str,
    body: bytes = b"",
) -> Request:
    """For something that no model answers; `body`: the JSON to send, if there is any."""
    call = replace(_CALL, body=body)
    request = Request(gateway, gateway.snapshot, caller, call, inbound, surface, path=path)
    request.pin = Pin(place.model().shares[0].id, place.target.provider)
    return request


def owned(snapshot: Snapshot, caller: Entry, kind: str, name: str) -> tuple[Handle, Place]:
    """What a client's name means, and where it is. Raises `ApiError` 404."""
    handle = unseal(kind, name, caller.owner)
    if handle is not None:
        for place in places(snapshot, caller).values():
            if place.key == handle.place:
                return handle, place
    message = f"No {kind} with id '{name[:300]}' was found, or none that this key may see."
    raise ApiError(404, message, code=f"{kind}_not_found")


# --- names in what providers say ---------------------------------------------------------------


def renamed(told: dict[str, Any], place: str, owner: str) -> dict[str, Any]:
    """An object of a provider with the client's names in it."""
    made = dict(told)
    if kind := _OBJECTS.get(str(told.get("object"))):
        made["id"] = seal(Handle(kind, place, str(told.get("id"))), owner)
    for field, kind in _NAMES.items():
        if isinstance(id := told.get(field), str) and id:
            made[field] = seal(Handle(kind, place, id), owner)
    return made


def refer_to_files(request: Request) -> None:
    """Put the provider's own names of files into the request's body, and pin it to that provider.

    Raises `ApiError`: of files that are not the caller's, or at two providers.
    """
    body, found = request.inbound.body, dict[bytes, Handle]()
    for name in {match[1] for match in _SEALED.finditer(body)}:
        handle, place = owned(request.snapshot, request.caller, "file", name.decode())
        found[name] = handle
        if request.pin is not None and request.pin.provider != place.target.provider:
            message = "The files of one request must be at one provider."
            raise ApiError(400, message, code="files_at_two_providers")
        request.pin = request.pin or Pin(_NO_DEPLOYMENT, place.target.provider)
    for name, handle in found.items():
        body = body.replace(msgspec.json.encode(name.decode()), msgspec.json.encode(handle.id))
    request.call = calls.read(body, request.surface.reading)
