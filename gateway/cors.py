"""Which web pages may ask the API from a browser, and the headers that let the browser pass it on.

Credentials of the browser (cookies) are never allowed: the API reads none, a page sends its key itself.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from gateway.messages import Inbound, Reply

ANY = "*"
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[a-z0-9_-]+(\.[a-z0-9_-]+)*)(:[0-9]{1,5})?")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_NAMES = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+(?:[ \t]*,[ \t]*[A-Za-z0-9!#$%&'*+.^_`|~-]+)*")
_LONGEST_NAMES = 4096
_METHODS = "GET, HEAD, POST, DELETE, OPTIONS"
_USUAL_HEADERS = "authorization, content-type"
_MAX_AGE = "7200"  # the longest that Chromium keeps it


def is_origin(text: str) -> bool:
    """Whether a browser could send this as the origin of a page, beside its case and default port."""
    return _ORIGIN.fullmatch(text.lower()) is not None


def _as_sent(text: str) -> str:
    """The origin as browsers spell it: lower-case, without the scheme's own port."""
    origin = text.lower()
    return origin.removesuffix(_DEFAULT_PORTS.get(origin.partition("://")[0], " "))


@dataclass(frozen=True, slots=True)
class Cors:
    """The origins of `CORS_ORIGINS`; `any`: pages of every origin may ask."""

    origins: frozenset[str]
    any: bool

    @classmethod
    def of(cls, origins: Iterable[str]) -> "Cors | None":
        """None: no page may ask, and no answer has a header for it."""
        named = frozenset(map(_as_sent, origins))
        return cls(named - {ANY}, ANY in named) if named else None

    def preflight(self, inbound: Inbound) -> Reply | None:
        """The answer to a browser that asks whether its page may send a request, still to be `marked`.

        None: it is no such question.
        """
        asked = inbound.headers
        if inbound.method != "OPTIONS" or "access-control-request-method" not in asked:
            return None
        names = asked.get("access-control-request-headers", "")
        sound = len(names) <= _LONGEST_NAMES and _NAMES.fullmatch(names)
        vary = "origin, access-control-request-method, access-control-request-headers"
        headers = {"x-request-id": inbound.request_id, "vary": vary}
        if self._allowed(inbound):
            headers |= {
                "access-control-allow-methods": _METHODS,
                "access-control-allow-headers": names if sound else _USUAL_HEADERS,
                "access-control-max-age": _MAX_AGE,
            }
        return Reply(204, headers, b"")

    def marked(self, reply: Reply, inbound: Inbound) -> Reply:
        """The same answer, readable for the page that asked if it may be."""
        headers = dict(reply.headers)
        if not self.any:  # also without an origin: a cache must not give this answer to a page
            headers.setdefault("vary", "origin")
        if allowed := self._allowed(inbound):
            headers["access-control-allow-origin"] = allowed
            shown = [name for name in reply.headers if name.startswith(("x-", "retry-after", "request-id"))]
            if shown:
                headers["access-control-expose-headers"] = ", ".join(shown)
        return replace(reply, headers=headers)

    def _allowed(self, inbound: Inbound) -> str:
        """The origin that is let in, as the browser has it; "": none."""
        origin = inbound.headers.get("origin", "")
        if not origin:
            return ""
        return ANY if self.any else origin if origin in self.origins else ""
