"""Whom a request is for: the user of a signed Open WebUI token, of a trusted header, or of the body."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

import jwt
import structlog
from jwt.types import Options
from jwt.warnings import InsecureKeyLengthWarning

log = structlog.get_logger(__name__)
# As wide as the columns that hold it.
LONGEST = 256
TOKEN_HEADER = "x-openwebui-user-jwt"  # noqa: S105  a name
_ISSUER = "open-webui"
_LONGEST_TOKEN = 4096
_MOST_TOKENS = 4096
_QUIET_SECONDS = 60.0
# Times are compared with the caller's clock. `iat` is not: it protects nothing, and clocks differ.
_OPTIONS: Options = {
    "require": ["exp"],
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
}
# `manage.py check` says so, with what to do.
warnings.filterwarnings("ignore", category=InsecureKeyLengthWarning)


def end_user_of(
    headers: Mapping[str, str], body_user: str, trusted_header: str, jwt_secret: str, now: float
) -> str:
    """The end user's name, at most 256 printable characters, or "" when nobody is named.

    Header names are lower-case, values latin-1 as they came. A `trusted_header` or `jwt_secret` of "" is a
    source that is not looked at. What cannot be trusted is passed over, never refused.
    """
    if jwt_secret and (token := headers.get(TOKEN_HEADER)):
        name = _tokens.user(token, jwt_secret, now)
        if name:
            return name
    if trusted_header and (value := headers.get(trusted_header.lower())):
        name = _tidy(_decoded(value))
        if name:
            return name
    return _tidy(body_user)


def _decoded(value: str) -> str:
    """Open WebUI sends names percent-encoded, others as plain UTF-8, which HTTP hands on as latin-1."""
    try:
        return unquote_to_bytes(value.encode("latin-1")).decode()
    except UnicodeError:
        return value


def _tidy(text: str) -> str:
    """No blanks at the ends. What does not show is marked: left out, it could hide in a name."""
    text = text.strip()[:LONGEST].rstrip()
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else "\ufffd" for char in text)


class _Untrusted(Exception):
    """A token that names nobody; the argument is why, in a word or two."""


@dataclass(frozen=True, slots=True)
class _Verified:
    """Whom a token names, and until when."""

    name: str
    expires_at: float


class _Tokens:
    """Signed tokens as users. The last ones are remembered: one is verified in 35 us, and may come again."""

    def __init__(self) -> None:
        self._verified: dict[tuple[str, str], _Verified] = {}
        self._untrusted: dict[str, int] = {}
        self._told_at: dict[str, float] = {}

    def user(self, token: str, secret: str, now: float) -> str:
        """The name in a token that is valid now, else ""."""
        known = self._verified.get((token, secret))
        if known is not None and now < known.expires_at:
            return known.name
        try:
            verified = _verify(token, secret, now)
        except _Untrusted as why:
            self._complain(str(why), now)
            return ""
        if len(self._verified) >= _MOST_TOKENS:
            del self._verified[next(iter(self._verified))]
        self._verified[token, secret] = verified
        return verified.name

    def _complain(self, why: str, now: float) -> None:
        """Log each reason at most once a minute, with how often it came since."""
        self._untrusted[why] = self._untrusted.get(why, 0) + 1
        if now >= self._told_at.get(why, 0.0) + _QUIET_SECONDS:
            self._told_at[why] = now
            log.warning("end_user_token_ignored", why=why, times=self._untrusted.pop(why))


_tokens = _Tokens()


def _verify(token: str, secret: str, now: float) -> _Verified:
    """Raises `_Untrusted` for every token but a valid one of Open WebUI's with an expiry."""
    if len(token) > _LONGEST_TOKEN:
        raise _Untrusted("too long")
    try:
        claims = jwt.decode(token, secret, algorithms=["HS256"], options=_OPTIONS)
    except jwt.InvalidAlgorithmError:
        raise _Untrusted("other algorithm than HS256") from None
    except jwt.InvalidSignatureError:
        raise _Untrusted("wrong signature") from None
    except jwt.MissingRequiredClaimError:
        raise _Untrusted("no expiry") from None
    except jwt.PyJWTError:
        raise _Untrusted("malformed") from None
    return _Verified(_name(claims), _expiry(claims, now))


def _expiry(claims: Mapping[str, object], now: float) -> float:
    expires_at = _moment(claims["exp"])
    if not now < expires_at:
        raise _Untrusted("expired")
    if not _moment(claims.get("nbf", now)) <= now:
        raise _Untrusted("not valid yet")
    return expires_at


def _moment(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise _Untrusted("malformed")


def _name(claims: Mapping[str, object]) -> str:
    """The e-mail address, as operators know people, else Open WebUI's own id of them."""
    if claims.get("iss", _ISSUER) != _ISSUER:
        raise _Untrusted("another issuer")
    for claim in ("email", "sub"):
        value = claims.get(claim)
        if isinstance(value, str) and (name := _tidy(value)):
            return name
    raise _Untrusted("names nobody")
