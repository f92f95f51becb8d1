"""Every exception becomes one error envelope, here."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from django.http import Http404
from rest_framework import exceptions
from rest_framework.response import Response

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


class ApiError(Exception):
    """What a client is told instead of an answer. `headers` go with it."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param
        self.headers = dict(headers or {})

    def body(self, endpoint: str = "") -> bytes:
        """As clients of this endpoint read errors."""
        told = envelope(self.status, str(self), self.code, self.param)
        return msgspec.json.encode(in_form_of(endpoint, self.status, told))


def no_such_model(name: str) -> ApiError:
    """The same for one that nobody has and one that the key may not use."""
    message = f"The model '{name[:200]}' does not exist or you do not have access to it."
    return ApiError(404, message, code="model_not_found", param="model")


def not_served(model: str, endpoint: str) -> ApiError:
    """No provider of the model has this endpoint."""
    message = f"The model '{model}' cannot be asked at /v1/{endpoint}: its provider does not serve that."
    return ApiError(400, message, code="unsupported_endpoint", param="model")


def error_type(status: int) -> str:
    """The `type` of an error, as OpenAI's SDKs know it."""
    return _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")


def envelope(status: int, message: str, code: str | None = None, param: str | None = None) -> dict[str, Any]:
    """`{"error": {"message", "type", "param", "code"}}`: all four, always."""
    return {"error": {"message": message, "type": error_type(status), "param": param, "code": code}}


def speaks_anthropic(endpoint: str) -> bool:
    """Whether clients of this endpoint read errors of Anthropic's form."""
    return endpoint == "messages" or endpoint.startswith("messages/")


def in_form_of(endpoint: str, status: int, told: dict[str, Any]) -> dict[str, Any]:
    """An envelope as clients of this endpoint read it."""
    return anthropic_error(told["error"], status) if speaks_anthropic(endpoint) else told


def anthropic_error(error: Mapping[str, Any], status: int = 500) -> dict[str, Any]:
    """`{"type": "error", "error": {"type", "message"}}` of the error in an envelope."""
    kind = error.get("type")
    if kind not in _ANTHROPIC_TYPES:
        kind = _ANTHROPIC_OF_STATUS.get(status, "invalid_request_error" if status < 500 else "api_error")
    return {"type": "error", "error": {"type": kind, "message": str(error.get("message"))}}


_ANTHROPIC_OF_STATUS = {413: "request_too_large", 503: "overloaded_error", 504: "timeout_error"}
_ANTHROPIC_TYPES = frozenset(
    {
        "invalid_request_error",
        "authentication_error",
        "billing_error",
        "permission_error",
        "not_found_error",
        "request_too_large",
        "rate_limit_error",
        "timeout_error",
        "api_error",
        "overloaded_error",
    }
)


def anthropic_from_upstream(status: int, body: bytes) -> bytes:
    """A provider's error body in Anthropic's form; one that has it already keeps its bytes."""
    try:
        told = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        told = None
    match told:
        case {"type": "error", "error": {"type": str(), "message": str()}}:
            return body
    error = msgspec.json.decode(from_upstream(status, body))["error"]
    return msgspec.json.encode(anthropic_error(error, status))


def from_upstream(status: int, body: bytes) -> bytes:
    """A provider's error body in the envelope; one that has the form already keeps its bytes."""
    try:
        told = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        told = None
    error = told.get("error") if isinstance(told, dict) else None
    if isinstance(error, dict) and _is_whole(error):
        return body
    return msgspec.json.encode({"error": _completed(status, error if isinstance(error, dict) else {}, told)})


def _is_whole(error: Mapping[str, Any]) -> bool:
    return (
        {"message", "type", "param", "code"} <= error.keys()
        and isinstance(error["message"], str)
        and isinstance(error["code"], str | None)
    )


def _completed(status: int, error: Mapping[str, Any], told: object) -> dict[str, Any]:
    message = error.get("message") or _message_of(told)
    code = error.get("code")
    return {
        **error,
        "message": message if isinstance(message, str) else f"The provider answered {status}.",
        "type": error["type"] if isinstance(error.get("type"), str) else error_type(status),
        "param": error["param"] if isinstance(error.get("param"), str) else None,
        "code": code if isinstance(code, str | None) else str(code),
    }


def _message_of(told: object) -> object:
    """Where providers put their words when not into `error.message`."""
    match told:
        case {"error": str(text)} | {"message": str(text)} | {"detail": str(text)}:
            return text
        case {"detail": [{"msg": str(text)}, *_]}:
            return text
    return None


def drf_exception_handler(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """What DRF calls for an exception in a view; None lets it travel on to the edge."""
    match error:
        case ApiError():
            told = error
        case Http404():
            told = ApiError(404, "There is nothing at this address.")
        case exceptions.APIException():
            told = ApiError(error.status_code, _phrase(error))
        case _:
            return None
    headers = told.headers
    if isinstance(error, exceptions.MethodNotAllowed):
        headers = {**headers, "allow": ", ".join(context["view"].allowed_methods)}
    body = envelope(told.status, str(told), told.code, told.param)
    return Response(body, status=told.status, headers=headers)


def _phrase(error: exceptions.APIException) -> str:
    return str(error.detail) if isinstance(error.detail, str) else HTTPStatus(error.status_code).phrase
