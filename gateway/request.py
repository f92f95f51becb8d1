"""A client's request while it is served: who asks for what, until when, with which tags."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf, isfinite

from gateway.calls import Call
from gateway.errors import ApiError
from gateway.messages import Inbound
from gateway.runtime import Gateway
from keys.entries import Entry, Standing
from providers import tags
from providers.fallbacks import On
from providers.snapshot import ServedModel, Snapshot

_TAG_HEADERS = ("x-switchyard-tags", "x-litellm-tags")
_TIMEOUT_HEADERS = ("x-switchyard-timeout", "x-litellm-timeout")


@dataclass(frozen=True, slots=True)
class Instead:
    """That a model is asked instead of another one, and after which kind of error."""

    of: str
    on: On
    to: str


@dataclass(slots=True)
class Request:
    """`until`: its deadline on the monotonic clock, set by the model that was asked for."""

    gateway: Gateway
    snapshot: Snapshot
    caller: Entry
    call: Call
    inbound: Inbound
    id: str
    until: float = inf
    standing: Standing = field(init=False)
    _tags: frozenset[str] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Limits and configuration of one moment, also for a model that is asked instead later."""
        self.standing = self.gateway.keys.standing

    def seconds_left(self) -> float:
        return self.until - time.monotonic()

    def tags(self, model: ServedModel) -> frozenset[str]:
        """Those of the request, its key and team, if the model looks at any."""
        return self.given_tags() if model.tagged else tags.NONE

    def line_tags(self, model: ServedModel) -> frozenset[str]:
        """Those of them that some deployment has: others make no difference, and clients may send any."""
        given = self.tags(model)
        return given and given & frozenset[str]().union(*(target.tags for target in model.targets.values()))

    def given_tags(self) -> frozenset[str]:
        """The same, whether its model looks at them or not."""
        if self._tags is None:
            headers = self.inbound.headers
            told = [text for name in _TAG_HEADERS if (text := headers.get(name))]
            named = [tag for text in told for tag in text.split(",")]
            named += self.call.tags or ()
            self._tags = tags.clean(named) | self.caller.tags if named else self.caller.tags
        return self._tags


def seconds_allowed(headers: Mapping[str, str]) -> float:
    """How long the client wants to wait at most. Raises `ApiError` 400."""
    for name in _TIMEOUT_HEADERS:
        if text := headers.get(name):
            try:
                seconds = float(text)
            except ValueError:
                seconds = 0.0
            if not (isfinite(seconds) and seconds > 0):
                message = f"The header {name} holds a number of seconds above 0."
                raise ApiError(400, message, code="invalid_request", param=name)
            return seconds
    return inf
