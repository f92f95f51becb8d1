"""Names for what lives at one provider: its id there, sealed with where it is and whose it is.

All of a gateway's clients share an account there, so the provider's own id would open a thing to anybody who
could name it, in a prompt for instance. A name therefore hides the id, and the same thing has the same name.
"""

import base64
import binascii
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from django.conf import settings

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
    place = handle.place.encode()
    content = bytes((1, len(place))) + place + handle.id.encode()
    return _KINDS[handle.kind] + _text(_ciphers()[0].encrypt(content, _said(handle.kind, owner)))


def unseal(kind: str, text: str, owner: str) -> Handle | None:
    """What `seal` made for this owner; None for anything else, another owner's too."""
    prefix = _KINDS[kind]
    if not text.startswith(prefix) or len(text) > _LONGEST:
        return None
    try:
        sealed = base64.urlsafe_b64decode(text.removeprefix(prefix) + "==")
    except (binascii.Error, ValueError):
        return None
    for cipher in _ciphers():
        try:
            content = cipher.decrypt(sealed, _said(kind, owner))
        except (InvalidTag, ValueError):  # another key's, owner's or kind's; shorter than any
            continue
        end = 2 + content[1]
        return Handle(kind, content[2:end].decode(), content[end:].decode())
    return None


def _said(kind: str, owner: str) -> list[bytes]:
    """What a name is bound to without holding it."""
    return [kind.encode(), owner.encode()]


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _ciphers() -> Sequence[AESSIV]:
    """The first one seals, all unseal."""
    return _derived((settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))


@lru_cache(maxsize=4)
def _derived(secrets: tuple[str, ...]) -> tuple[AESSIV, ...]:
    # SIV: without a nonce, the same content gives the same name and nothing else is told of it
    return tuple(AESSIV(hmac.digest(secret.encode(), b"switchyard handles", "sha512")) for secret in secrets)
