"""The client speaks chat completions, the provider Anthropic's Messages API."""

from providers.translation import from_messages
from providers.translation.chat_shapes import Head
from providers.translation.from_messages_stream import MessagesStream
from providers.translation.reading import answer_of, request_of, write
from providers.translation.refusals import Refusals
from providers.translation.to_messages import ToMessages


class ChatToMessages:
    """One request.

    `default_output`: tokens of output for a client that named no cap, as the wire wants one. `created`: now,
    in seconds since 1970. `adaptive`: the model takes an effort and no budget of thinking.
    """

    def __init__(self, *, default_output: int, created: int, adaptive: bool = False) -> None:
        self._default_output = default_output
        self._created = created
        self._adaptive = adaptive
        self.left_out: list[str] = []

    def request(self, body: bytes, *, drop: bool) -> bytes:
        refusals = Refusals("the Messages API", drop, self.left_out)
        return request_of(body, ToMessages(self._default_output, self._adaptive, refusals).translated)

    def answer(self, body: bytes) -> bytes:
        return answer_of(body, lambda message: [from_messages.whole(message, self._created)])[0]

    def error(self, status: int, body: bytes) -> bytes:
        return write(from_messages.error(status, body))

    def stream(self) -> MessagesStream:
        return MessagesStream(Head(self._created))
