"""What a request for a response refers to: one made before is only known where it was made."""

import msgspec

from gateway.errors import ApiError
from gateway.handles import Handle, unseal
from gateway.request import Pin, Request
from providers.snapshot import ServedModel, Snapshot, Target

PREVIOUS = "previous_response_id"
_text = msgspec.json.Decoder(str | None)


def refer(request: Request) -> None:
    """Pin the request to where its previous response is. Raises `ApiError` 400 where nobody knows that."""
    raw = request.call.fields.get(PREVIOUS)
    if raw is None:
        return
    try:
        name = _text.decode(raw)
    except msgspec.DecodeError:
        message = f"The field '{PREVIOUS}' must be text."
        raise ApiError(400, message, code="invalid_request", param=PREVIOUS) from None
    if name is None:
        return
    handle = unseal("resp", name, request.owner)
    found = None if handle is None else place_of(request.snapshot, handle)
    if handle is None or found is None:
        message = f"Previous response with id '{name[:300]}' not found."
        raise ApiError(400, message, code="previous_response_not_found", param=PREVIOUS)
    _, target = found
    request.pin = Pin(target.id, target.provider)
    request.names = {handle.id: name}
    request.edits = {PREVIOUS: msgspec.json.encode(handle.id)}


def place_of(snapshot: Snapshot, handle: Handle) -> tuple[ServedModel, Target] | None:
    """The model and the deployment where it is; None: that is gone or switched off."""
    for model in snapshot.models.values():
        for id, target in model.targets.items():
            if str(id) == handle.place:
                return model, target
    return None
