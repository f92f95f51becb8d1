"""Whether the gateway lives, is ready, and what it counted. No key needed, no provider called."""

import asyncio
from functools import cache
from pathlib import Path

import msgspec
from django.http import HttpResponseBase

from gateway import gauges
from gateway.messages import Reply, json_reply
from gateway.views.base import ApiRequest, GatewayView, ReplyResponse

_DOCUMENT = Path(__file__).parent.parent / "openapi.json"


class OpenApiView(GatewayView):
    """What is served, in OpenAPI's form; made by `make openapi`."""

    async def get(self, request: ApiRequest) -> HttpResponseBase:
        return ReplyResponse(json_reply(200, _document(), request.request_id))


@cache
def _document() -> bytes:
    return _DOCUMENT.read_bytes()


class LiveView(GatewayView):
    """The process answers."""

    async def get(self, request: ApiRequest) -> HttpResponseBase:
        return ReplyResponse(json_reply(200, b'{"status":"ok"}', request.request_id))


class ReadyView(GatewayView):
    """The configuration is known, so requests for models can be served; and whether the database answers."""

    async def get(self, request: ApiRequest) -> HttpResponseBase:
        gateway = request.gateway
        told: dict[str, object] = {
            "status": "ok",
            "database": "away" if gateway.following.reach.away else "ok",
            "configuration": gateway.snapshot.version,
        }
        if gateway.following.from_copy:
            told["reason"] = "the database has not answered yet: serving what the copy on this disk knows"
        if gateway.ready:
            return ReplyResponse(json_reply(200, msgspec.json.encode(told), request.request_id))
        reason = "the configuration has not been read from the database yet"
        told |= {"status": "starting", "configuration": None, "reason": reason}
        return ReplyResponse(json_reply(503, msgspec.json.encode(told), request.request_id))


class MetricsView(GatewayView):
    """The numbers of all workers, in Prometheus' text format."""

    async def get(self, request: ApiRequest) -> HttpResponseBase:
        headers = {
            "content-type": "text/plain; version=0.0.4; charset=utf-8",
            "x-request-id": request.request_id,
        }
        told = await gauges.of_all(request.gateway)
        # thousands of lines for thousands of deployments: not on the loop
        text = await asyncio.to_thread(request.gateway.metrics.text, told)
        return ReplyResponse(Reply(200, headers, text))
