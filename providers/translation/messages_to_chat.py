"""The client speaks Anthropic's Messages API (Claude Code), the provider chat completions."""

from collections.abc import Collection

from providers.translation import from_chat
from providers.translation.from_chat_stream import ChatStream
from providers.translation.reading import answer_of, request_of, write
from providers.translation.refusals import Refusals
from providers.translation.to_chat import ToChat


class MessagesToChat:
    """One request.

    `cap_param`: what the model calls its cap (`max_tokens` or `max_completion_tokens`). `keep_thoughts`:
    earlier thoughts go back as `reasoning_content`, which servers of open models read and OpenAI's does not
    know. `untaken`: what of chat's parameters the model is known to answer with an error.
    """

    def __init__(
        self, *, cap_param: str = "max_tokens", keep_thoughts: bool = False, untaken: Collection[str] = ()
    ) -> None:
        self._cap_param = cap_param
        self._keep_thoughts = keep_thoughts
        self._untaken = untaken
        self.left_out: list[str] = []

    def request(self, body: bytes, *, drop: bool) -> bytes:
        refusals = Refusals("chat completions", drop, self.left_out)
        to_chat = ToChat(self._cap_param, self._keep_thoughts, refusals, self._untaken)
        return request_of(body, to_chat.translated)

    def answer(self, body: bytes) -> bytes:
        return answer_of(body, lambda answer: [from_chat.whole(answer)])[0]

    def error(self, status: int, body: bytes) -> bytes:
        return write(from_chat.error(status, body))

    def stream(self) -> ChatStream:
        return ChatStream()
