"""Chunks of chat completions -> the event stream of the Messages API.

There only one block is open at a time, and never again once it was closed; chat names no such borders. So the
first block that is not whole is told as it comes, and what belongs to later ones waits until it is.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from providers.translation import messages_shapes
from providers.translation.from_chat import content, error_of, made_id, reasoning
from providers.translation.reading import Json, Malformed, answer_of, objects, optional_text, part, written
from providers.translation.told_calls import ToldCall, ToldCalls

_DELTAS = {
    "text": ("text_delta", "text"),
    "thinking": ("thinking_delta", "thinking"),
    "tool_use": ("input_json_delta", "partial_json"),
}


@dataclass(slots=True)
class _Block:
    """A block of content: what has come of it, and how much of that was told."""

    kind: str
    pieces: list[str] = field(default_factory=list)
    call: ToldCall | None = None  # whose arguments the pieces are
    spare_id: str = ""  # for a call that the wire gave none
    told: int = 0
    opened: bool = False

    def starts(self) -> bool:
        return self.call is None or bool(self.call.name)

    def is_whole(self) -> bool:
        """Whether nothing more can come, once there is a block after it."""
        return self.call is None or self.call.is_whole()

    def head(self) -> Json:
        match self.kind:
            case "text":
                return {"type": "text", "text": ""}
            case "thinking":
                return {"type": "thinking", "thinking": "", "signature": ""}
        assert self.call is not None, "there is no other kind"
        id = self.call.id or self.spare_id
        return {"type": "tool_use", "id": id, "name": self.call.name, "input": {}}


@dataclass(slots=True)
class ChatStream:
    """`message_delta` waits for the end: usage comes after the finish."""

    _waiting: deque[_Block] = field(default_factory=deque)  # the first one is the open one
    _calls: ToldCalls = field(default_factory=ToldCalls)
    _choice: Json = field(default_factory=dict)
    _usage: object = None
    _id: str = ""
    _refused: bool = False
    _index: int = 0
    _begun: bool = False
    _ended: bool = False

    def feed(self, data: bytes) -> list[bytes]:
        return answer_of(data, self._chunk)

    def end(self) -> list[bytes]:
        if self._ended or not self._begun:
            return []
        self._ended = True
        return written(self._finish)

    def failed(self, error: Mapping[str, Any]) -> list[bytes]:
        return []  # the error says it all

    def _chunk(self, chunk: Json) -> list[Json]:
        if chunk.get("error") is not None:
            return [error_of(chunk["error"], 500)]
        if chunk.get("usage") is not None:
            self._usage = chunk["usage"]
        choices = list(objects(chunk.get("choices"), "choices"))
        # without a choice it may be Azure's verdict of the prompt, which has neither id nor model
        events = self._begin(chunk) if choices else []
        for choice, where in choices:
            if choice.get("index", 0) == 0:
                self._take(choice, where)
        return events + self._tell()

    def _begin(self, chunk: Json) -> list[Json]:
        if self._begun:
            return []
        self._begun = True
        self._id = optional_text(chunk.get("id"), "id")
        message: Json = {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": optional_text(chunk.get("model"), "model"),
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": messages_shapes.usage(self._usage),
        }
        return [{"type": "message_start", "message": message}]

    def _take(self, choice: Json, where: str) -> None:
        delta = part(choice.get("delta"))
        where = f"{where}.delta"
        self._add("thinking", reasoning(delta))
        self._add("text", content(delta.get("content"), f"{where}.content"))
        if refusal := optional_text(delta.get("refusal"), f"{where}.refusal"):
            self._refused = True
            self._add("text", refusal)
        known = len(self._calls.calls)
        for call, _ in self._calls.take(delta, where):
            if call.place >= known:
                known += 1
                spare_id = made_id(self._id, call.place)
                self._waiting.append(_Block("tool_use", call.pieces, call, spare_id))
        if choice.get("finish_reason"):  # some servers send "" with every chunk
            self._choice = choice

    def _add(self, kind: str, words: str) -> None:
        if not words:
            return
        if not self._waiting or self._waiting[-1].kind != kind:
            self._waiting.append(_Block(kind))
        self._waiting[-1].pieces.append(words)

    def _tell(self) -> list[Json]:
        """What can be told now: of the open block all, and of others once those before are whole."""
        events: list[Json] = []
        while self._waiting:
            block = self._waiting[0]
            if not block.starts():
                break
            events += self._more(block)
            if len(self._waiting) == 1 or not block.is_whole():
                break
            events += self._close()
        return events

    def _more(self, block: _Block) -> list[Json]:
        events: list[Json] = []
        if not block.opened:
            block.opened = True
            start = {"type": "content_block_start", "index": self._index, "content_block": block.head()}
            events.append(start)
        kind, name = _DELTAS[block.kind]
        if piece := "".join(block.pieces[block.told :]):
            delta = {"type": kind, name: piece}
            events.append({"type": "content_block_delta", "index": self._index, "delta": delta})
        block.told = len(block.pieces)
        return events

    def _close(self) -> list[Json]:
        self._waiting.popleft()
        self._index += 1
        return [{"type": "content_block_stop", "index": self._index - 1}]

    def _finish(self) -> list[Json]:
        events: list[Json] = []
        while self._waiting:
            block = self._waiting[0]
            if not block.starts():
                raise Malformed("A tool call has no name.")
            events += self._more(block) + self._close()
        stop = messages_shapes.stop(self._choice, called=bool(self._calls.calls), refused=self._refused)
        usage = messages_shapes.usage(self._usage)
        return [*events, {"type": "message_delta", "delta": stop, "usage": usage}, {"type": "message_stop"}]
