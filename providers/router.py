"""The live side of routing in one process: credits of the round robin, and who is ejected."""

import time
from collections.abc import Collection, Mapping

from providers import routing
from providers.health import Health
from providers.snapshot import ServedModel


class Router:
    """Orders a model's deployments by shares and health."""

    def __init__(self) -> None:
        self.health = Health()
        self._credits: dict[str, dict[int, int]] = {}

    def order(self, model: ServedModel, tried: Collection[int] = ()) -> tuple[list[int], Mapping[int, int]]:
        """The ids to ask, best first, and what `charge` needs of this step."""
        left = [share.id for share in model.shares if share.id not in tried]
        out = self.health.ejected(left, time.monotonic()) | set(tried)
        return routing.order(model.shares, self._credits.get(model.name, {}), out)

    def charge(self, model: ServedModel, gained: Mapping[int, int], asked: int) -> None:
        """Note which deployment the step went to."""
        self._credits[model.name] = routing.charge(model.shares, gained, asked)

    def forget(self, kept: set[int]) -> None:
        """Drop what is known of deployments that no longer exist."""
        self.health.forget(kept)
        for name, credits in self._credits.items():
            self._credits[name] = {id: credit for id, credit in credits.items() if id in kept}
