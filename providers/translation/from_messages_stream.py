"""The event stream of the Messages API -> chunks of chat completions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from providers.translation.chat_shapes import Head
from providers.translation.from_messages import Spent, error_of, finish, thought, why_refused
from providers.translation.reading import Json, answer_of, count, optional_text, part, text, write, written


@dataclass(slots=True)
class _Block:
    """An open block of content: what came at its start, and whether more of it followed."""

    start: Json
    call: int = -1  # place among the tool calls
    fed: bool = False


@dataclass(slots=True)
class MessagesStream:
    """Tool calls keep their order; thoughts with signatures come together at the end, before the finish."""

    head: Head
    _spent: Spent = field(default_factory=Spent)
    _blocks: dict[int, _Block] = field(default_factory=dict)
    _thoughts: list[Json] = field(default_factory=list)
    _stopped: Json = field(default_factory=dict)
    _calls: int = 0
    _begun: bool = False
    _ended: bool = False

    def feed(self, data: bytes) -> list[bytes]:
        return answer_of(data, self._event)

    def end(self) -> list[bytes]:
        return written(self._finish) if self._begun else []

    def failed(self, error: Mapping[str, Any]) -> list[bytes]:
        return []  # the error says it all

    def _event(self, event: Json) -> list[Json]:
        match event.get("type"):
            case "message_start":
                return self._start(part(event.get("message")))
            case "content_block_start":
                return self._begin() + self._open(_index(event), part(event.get("content_block")))
            case "content_block_delta":
                return self._begin() + self._more(_index(event), part(event.get("delta")))
            case "content_block_stop":
                return self._close(_index(event))
            case "message_delta":
                self._spent.take(event.get("usage"))
                self._stopped |= part(event.get("delta"))
                return self._begin()
            case "message_stop":
                return self._begin() + self._finish()
            case "error":
                return [error_of(event.get("error"), 500)]
        return []  # `ping`, and what a later version of the wire says

    def _start(self, message: Json) -> list[Json]:
        self.head.id = optional_text(message.get("id"), "message.id")
        self.head.model = optional_text(message.get("model"), "message.model")
        self._spent.take(message.get("usage"))
        return self._begin()

    def _begin(self) -> list[Json]:
        if self._begun:
            return []
        self._begun = True
        return [self.head.chunk({"role": "assistant", "content": ""})]

    def _open(self, index: int, start: Json) -> list[Json]:
        block = self._blocks[index] = _Block(start)
        match start.get("type"):
            case "text":
                return self._said("content", start.get("text"))
            case "thinking":
                return self._said("reasoning_content", start.get("thinking"))
            case "tool_use":
                block.call = self._calls
                self._calls += 1
                function = {"name": text(start.get("name"), "content_block.name"), "arguments": ""}
                call = {
                    "index": block.call,
                    "id": text(start.get("id"), "content_block.id"),
                    "type": "function",
                    "function": function,
                }
                return [self.head.chunk({"tool_calls": [call]})]
        return []

    def _more(self, index: int, delta: Json) -> list[Json]:
        block = self._blocks.setdefault(index, _Block({"type": "text"}))
        match delta.get("type"):
            case "text_delta":
                return self._said("content", delta.get("text"))
            case "thinking_delta":
                self._keep(block, "thinking", delta)
                return self._said("reasoning_content", delta.get("thinking"))
            case "signature_delta":
                self._keep(block, "signature", delta)
            case "input_json_delta" if block.call >= 0:
                return self._arguments(block, optional_text(delta.get("partial_json"), "delta.partial_json"))
        return []

    def _close(self, index: int) -> list[Json]:
        block = self._blocks.pop(index, None)
        if block is None:
            return []
        if block.start.get("type") in ("thinking", "redacted_thinking"):
            self._thoughts.append(thought(block.start))
        if block.call >= 0 and not block.fed:  # a call of no arguments, or one that came whole
            return self._arguments(block, write(block.start.get("input") or {}).decode())
        return []

    def _said(self, name: str, words: object) -> list[Json]:
        said = optional_text(words, name)
        return [self.head.chunk({name: said})] if said else []

    def _keep(self, block: _Block, name: str, delta: Json) -> None:
        block.start[name] = optional_text(block.start.get(name), name) + optional_text(delta.get(name), name)

    def _arguments(self, block: _Block, piece: str) -> list[Json]:
        if not piece:
            return []
        block.fed = True
        return [self.head.chunk({"tool_calls": [{"index": block.call, "function": {"arguments": piece}}]})]

    def _finish(self) -> list[Json]:
        if self._ended:
            return []
        self._ended = True
        chunks = [chunk for index in sorted(self._blocks) for chunk in self._close(index)]
        if self._thoughts:
            chunks.append(self.head.chunk({"thinking_blocks": self._thoughts}))
        if (why := why_refused(self._stopped)) is not None:
            chunks.append(self.head.chunk({"refusal": why}))
        chunks.append(self.head.chunk({}, finish(self._stopped.get("stop_reason"))))
        return [*chunks, self.head.usage(self._spent.usage(), self._spent.extra())]


def _index(event: Json) -> int:
    return count(event.get("index"))
