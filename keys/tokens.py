"""API keys as text: `sk-sy-<12 public>-<40 secret><6 crc>`, and what is kept of them."""

import binascii
import hashlib
import hmac
import secrets
from dataclasses import dataclass

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PREFIX = "sk-sy-"
_PUBLIC, _SECRET, _CRC = 12, 40, 6
_LENGTH = len(PREFIX) + _PUBLIC + 1 + _SECRET + _CRC
# Longer than any provider's key: what exceeds it is rubbish and is not hashed.
LONGEST = 512


@dataclass(frozen=True, slots=True)
class Pepper:
    """A server-side secret; `id` (8 hex digits) is kept beside each verifier made with it."""

    id: str
    secret: bytes


def pepper_from(secret_key: str) -> Pepper:
    """The pepper that belongs to a SECRET_KEY."""
    secret = hmac.digest(secret_key.encode(), b"switchyard api key pepper", "sha256")
    return Pepper(hashlib.sha256(secret).hexdigest()[:8], secret)


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _crc(text: str) -> str:
    number = binascii.crc32(text.encode())
    digits = ""
    for _ in range(_CRC):
        number, digit = divmod(number, 62)
        digits = _ALPHABET[digit] + digits
    return digits


def generate() -> str:
    """A new key: 238 bits of secret."""
    body = f"{PREFIX}{_random(_PUBLIC)}-{_random(_SECRET)}"
    return body + _crc(body)


def is_ours(text: str) -> bool:
    """Whether it has the form and checksum of a key made here; costs no look-up."""
    return (
        len(text) == _LENGTH
        and text.startswith(PREFIX)
        and text.isascii()
        and text[len(PREFIX) + _PUBLIC] == "-"
        and hmac.compare_digest(_crc(text[:-_CRC]), text[-_CRC:])
    )


def public_id(text: str, pepper: Pepper) -> str:
    """What a key is found by: its public part, or for a foreign key (another gateway's) a digest."""
    if is_ours(text):
        return text[len(PREFIX) : len(PREFIX) + _PUBLIC]
    return "x" + hmac.digest(pepper.secret, b"id " + text.encode(), "sha256").hex()[:23]


def verifier(text: str, pepper: Pepper) -> str:
    """The peppered HMAC-SHA256 of the whole key, 64 hex digits."""
    return hmac.digest(pepper.secret, b"verify " + text.encode(), "sha256").hex()


def matches(text: str, pepper: Pepper, expected: str) -> bool:
    """Whether the key has this verifier; takes the same time for every wrong key."""
    return hmac.compare_digest(verifier(text, pepper), expected)


def hint(text: str) -> str:
    """A beginning that tells keys apart in a list and gives nothing away."""
    return f"{text[: len(PREFIX) + 4]}…" if is_ours(text) else f"{text[:3]}…" if len(text) > 12 else "…"
