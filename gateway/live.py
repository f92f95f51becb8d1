"""What the control socket answers: one function for each operation, registered in `answer`."""

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
        """`{"version", "in_flight": {deployment id: attempts under way}}` of this worker."""
        running = {str(id): count for id, count in gateway.books.in_flight.by_id().items()}
        return {"version": gateway.snapshot.version, "in_flight": running}

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
    """The sums, and the oldest configuration version that a worker routes by."""
    sums: Counter[str] = Counter()
    for part in parts:
        sums.update(part["in_flight"])
    return {"version": min(part["version"] for part in parts), "in_flight": dict(sums)}
