"""Whose doing an error is: what clients choose to send is never held against a deployment."""

import re
from collections.abc import Mapping

import msgspec

from providers.fallbacks import On, cause_of
from providers.retries import Next, after_status

# What OpenAI's responses fail with that are the request's own doing, beside those of pictures.
_OF_REQUESTS = frozenset(
    {"invalid_prompt", "vector_store_timeout", "failed_to_download_image", "bad_request"}
)
_OF_PICTURES = re.compile(
    r"(?:invalid|empty|unsupported)_(?:image|base64_image)\w*|image_\w+|unsupported_image\w+"
)
_BAD_REQUEST = frozenset(
    {"invalid_request_error", "badrequesterror", "bad_request_error", "request_too_large"}
)
# Told as a bad request, though the operator named the model and gave the key.
_OF_OPERATORS = frozenset({"invalid_api_key", "model_not_found"})
_TOO_MUCH_AT_ONCE = b"request too large"
_WORD = re.compile(rb"[A-Za-z0-9]+[_-][A-Za-z0-9_.:-]+")


def is_of_request(error: object) -> bool:
    """Whether an error that came with status 200 or in a stream is about the request itself."""
    if isinstance(error, str):
        return cause_of(error.encode()) is not On.ANY
    if not isinstance(error, Mapping):
        return False
    code, kind = error.get("code"), error.get("type")
    if isinstance(code, str) and code.isdecimal() and len(code) == 3:
        code = int(code)
    if isinstance(code, int) and 400 <= code < 600:
        return after_status(code) is Next.FINAL or cause_of(msgspec.json.encode(error)) is not On.ANY
    if isinstance(code, str) and code in _OF_OPERATORS:
        return False
    if isinstance(code, str) and (code in _OF_REQUESTS or _OF_PICTURES.fullmatch(code)):
        return True
    if isinstance(kind, str) and kind.lower() in _BAD_REQUEST:
        return True
    return cause_of(msgspec.json.encode(error)) is not On.ANY


def may_be_of_request(status: int, told: bytes, sent: bytes, upstream_model: str) -> bool:
    """Whether the request may be why a provider answered this status with these words.

    `sent` is the client's own body. 409: what it named is busy. 403 and 404: it was refused for what it says,
    or what it named (a store, a prompt, a conversation) is not there. 429: one request is more than a minute
    has, which no waiting mends.
    """
    match status:
        case 409:
            return True
        case 429:
            return _TOO_MUCH_AT_ONCE in told.lower()
        case 403:
            return cause_of(told) is On.CONTENT_POLICY or _names_of(told, sent, upstream_model)
        case 404:
            return _names_of(told, sent, upstream_model)
    return False


def _names_of(told: bytes, sent: bytes, upstream_model: str) -> bool:
    """Whether what is told names something other than the model that is a whole text in what was sent."""
    model = upstream_model.encode()
    return any(b'"' + word + b'"' in sent for word in set(_WORD.findall(told)) if word not in model)
