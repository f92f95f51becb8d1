"""Whether the gateway lives and is ready. No key needed, no provider called."""

from django.http import HttpResponseBase

from gateway.messages import json_reply
from gateway.views.base import ApiRequest, GatewayView, ReplyResponse


class LiveView(GatewayView):
    """The process answers."""

    async def get(self, request: ApiRequest) -> HttpResponseBase:
        return ReplyResponse(json_reply(200, b'{"status":"ok"}', request.request_id))


class ReadyView(GatewayView):
    """The configuration is read, so requests for models can be served."""

    async def get(self, request: ApiRequest) -> HttpResponseBase:
        if request.gateway.ready:
            return ReplyResponse(json_reply(200, b'{"status":"ok"}', request.request_id))
        body = b'{"status":"starting","reason":"the configuration has not been read from the database yet"}'
        return ReplyResponse(json_reply(503, body, request.request_id))
