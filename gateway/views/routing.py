"""Why requests go where they go, for operators' own programs."""

from functools import partial
from typing import Any

import msgspec
from django.core.exceptions import DisallowedHost
from django.db import DatabaseError
from django.http import HttpResponseBase

from gateway.errors import ApiError
from gateway.foreseeing import foresee, question_of
from gateway.messages import json_reply
from gateway.relay import authenticate
from gateway.runtime import Gateway
from gateway.views.base import ApiRequest, GatewayView, ReplyResponse
from usage import explained


class ExplainView(GatewayView):
    """`POST /api/routing/explain` with `{"model", "key", "tags", "stream"}`, or with `{"request_id"}`.

    For master keys. It reserves nothing, and changes nothing of whom requests go to.
    """

    async def post(self, request: ApiRequest) -> HttpResponseBase:
        await _authorise(request)
        told = _body(request.inbound.body)
        if "request_id" in told:
            found = await _of_request(request.gateway, told["request_id"])
        else:
            found = await foresee(request.gateway, question_of(told))
        return ReplyResponse(json_reply(200, msgspec.json.encode(found), request.request_id))


async def _authorise(request: ApiRequest) -> None:
    """Raises `ApiError`."""
    try:
        request.get_host()
    except DisallowedHost:
        message = "This address is not served under that host name (ALLOWED_HOSTS)."
        raise ApiError(400, message, code="host_not_allowed") from None
    caller = await authenticate(request.gateway, request.inbound)
    if not caller.is_admin:
        raise ApiError(403, "This takes a master key.", code="master_key_required")


def _body(body: bytes) -> dict[str, Any]:
    try:
        told = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        told = None
    if not isinstance(told, dict):
        raise ApiError(400, "The body is a JSON object.", code="invalid_request")
    return told


async def _of_request(gateway: Gateway, request_id: object) -> dict[str, Any]:
    if not isinstance(request_id, str):
        raise ApiError(400, "'request_id' is text.", code="invalid_request", param="request_id")
    try:
        found = await gateway.seeding.run(partial(explained.of_request, request_id))
    except (DatabaseError, TimeoutError):
        message = "Requests cannot be looked up now because the database is away. Try again soon."
        raise ApiError(503, message, code="database_unavailable", headers={"retry-after": "5"}) from None
    if not found:
        message = f"No request '{request_id[:128]}' is in the ledger (yet)."
        raise ApiError(404, message, code="request_not_found", param="request_id")
    return {"request_id": request_id, "attempts": [each.data() for each in found]}
