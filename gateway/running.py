"""What runs at deployments of this gateway now, and which are put aside: asked of its server by pages."""

from django.conf import settings

from gateway.control_client import ControlError, ask
from providers.running import Running


def running(seconds: float = 0.5) -> Running | None:
    """None: no server runs here, or not every worker answered."""
    try:
        told = ask(settings.DATA_DIR, {"op": "in_flight"}, seconds)
    except ControlError:
        return None
    if told["silent"]:
        return None
    return Running(
        {int(id): count for id, count in told["in_flight"].items()},
        {int(id): left for id, left in told["aside"].items()},
        {int(id): status for id, status in told["wrong"].items()},
    )
