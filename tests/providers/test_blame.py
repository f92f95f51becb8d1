"""Whose doing an error is, by what providers really say."""

from typing import Any

import pytest

from providers.blame import is_of_request, may_be_of_request

OF_REQUESTS: list[Any] = [
    {"object": "error", "message": "x", "type": "BadRequestError", "code": 400},
    {"message": "x", "type": "invalid_request_error", "code": None},
    {"message": "x", "code": "413"},
    {"code": "invalid_prompt", "message": "x"},
    {"code": "image_too_small", "message": "x"},
    {"code": "unsupported_image_media_type", "message": "x"},
    {"code": "empty_image_file", "message": "x"},
    {"code": 403, "message": "Your input was flagged by the moderation"},
    {"type": "server_error", "message": "This model's maximum context length is 10 tokens"},
    "content_filter",
]
OF_PROVIDERS: list[Any] = [
    None,
    True,
    [],
    {},
    "overloaded",
    {"code": "server_error", "message": "x"},
    {"code": "rate_limit_exceeded", "message": "x"},
    {"code": 429, "message": "x"},
    {"code": 502, "message": "x", "type": "invalid_request_error"},
    {"code": 401, "message": "x"},
    {"code": "invalid_api_key", "type": "invalid_request_error", "message": "x"},
    {"code": {"a": 1}, "type": [], "message": None},
]


@pytest.mark.parametrize("error", OF_REQUESTS, ids=str)
def test_an_error_of_the_request(error: object) -> None:
    assert is_of_request(error)


@pytest.mark.parametrize("error", OF_PROVIDERS, ids=str)
def test_an_error_of_the_provider(error: object) -> None:
    assert not is_of_request(error)


SENT = b'{"model":"m","tools":[{"type":"file_search","vector_store_ids":["vs_none","big-model"]}]}'


@pytest.mark.parametrize(
    ("status", "told", "answer"),
    [
        (404, b"Vector store with id ['vs_none'] not found.", True),
        (403, b"no access to vs_none", True),
        (404, b"The model `big-model` does not exist", False),
        (404, b'{"detail":"Not Found"}', False),
        (404, b"vs_no is not there", False),  # what it says is no whole text of the request
        (403, b"Your project has no access", False),
        (403, b"content_policy", True),
        (409, b"", True),
        (429, b"Request too large for big-model", True),
        (429, b"Rate limit reached for big-model", False),
        (500, b"vs_none", False),
    ],
)
def test_what_a_status_says_of_the_request(status: int, told: bytes, answer: bool) -> None:
    assert may_be_of_request(status, told, SENT, "org/big-model") is answer
