"""The OpenAI surface."""

from typing import Any

import msgspec
from django.http import HttpResponseBase

from gateway.messages import json_reply
from gateway.relay import authenticate, find_model, relay, relay_item
from gateway.views.base import ApiRequest, GatewayView, ReplyResponse
from providers.patterns import is_pattern
from providers.snapshot import ServedModel


class RelayView(GatewayView):
    """Passes a request for a model on to `relay`."""

    async def post(self, request: ApiRequest) -> HttpResponseBase:
        return ReplyResponse(await relay(request.gateway, request.inbound))


class ResponseView(GatewayView):
    """A response that a provider keeps."""

    async def get(self, request: ApiRequest, name: str) -> HttpResponseBase:
        return ReplyResponse(await relay_item(request.gateway, request.inbound, name))

    async def delete(self, request: ApiRequest, name: str) -> HttpResponseBase:
        return ReplyResponse(await relay_item(request.gateway, request.inbound, name))


class InputItemsView(GatewayView):
    """What a response was made of."""

    async def get(self, request: ApiRequest, name: str) -> HttpResponseBase:
        return ReplyResponse(await relay_item(request.gateway, request.inbound, f"{name}/input_items"))


class CancelView(GatewayView):
    """The end of a response that is made in the background."""

    async def post(self, request: ApiRequest, name: str) -> HttpResponseBase:
        return ReplyResponse(await relay_item(request.gateway, request.inbound, f"{name}/cancel"))


class ModelsView(GatewayView):
    """The models that a key may use."""

    async def get(self, request: ApiRequest) -> HttpResponseBase:
        caller = await authenticate(request.gateway, request.inbound)
        models = request.gateway.snapshot.models.values()
        # a wildcard is no name that anybody could ask for
        shown = [
            model
            for model in models
            if not (model.hidden or is_pattern(model.name)) and caller.may_use(model.name)
        ]
        listed = [_public(model, name) for model in shown for name in (model.name, *model.aliases)]
        body = msgspec.json.encode({"object": "list", "data": listed})
        return ReplyResponse(json_reply(200, body, request.request_id))


class ModelView(GatewayView):
    """One model by its name, which may hold slashes and colons."""

    async def get(self, request: ApiRequest, name: str) -> HttpResponseBase:
        caller = await authenticate(request.gateway, request.inbound)
        body = msgspec.json.encode(_public(find_model(request.gateway.snapshot, caller, name), name))
        return ReplyResponse(json_reply(200, body, request.request_id))


def _public(model: ServedModel, name: str) -> dict[str, Any]:
    """As clients see it under a name that it has."""
    return {"id": name, "object": "model", "created": model.created, "owned_by": "switchyard"}
