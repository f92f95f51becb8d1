"""Every error is one envelope, whatever a provider or a view made of it."""

import json

import pytest
from django.http import Http404
from hypothesis import given, settings
from hypothesis import strategies as st
from rest_framework import exceptions

from gateway.errors import ApiError, drf_exception_handler, envelope, error_type, from_upstream

KEYS = {"message", "type", "param", "code"}


def told(status: int, body: object) -> dict[str, object]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    error: dict[str, object] = json.loads(from_upstream(status, raw))["error"]
    return error


def test_an_envelope_has_all_four_keys() -> None:
    assert envelope(401, "no", "invalid_api_key") == {
        "error": {"message": "no", "type": "authentication_error", "param": None, "code": "invalid_api_key"}
    }


@pytest.mark.parametrize(
    ("status", "type_"),
    [
        (400, "invalid_request_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (418, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "server_error"),
        (504, "server_error"),
    ],
)
def test_the_type_follows_the_status(status: int, type_: str) -> None:
    assert error_type(status) == type_


def test_an_api_error_becomes_its_body() -> None:
    error = ApiError(429, "Too fast: é", code="x", param="model", headers={"retry-after": "1"})
    assert json.loads(error.body()) == envelope(429, "Too fast: é", "x", "model")
    assert error.headers == {"retry-after": "1"}


def test_a_whole_envelope_keeps_its_bytes() -> None:
    body = b'{ "error" : {"message":"too long","type":null,"param":"x","code":"context_length","more":1e5} }'
    assert from_upstream(400, body) is body


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": {"message": "busy"}}, "busy"),
        ({"error": "busy"}, "busy"),
        ({"message": "busy"}, "busy"),
        ({"detail": "busy"}, "busy"),
        ({"detail": [{"loc": ["body"], "msg": "busy"}]}, "busy"),
        ({"error": {"message": {"text": "busy"}}}, "The provider answered 503."),
        ({"detail": []}, "The provider answered 503."),
        ({}, "The provider answered 503."),
        ([], "The provider answered 503."),
        (b"", "The provider answered 503."),
        (b"<html>503</html>", "The provider answered 503."),
        (b"\xff\xfe", "The provider answered 503."),
        (b"[" * 100_000, "The provider answered 503."),
        (b'{"error":{"code":' + b"9" * 5000 + b"}}", "The provider answered 503."),
    ],
)
def test_other_forms_are_put_into_the_envelope(body: object, message: str) -> None:
    error = told(503, body)
    assert error["message"] == message
    assert error.keys() >= KEYS


def test_what_a_provider_said_beside_it_is_kept() -> None:
    error = told(400, {"error": {"message": "no", "code": "content_filter", "innererror": {"x": 1}}})
    assert (error["code"], error["innererror"], error["type"]) == (
        "content_filter",
        {"x": 1},
        "invalid_request_error",
    )


def test_a_code_that_is_a_number_becomes_text() -> None:
    assert told(429, {"error": {"message": "no", "code": 429, "param": 7, "type": 1}}) == {
        "message": "no",
        "type": "rate_limit_error",
        "param": None,
        "code": "429",
    }


@settings(max_examples=80, deadline=None)
@given(
    st.integers(400, 599),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=4),
        lambda x: (
            st.lists(x, max_size=2)
            | st.dictionaries(
                st.sampled_from(["error", "message", "code", "type", "param", "detail", "msg"]), x
            )
        ),
    ),
)
def test_any_body_becomes_an_envelope(status: int, body: object) -> None:
    error = told(status, body)
    assert error.keys() >= KEYS
    assert isinstance(error["message"], str)
    assert error["code"] is None or isinstance(error["code"], str)


class View:
    allowed_methods = ["GET", "HEAD"]


def handled(error: Exception) -> tuple[int, dict[str, object], str | None]:
    response = drf_exception_handler(error, {"view": View()})
    assert response is not None
    return response.status_code, response.data["error"], response.headers.get("allow")


def test_errors_of_views_have_the_same_envelope() -> None:
    assert handled(ApiError(409, "taken"))[0] == 409
    assert handled(Http404())[1]["type"] == "not_found_error"
    assert handled(exceptions.NotAuthenticated())[:1] == (401,)
    status, error, allow = handled(exceptions.MethodNotAllowed("PUT"))
    assert (status, allow, set(error)) == (405, "GET, HEAD", KEYS)
    assert "PUT" in str(error["message"])


def test_an_error_with_details_is_told_in_a_phrase() -> None:
    assert handled(exceptions.ValidationError({"name": ["taken"]}))[1]["message"] == "Bad Request"


def test_what_is_no_api_error_travels_on() -> None:
    assert drf_exception_handler(ValueError(), {"view": View()}) is None
