"""Whether the gateway lives, is ready, and what it counted. No key needed, no provider called."""

from django.http import HttpResponseBase

from gateway.messages import Reply, json_reply
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


class MetricsView(GatewayView):
    """Counters in Prometheus' text format."""

    async def get(self, request: ApiRequest) -> HttpResponseBase:
        headers = {
            "content-type": "text/plain; version=0.0.4; charset=utf-8",
            "x-request-id": request.request_id,
        }
        return ReplyResponse(Reply(200, headers, request.gateway.metrics.text()))
