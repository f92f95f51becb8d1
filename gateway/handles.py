"""Names for what lives at one provider: its id there, sealed with where it is and whose it is.

All of a gateway's clients share an account there, so the provider's own id would open a thing to anybody who
could name it, in a prompt for instance. A name therefore hides the id, and the same thing has the same name.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from django.conf import settings

_MAC = 12  # bytes
_OWNER = 8
_LONGEST = 1024
_KINDS = {"resp": "resp_sy", "file": "file-sy", "batch": "batch_sy"}


@dataclass(frozen=True, slots=True)
class Handle:
    """`place`: a deployment's or a provider's id; `id`: the provider's own name of the thing."""

    kind: str
    place: str
    id: str


def seal(handle: Handle, owner: str) -> str:
    """The name that clients of this owner get."""
    place, key = handle.place.encode(), _keys()[0]
    content = bytes((1, len(place))) + place + _owner(owner) + handle.id.encode()
    mac = _mac(key, handle.kind, content)
    return _KINDS[handle.kind] + _text(mac + _veiled(key, mac, content))


def unseal(kind: str, text: str, owner: str) -> Handle | None:
    """What `seal` made for this owner; None for anything else, another owner's too."""
    prefix = _KINDS[kind]
    if not text.startswith(prefix) or len(text) > _LONGEST:
        return None
    try:
        sealed = base64.urlsafe_b64decode(text.removeprefix(prefix) + "==")
    except (binascii.Error, ValueError):
        return None
    mac, veiled = sealed[:_MAC], sealed[_MAC:]
    opened = ((key, _veiled(key, mac, veiled)) for key in _keys())
    content = next((told for key, told in opened if hmac.compare_digest(mac, _mac(key, kind, told))), None)
    if content is None:
        return None
    end = 2 + content[1]
    if content[end : end + _OWNER] != _owner(owner):
        return None
    return Handle(kind, content[2:end].decode(), content[end + _OWNER :].decode())


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _owner(owner: str) -> bytes:
    return hashlib.sha256(owner.encode()).digest()[:_OWNER]


def _mac(key: bytes, kind: str, content: bytes) -> bytes:
    return hmac.digest(key, kind.encode() + content, "sha256")[:_MAC]


def _veiled(key: bytes, mac: bytes, content: bytes) -> bytes:
    """Hidden, or seen again: the tag of what is hidden is the nonce, so the same content looks the same."""
    # SHAKE is no plain hash: a key before the message is sound with it
    stream = hashlib.shake_256(key + mac).digest(len(content))
    return bytes(a ^ b for a, b in zip(content, stream, strict=True))


def _keys() -> Sequence[bytes]:
    """The first one seals, all unseal."""
    return _derived((settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))


@lru_cache(maxsize=4)
def _derived(secrets: tuple[str, ...]) -> tuple[bytes, ...]:
    return tuple(hmac.digest(secret.encode(), b"switchyard handles", "sha256") for secret in secrets)
