"""The items of a response while they come: each knows the events that tell of it."""

import json
import re
from dataclasses import dataclass, field
from typing import Any

from providers.translation.reading import Json, Malformed, parse_object
from providers.translation.responses_tools import Tool

_BEGUN = re.compile(r'\s*\{\s*"input"\s*:\s*"((?:[^"\\]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*)')
_HALF_LETTER = re.compile("[\ud800-\udfff]")  # two escapes are one letter, and the second had not come


@dataclass(slots=True)
class Part:
    """One part of an item's content: a run of text of one kind."""

    kind: str  # output_text, refusal or reasoning_text
    pieces: list[str] = field(default_factory=list)
    logprobs: list[Any] = field(default_factory=list)
    annotations: list[Json] = field(default_factory=list)

    def made(self, *, whole: bool) -> Json:
        words = "".join(self.pieces) if whole else ""
        match self.kind:
            case "refusal":
                return {"type": "refusal", "refusal": words}
            case "reasoning_text":
                return {"type": "reasoning_text", "text": words}
        annotations = list(self.annotations) if whole else []
        logprobs = list(self.logprobs) if whole else []
        return {"type": "output_text", "text": words, "annotations": annotations, "logprobs": logprobs}

    def delta(self, piece: str, logprobs: list[Any]) -> Json:
        told: Json = {"type": f"response.{self.kind}.delta", "delta": piece}
        return told | {"logprobs": logprobs} if self.kind == "output_text" else told

    def done(self) -> Json:
        words = "".join(self.pieces)
        told: Json = {"type": f"response.{self.kind}.done"}
        if self.kind == "refusal":
            return told | {"refusal": words}
        told["text"] = words
        return told | {"logprobs": self.logprobs} if self.kind == "output_text" else told


@dataclass(slots=True)
class Words:
    """A message or the thoughts before it; its parts come one after the other."""

    id: str
    index: int
    thoughts: bool
    parts: list[Part] = field(default_factory=list)
    ended: str = ""  # the status that its end was told with

    def item(self, status: str) -> Json:
        content = [part.made(whole=True) for part in self.parts] if status != "in_progress" else []
        if self.thoughts:
            return {"id": self.id, "type": "reasoning", "summary": [], "content": content, "status": status}
        return {
            "id": self.id,
            "type": "message",
            "role": "assistant",
            "status": status,
            "content": content,
        }

    def open(self) -> list[Json]:
        return [_added(self.index, self.item("in_progress"))]

    def add(self, kind: str, piece: str, logprobs: list[Any], annotations: list[Json]) -> list[Json]:
        """More text; another kind of it begins a part of its own."""
        events: list[Json] = []
        if not self.parts or self.parts[-1].kind != kind:
            events += self._end_part()
            self.parts.append(Part(kind))
            added = {"type": "response.content_part.added", "part": self.parts[-1].made(whole=False)}
            events.append(added | self._place)
        part = self.parts[-1]
        part.logprobs += logprobs
        if piece:
            part.pieces.append(piece)
            events.append(part.delta(piece, logprobs) | self._place)
        return events + [self._cited(part, each) for each in annotations]

    def goes_on(self, kind: str) -> bool:
        """Whether more text of this kind belongs to the part that is open."""
        return not self.ended and bool(self.parts) and self.parts[-1].kind == kind

    def close(self, status: str) -> list[Json]:
        self.ended = status
        return [*self._end_part(), _done(self.index, self.item(status))]

    def _cited(self, part: Part, annotation: Json) -> Json:
        part.annotations.append(annotation)
        told = {"type": "response.output_text.annotation.added", "annotation": annotation}
        return told | {"annotation_index": len(part.annotations) - 1} | self._place

    def _end_part(self) -> list[Json]:
        if not self.parts:
            return []
        part = self.parts[-1]
        done = {"type": "response.content_part.done", "part": part.made(whole=True)}
        return [part.done() | self._place, done | self._place]

    @property
    def _place(self) -> Json:
        return {"item_id": self.id, "output_index": self.index, "content_index": len(self.parts) - 1}


@dataclass(slots=True)
class Call:
    """A call of a tool; that of one which takes any text is told once it is whole."""

    id: str
    index: int
    call_id: str
    tool: Tool
    pieces: list[str] = field(default_factory=list)
    ended: str = ""  # the status that its end was told with

    def item(self, status: str) -> Json:
        told = "".join(self.pieces) if status != "in_progress" else ""
        head: Json = {"id": self.id, "call_id": self.call_id, "name": self.tool.name, "status": status}
        if self.tool.namespace:
            head["namespace"] = self.tool.namespace
        if self.tool.custom:
            return head | {"type": "custom_tool_call", "input": _free_text(told)}
        return head | {"type": "function_call", "arguments": told}

    def open(self) -> list[Json]:
        return [_added(self.index, self.item("in_progress"))]

    def add(self, piece: str) -> list[Json]:
        if not piece:
            return []
        self.pieces.append(piece)
        if self.tool.custom:
            return []
        return [{"type": "response.function_call_arguments.delta", "delta": piece} | self._place]

    def close(self, status: str) -> list[Json]:
        self.ended = status
        told = "".join(self.pieces)
        if self.tool.custom:
            kind, given = "response.custom_tool_call_input", _free_text(told)
            events = [{"type": f"{kind}.delta", "delta": given} | self._place] if given else []
            events.append({"type": f"{kind}.done", "input": given} | self._place)
        else:
            done = {
                "type": "response.function_call_arguments.done",
                "arguments": told,
                "name": self.tool.name,
            }
            events = [done | self._place]
        return [*events, _done(self.index, self.item(status))]

    @property
    def _place(self) -> Json:
        return {"item_id": self.id, "output_index": self.index}


def _added(index: int, item: Json) -> Json:
    return {"type": "response.output_item.added", "output_index": index, "item": item}


def _done(index: int, item: Json) -> Json:
    return {"type": "response.output_item.done", "output_index": index, "item": item}


def _free_text(arguments: str) -> str:
    """The one text that the function in place of such a tool was given; what is no JSON is taken for it.

    Of arguments that were cut off it is as much as came.
    """
    if not arguments:
        return ""
    try:
        given = parse_object(arguments).get("input")
    except Malformed:
        return _begun_text(arguments)
    return given if isinstance(given, str) else arguments


def _begun_text(arguments: str) -> str:
    """The text in JSON that has no end; all of it where it does not begin as that JSON does."""
    if (found := _BEGUN.match(arguments)) is None:
        return "" if '{"input":"'.startswith("".join(arguments.split())) else arguments
    told: str = json.loads(f'"{found[1]}"', strict=False)
    return _HALF_LETTER.sub("", told)
