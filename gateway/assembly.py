"""A stream put together: its events in, one `chat.completion` out."""

from typing import Any

import msgspec

from gateway.answers import DONE

_TEXTS = ("content", "reasoning_content", "reasoning", "refusal")
_HEAD = ("id", "created", "model", "system_fingerprint")
_MOST_CHOICES = 128
_MOST_CALLS = 256


class _Call:
    """One tool call: its pieces by field; `arguments` and `name` come in parts."""

    def __init__(self) -> None:
        self.id = ""
        self.type = "function"
        self.name: list[str] = []
        self.arguments: list[str] = []

    def whole(self) -> dict[str, Any]:
        function = {"name": "".join(self.name), "arguments": "".join(self.arguments)}
        return {"id": self.id, "type": self.type, "function": function}


class _Choice:
    def __init__(self) -> None:
        self.role = "assistant"
        self.finish: Any = None
        self.texts: dict[str, list[str]] = {}
        self.calls: dict[int, _Call] = {}

    def whole(self, index: int) -> dict[str, Any]:
        message: dict[str, Any] = {"role": self.role, "content": None}
        message |= {name: "".join(pieces) for name, pieces in self.texts.items()}
        if self.calls:
            message["tool_calls"] = [call.whole() for _, call in sorted(self.calls.items())]
        return {"index": index, "finish_reason": self.finish, "message": message}


class Assembly:
    """Takes the data of each event in turn. Of the text it holds `most` bytes, and counts the rest."""

    def __init__(self, most: int) -> None:
        self._left = most
        self._beyond = 0
        self._head: dict[str, Any] = {}
        self._done = False
        self._usage: Any = None
        self._error: Any = None
        self._choices: dict[int, _Choice] = {}

    def add(self, data: bytes) -> None:
        """One event; what is no chunk of a chat counts for nothing."""
        if data == DONE:
            self._done = True
            return
        try:
            chunk = msgspec.json.decode(data)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return
        if not isinstance(chunk, dict):
            return
        if not self._head:
            self._head = {name: chunk[name] for name in _HEAD if isinstance(chunk.get(name), str | int)}
        self._usage = chunk.get("usage") or self._usage
        self._error = chunk.get("error") or self._error
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict):
                self._add_choice(choice)

    @property
    def complete(self) -> bool:
        """Whether the provider came to its end."""
        return self._done or (bool(self._choices) and all(choice.finish for choice in self._choices.values()))

    def json(self) -> tuple[bytes, int]:
        """The answer so far, the text last, and how many bytes of text it lacks."""
        answer: dict[str, Any] = {"object": "chat.completion", **self._head}
        if self._usage is not None:
            answer["usage"] = self._usage
        if self._error is not None:
            answer["error"] = self._error
        answer["choices"] = [choice.whole(index) for index, choice in sorted(self._choices.items())]
        return msgspec.json.encode(answer), self._beyond

    def _add_choice(self, told: dict[str, Any]) -> None:
        index = told.get("index", 0)
        if not isinstance(index, int) or (index not in self._choices and len(self._choices) >= _MOST_CHOICES):
            return
        choice = self._choices.setdefault(index, _Choice())
        choice.finish = told.get("finish_reason") or choice.finish
        if isinstance(text := told.get("text"), str):  # of the older completions, without a delta
            self._take(choice.texts.setdefault("text", []), text)
        delta = told.get("delta")
        if not isinstance(delta, dict):
            return
        if isinstance(delta.get("role"), str):
            choice.role = delta["role"][:40]
        for name in _TEXTS:
            if isinstance(text := delta.get(name), str):
                self._take(choice.texts.setdefault(name, []), text)
        calls = delta.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            if isinstance(call, dict):
                self._add_call(choice, call)

    def _add_call(self, choice: _Choice, told: dict[str, Any]) -> None:
        index = told.get("index", len(choice.calls))
        if not isinstance(index, int) or (index not in choice.calls and len(choice.calls) >= _MOST_CALLS):
            return
        call = choice.calls.setdefault(index, _Call())
        if isinstance(told.get("id"), str):
            call.id = told["id"][:256] or call.id
        if isinstance(told.get("type"), str):
            call.type = told["type"][:40] or call.type
        function = told.get("function")
        if isinstance(function, dict):
            for name, pieces in (("name", call.name), ("arguments", call.arguments)):
                if isinstance(text := function.get(name), str):
                    self._take(pieces, text)

    def _take(self, pieces: list[str], text: str) -> None:
        size = len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
        if size <= self._left:
            self._left -= size
            pieces.append(text)
            return
        kept = text.encode("utf-8", "replace")[: self._left].decode("utf-8", "ignore")
        pieces.append(kept)
        self._beyond += size - len(kept.encode())
        self._left = 0


class TypedAssembly:
    """Takes the data of each event of a stream whose events have types; keeps as many as there is room for.

    An event that holds the whole answer, as the last one of responses does, replaces all before it.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = 0
        self._beyond = 0
        self._events: list[bytes] = []
        self._whole = b""
        self.complete = False

    def add(self, data: bytes) -> None:
        """One event; what is no JSON object with a type counts for nothing."""
        try:
            event = _typed.decode(data)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return
        kind = event.type if isinstance(event.type, str) else ""
        self.complete = self.complete or kind.endswith(_LAST)
        if kind.startswith("response.") and kind.endswith(_LAST):
            self._whole = bytes(memoryview(event.response))
        elif self._size + len(data) <= self._most:
            self._size += len(data) + 1
            self._events.append(data)
        else:
            self._beyond += len(data)

    def json(self) -> tuple[bytes, int]:
        """The answer so far, and how many bytes of it are left out."""
        if self._whole:
            return self._whole, 0
        return b'{"events":[' + b",".join(self._events) + b"]}", self._beyond


class _Typed(msgspec.Struct):
    type: Any = None
    response: msgspec.Raw = msgspec.Raw(b"null")


_typed = msgspec.json.Decoder(_Typed)
_LAST = (".completed", ".incomplete", ".failed", ".done", "message_stop")
