"""What the record of a choice is made of, at the moment when it is made."""

from dataclasses import dataclass

from gateway.asking import Asking
from gateway.request import Instead, Request
from providers import decisions
from providers.decisions import USUAL, Circumstances, Fate
from providers.router import Order
from providers.snapshot import ServedModel


@dataclass(frozen=True, slots=True)
class Case:
    """A request at one model: what is decided of it, and why it came there; times are in seconds."""

    request: Request
    model: ServedModel
    asking: Asking
    came_from: Instead | None = None

    def choice(self, order: Order, slot: int, *, again: bool = False, waited: float = 0.0) -> str:
        """The record of whose `slot` was taken; `again`: on a new connection."""
        model = self.model
        return decisions.record(
            model.strategy.value,
            order,
            model.targets,
            slot,
            circumstances=self._circumstances(),
            blocked=self.asking.blocked,
            again=again,
            ramped=order.shares is not model.shares,
            queued_ms=int(waited * 1000),
        )

    def refusal(self, order: Order, note: str, *, waited: float = 0.0, tried: bool = True) -> str:
        """The record of a request that nobody got; `tried`: none of the deployments had room."""
        model = self.model
        return decisions.record(
            model.strategy.value,
            order,
            model.targets,
            None,
            circumstances=self._circumstances(),
            blocked=self.asking.blocked if tried else _untried,
            ramped=order.shares is not model.shares,
            queued_ms=int(waited * 1000),
            note=note,
        )

    def _circumstances(self) -> Circumstances:
        asked, tags = self.request.call.model, self.request.given_tags()
        if self.came_from is not None:
            before = self.came_from.of
            return Circumstances("" if asked == before else asked, tags, before, self.came_from.on.value)
        if asked != self.model.name:
            return Circumstances(asked, tags)
        return Circumstances(tags=tags) if tags else USUAL


def _untried(_: int) -> Fate:
    return Fate.NEXT
