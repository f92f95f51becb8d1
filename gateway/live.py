"""What the control socket answers: one function for each operation, registered in `answer`."""

import time
from collections import Counter
from collections.abc import Sequence

from gateway import gauges
from gateway.control import Operation
from gateway.control_client import ControlError, Message
from gateway.errors import ApiError
from gateway.foreseeing import foresee, question_of
from gateway.runtime import Gateway


def answer(gateway: Gateway) -> None:
    """Register every operation; once for a worker, before it starts."""

    async def in_flight(message: Message) -> Message:
        """`{"version", "in_flight", "aside", "wrong"}` of this worker, by deployment id.

        Attempts under way; seconds until it may be asked again; the status that says it is set up wrongly.
        """
        health = gateway.router.health
        return {
            "version": gateway.snapshot.version,
            "in_flight": {str(id): count for id, count in gateway.books.in_flight.by_id().items()},
            "aside": {str(id): left for id, left in health.put_aside(time.monotonic()).items()},
            "wrong": {str(id): status for id, status in health.wrong().items()},
        }

    async def read_gauges(message: Message) -> Message:
        return gauges.read(gateway)

    async def explain(message: Message) -> Message:
        """What would become of the request that `model`, `key`, `tags` and `stream` describe."""
        try:
            return await foresee(gateway, question_of(message))
        except ApiError as error:
            raise ControlError(str(error)) from None

    gateway.control.add("explain", Operation(explain))
    gateway.control.add("in_flight", Operation(in_flight, gather_in_flight))
    gateway.control.add(gauges.OPERATION, Operation(read_gauges, gauges.gather))


def gather_in_flight(parts: Sequence[Message]) -> Message:
    """The sums, the longest times, and the oldest configuration version that a worker routes by."""
    sums: Counter[str] = Counter()
    aside: dict[str, float] = {}
    wrong: dict[str, int] = {}
    for part in parts:
        sums.update(part["in_flight"])
        for id, left in part["aside"].items():
            aside[id] = max(left, aside.get(id, 0.0))
        wrong |= part["wrong"]
    version = min(part["version"] for part in parts)
    return {"version": version, "in_flight": dict(sums), "aside": aside, "wrong": wrong}
