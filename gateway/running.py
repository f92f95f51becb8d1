"""How many requests run at deployments of this gateway now, asked of its server by pages and commands."""

from collections.abc import Mapping

from django.conf import settings

from gateway.control_client import ControlError, ask


def in_flight(seconds: float = 0.5) -> Mapping[int, int] | None:
    """A deployment's id -> attempts under way; None: no server runs here, or not every worker answered."""
    try:
        told = ask(settings.DATA_DIR, {"op": "in_flight"}, seconds)
    except ControlError:
        return None
    return None if told["silent"] else {int(id): count for id, count in told["in_flight"].items()}
