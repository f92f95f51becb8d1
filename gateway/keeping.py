"""What is kept of one attempt when its key or team keeps prompts and answers."""

from gateway.assembly import Assembly, TypedAssembly
from usage.drafts import MARGIN, Draft
from usage.records import Settled

PLAIN_WIRES = frozenset({"chat/completions", "completions"})


class Keeping:
    """Collects an exchange: the request as the client sent it, and the answer as far as it came."""

    def __init__(self, request: bytes, *, days: int | None, most: int) -> None:
        self._request = request
        self._days = days
        self._most = most
        self._answer = b""
        self._complete = False
        self._stream: Assembly | TypedAssembly | None = None

    def whole(self, body: bytes) -> None:
        """An answer that is no stream, or a provider's error."""
        self._answer = body
        self._complete = True

    def stream(self, wire: str) -> Assembly | TypedAssembly:
        """What the events of a stream of this wire are to be added to."""
        most = self._most + MARGIN
        self._stream = Assembly(most) if wire in PLAIN_WIRES else TypedAssembly(most)
        return self._stream

    def draft(self, row: Settled) -> Draft:
        """All of it, cut to size."""
        complete, answer, beyond = self._complete, self._answer, 0
        if self._stream is not None:
            complete, (answer, beyond) = self._stream.complete, self._stream.json()
        room = self._most + MARGIN
        return Draft(
            attempt_id=row.attempt_id,
            request_id=row.request_id,
            key=row.key,
            key_id=row.key_id,
            team=row.team,
            model=row.model,
            stream=row.stream,
            complete=complete,
            days=self._days,
            most=self._most,
            request=self._request[:room],
            request_bytes=len(self._request),
            answer=answer[:room],
            answer_bytes=len(answer) + beyond,
            chat_id=row.chat_id,
        )
