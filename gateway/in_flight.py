"""How many attempts one worker has under way at each deployment, streams included."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(slots=True)
class Running:
    """Attempts at one deployment; the names are those of when it was first asked."""

    id: int
    model: str
    deployment: str
    count: int = 0


class InFlight:
    """Told by attempts: exactly one `ended` follows each `began`."""

    def __init__(self) -> None:
        self._running: dict[int, Running] = {}

    def __iter__(self) -> Iterator[Running]:
        return iter(self._running.values())

    def began(self, id: int, model: str, deployment: str) -> None:
        running = self._running.get(id)
        if running is None:
            running = self._running[id] = Running(id, model, deployment)
        running.count += 1

    def ended(self, id: int) -> None:
        self._running[id].count -= 1

    def by_id(self) -> dict[int, int]:
        """Deployments that have something under way -> how much."""
        return {running.id: running.count for running in self if running.count}

    def forget_idle(self) -> None:
        """Drop what has nothing under way: it may be gone, or have another name now."""
        self._running = {id: running for id, running in self._running.items() if running.count}
