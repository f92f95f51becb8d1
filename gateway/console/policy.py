"""The Content-Security-Policy of the admin."""

from collections.abc import Awaitable, Callable

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponse

POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; object-src 'none'; base-uri 'self'; frame-ancestors 'none'; form-action 'self'"
)

type Handler = Callable[[HttpRequest], HttpResponse] | Callable[[HttpRequest], Awaitable[HttpResponse]]


class ContentSecurityPolicyMiddleware:
    """Sets the policy on every page: unfold works under it, inline scripts do not."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponse | Awaitable[HttpResponse]:
        if self.is_async:
            return self._later(request)
        response = self.get_response(request)
        assert isinstance(response, HttpResponse) or hasattr(response, "headers")
        response.headers["Content-Security-Policy"] = POLICY  # type: ignore[union-attr]
        return response  # type: ignore[return-value]

    async def _later(self, request: HttpRequest) -> HttpResponse:
        response = await self.get_response(request)  # type: ignore[misc]
        response.headers["Content-Security-Policy"] = POLICY
        return response
