"""The client speaks the Responses API (Codex), the provider chat completions."""

from collections.abc import Collection
from dataclasses import dataclass, field

from providers.translation.chat_shapes import envelope, error_type
from providers.translation.reading import Json, Malformed, answer_of, parse_object, part, request_of, write
from providers.translation.refusals import Refusals
from providers.translation.responses_request import ToChat
from providers.translation.responses_shapes import Frame
from providers.translation.responses_stream import ResponsesStream
from providers.translation.responses_tools import Tool


@dataclass(slots=True)
class ResponsesToChat:
    """One request.

    `name`: unlike that of any other request, for ids; `created`: now, in seconds since 1970. `cap_param`,
    `keep_thoughts` and `untaken` as `MessagesToChat` has them.
    """

    name: str
    created: int
    cap_param: str = "max_tokens"
    keep_thoughts: bool = False
    untaken: Collection[str] = ()
    _asked: Json = field(default_factory=dict, init=False)
    _tools: dict[str, Tool] = field(default_factory=dict, init=False)
    left_out: list[str] = field(default_factory=list, init=False)

    def request(self, body: bytes, *, drop: bool) -> bytes:
        """See `Translation`."""
        refusals = Refusals("chat completions", drop, self.left_out)

        def translated(given: Json) -> Json:
            to_chat = ToChat(self.cap_param, self.keep_thoughts, refusals, self._tools, self.untaken)
            made = to_chat.translated(given)
            self._asked = to_chat.asked
            return made

        return request_of(body, translated)

    def answer(self, body: bytes) -> bytes:
        """See `Translation`."""
        return answer_of(body, lambda answer: [self.stream().whole(answer)])[0]

    def error(self, status: int, body: bytes) -> bytes:
        """See `Translation`."""
        try:
            told = part(parse_object(body).get("error"))
        except Malformed:
            told = {}
        message = str(told.get("message") or f"The provider answered {status}.")
        kind, code, param = told.get("type"), told.get("code"), told.get("param")
        return write(
            envelope(
                message,
                kind if isinstance(kind, str) else error_type(status),
                code if isinstance(code, str) else None,
                param if isinstance(param, str) else None,
            )
        )

    def stream(self) -> ResponsesStream:
        """See `Translation`."""
        return ResponsesStream(Frame(f"resp_{self.name}", self.created, self._asked), self.name, self._tools)
