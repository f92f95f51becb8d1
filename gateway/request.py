"""A client's request while it is served: who asks for what, until when, with which tags."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf, isfinite
from types import MappingProxyType

from gateway.calls import Call
from gateway.errors import ApiError
from gateway.messages import Inbound
from gateway.runtime import Gateway
from gateway.surfaces.base import Surface
from keys.entries import Entry, Standing
from providers import tags
from providers.dialects import COUNT_TOKENS, TRANSLATED
from providers.fallbacks import On
from providers.routing import NO_ONE_PASSED, Passed
from providers.snapshot import ServedModel, Snapshot

_TAG_HEADERS = ("x-switchyard-tags", "x-litellm-tags")
_TIMEOUT_HEADERS = ("x-switchyard-timeout", "x-litellm-timeout")


@dataclass(frozen=True, slots=True)
class Instead:
    """That a model is asked instead of another one, and after which kind of error."""

    of: str
    on: On
    to: str


@dataclass(frozen=True, slots=True)
class Pin:
    """What a request refers to is at this deployment; others of the same provider know it too."""

    deployment: int
    provider: str


@dataclass(slots=True)
class Request:
    """`until`: its deadline on the monotonic clock, set by the model that was asked for.

    `path`: where it goes at a provider, if not to its endpoint. `pin`: who alone can serve it. `names`: of
    what it refers to, the provider's id and the client's name; `edits`: fields of its body that hold other
    values there.
    """

    gateway: Gateway
    snapshot: Snapshot
    caller: Entry
    call: Call
    inbound: Inbound
    surface: Surface
    path: str = ""
    pin: Pin | None = None
    names: Mapping[str, str] = MappingProxyType({})
    edits: Mapping[str, bytes | None] = MappingProxyType({})
    until: float = inf
    standing: Standing = field(init=False)
    _tags: frozenset[str] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Limits and configuration of one moment, also for a model that is asked instead later."""
        self.standing = self.gateway.keys.standing

    @property
    def id(self) -> str:
        """The same in every row and answer."""
        return self.inbound.request_id

    def seconds_left(self) -> float:
        return self.until - time.monotonic()

    @property
    def owner(self) -> str:
        """Whose the things are that it makes at a provider."""
        return self.caller.owner

    def left_out(self, model: ServedModel) -> Mapping[int, Passed]:
        """Deployments of a model that cannot serve it, whatever their state."""
        name = self.surface.name
        if self.pin is not None:
            return _elsewhere(model, self.pin)
        if name == COUNT_TOKENS:
            return _out(id for id, target in model.targets.items() if name not in target.speech.native)
        if name in TRANSLATED:
            return NO_ONE_PASSED
        return _out(id for id, target in model.targets.items() if not target.speech.others)

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


def _out(ids: Iterable[int]) -> Mapping[int, Passed]:
    return dict.fromkeys(ids, Passed.SURFACE)


def _elsewhere(model: ServedModel, pin: Pin) -> Mapping[int, Passed]:
    targets = model.targets
    if pin.deployment in targets:
        return dict.fromkeys(targets.keys() - {pin.deployment}, Passed.ELSEWHERE)
    others = (id for id, target in targets.items() if target.provider != pin.provider)
    return dict.fromkeys(others, Passed.ELSEWHERE)


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
