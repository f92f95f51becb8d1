"""DRF views without a thread hop: a coroutine `dispatch`, and answers that go back as they are."""

from io import BytesIO
from typing import Any

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpResponse, HttpResponseBase
from rest_framework.exceptions import MethodNotAllowed
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.views import APIView

from gateway.errors import in_form_of
from gateway.messages import Inbound, Reply, json_reply, with_id_for
from gateway.runtime import Gateway


class ApiRequest(ASGIRequest):
    """A request at the API door: its body is read already, and it knows the worker's gateway."""

    def __init__(self, scope: dict[str, Any], inbound: Inbound, gateway: Gateway) -> None:
        super().__init__(scope, BytesIO(inbound.body))
        self.inbound = inbound
        self.gateway = gateway
        self.request_id = inbound.request_id


class ReplyResponse(HttpResponse):
    """Carries a `Reply` through Django to the door that sends it."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(status=reply.status)
        self.reply = reply


class GatewayView(APIView):
    """Base of the API's views: any Accept, any Content-Type, methods are coroutines."""

    renderer_classes = [JSONRenderer]

    async def dispatch(self, request: ApiRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:  # type: ignore[override]
        self.args, self.kwargs, self.headers = args, kwargs, {}
        self.request = request  # type: ignore[assignment]
        try:
            response: HttpResponseBase = await self._handler(request)(request, *args, **kwargs)
        except Exception as error:  # noqa: BLE001  the one edge of the views; unknown ones are raised again
            return self._told(error, request)
        return response

    def _handler(self, request: ApiRequest) -> Any:
        method = (request.method or "").lower()
        if method == "head" and hasattr(self, "get"):
            method = "get"
        if method not in self.http_method_names or not hasattr(self, method):
            raise MethodNotAllowed(method.upper())
        return getattr(self, method)

    def _told(self, error: Exception, request: ApiRequest) -> HttpResponseBase:
        response = self.get_exception_handler()(error, {"view": self, "request": request})
        if response is None:
            raise error
        assert isinstance(response, Response)
        told = in_form_of(request.inbound.endpoint, response.status_code, response.data)
        body = JSONRenderer().render(told)
        headers = {name.lower(): str(value) for name, value in response.headers.items()}
        del headers["content-type"]
        reply = json_reply(response.status_code, body, request.request_id, headers)
        return ReplyResponse(with_id_for(reply, request.inbound.endpoint))

    async def options(  # type: ignore[override]
        self, request: ApiRequest, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        headers = {"allow": ", ".join(self.allowed_methods), "x-request-id": request.request_id}
        return ReplyResponse(Reply(204, headers, b""))
