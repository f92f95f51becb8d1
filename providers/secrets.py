"""Secrets at rest: AES-256-GCM, bound to the place they belong to; and which variables may be referred to."""

import base64
import fnmatch
import hashlib
import os
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

# The gateway's own secrets: no pattern of SECRET_REFERENCES ever opens these to a provider.
OWN_SECRETS = frozenset(
    {
        "SECRET_KEY",
        "SECRET_KEY_FALLBACKS",
        "SWITCHYARD_ENCRYPTION_KEYS",
        "SWITCHYARD_MASTER_KEY",
        "LITELLM_MASTER_KEY",
        "OPENWEBUI_JWT_SECRET",
        "DATABASE_URL",
        "REDIS_URL",
        "DJANGO_SUPERUSER_PASSWORD",
    }
)
_KEY_ID, _NONCE = 8, 12  # bytes
_OTHER_KEY = "sealed with a key that this installation does not have"


class Unreadable(Exception):
    """A sealed value that this installation cannot open: another key, or moved from another row."""


@lru_cache(maxsize=4)
def _keys(given: tuple[str, ...], secret_keys: tuple[str, ...]) -> dict[str, bytes]:
    raw = [base64.b64decode(key) for key in given]
    raw += [
        HKDF(SHA256(), 32, None, b"switchyard secrets at rest").derive(key.encode()) for key in secret_keys
    ]
    return {hashlib.sha256(key).hexdigest()[:_KEY_ID]: key for key in raw}


def _keyring() -> dict[str, bytes]:
    """Key id -> 32 bytes; the first one seals, all unseal."""
    return _keys(tuple(settings.ENCRYPTION_KEYS), (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))


def seal(plain: str, place: str) -> str:
    """Encrypt for one place (table/row/field); the same text opens nowhere else."""
    key_id, sealed = _encrypt(plain.encode(), place.encode())
    return f"v1.{key_id}.{base64.b64encode(sealed).decode()}"


def unseal(text: str, place: str) -> str:
    """Decrypt what `seal` made for this place, else `Unreadable`; never returns ciphertext."""
    try:
        version, key_id, body = text.split(".", 2)
        raw = base64.b64decode(body, validate=True)
    except ValueError:
        raise Unreadable("not a sealed value") from None
    try:
        if version == "v1":
            return _decrypt(key_id, raw, place.encode()).decode()
    except InvalidTag:
        raise Unreadable("sealed for another row, or damaged") from None
    raise Unreadable(_OTHER_KEY)


def seal_bytes(plain: bytes, place: bytes) -> bytes:
    """The same of bytes, at length."""
    key_id, sealed = _encrypt(plain, place)
    return key_id.encode() + sealed


def unseal_bytes(sealed: bytes, place: bytes) -> bytes:
    """Decrypt what `seal_bytes` made for this place, else `Unreadable`."""
    try:
        return _decrypt(sealed[:_KEY_ID].decode("latin-1"), sealed[_KEY_ID:], place)
    except InvalidTag:
        raise Unreadable("damaged, or moved from another place") from None


def _encrypt(plain: bytes, place: bytes) -> tuple[str, bytes]:
    key_id, key = next(iter(_keyring().items()))
    nonce = os.urandom(_NONCE)
    return key_id, nonce + AESGCM(key).encrypt(nonce, plain, place)


def _decrypt(key_id: str, sealed: bytes, place: bytes) -> bytes:
    """Raises `InvalidTag`, or `Unreadable` when the key is not there."""
    key = _keyring().get(key_id)
    if key is None:
        raise Unreadable(_OTHER_KEY)
    if len(sealed) < _NONCE:
        raise InvalidTag
    return AESGCM(key).decrypt(sealed[:_NONCE], sealed[_NONCE:], place)


def may_refer_to(name: str) -> bool:
    """Whether configuration may name this environment variable."""
    patterns = map(str.strip, settings.SECRET_REFERENCES)
    return name not in OWN_SECRETS and any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def referred(name: str) -> str:
    """The value of an allowed variable, or "" when unset."""
    return os.environ.get(name, "") if may_refer_to(name) else ""
