"""Chunks of chat completions -> the event stream of the Responses API."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from providers.translation import responses_shapes
from providers.translation.from_chat import content, reasoning
from providers.translation.reading import (
    Json,
    Malformed,
    answer_of,
    objects,
    optional_text,
    part,
    written,
)
from providers.translation.responses_blocks import Call, Words
from providers.translation.responses_shapes import Frame
from providers.translation.responses_tools import Tool, called
from providers.translation.told_calls import ToldCall, ToldCalls


@dataclass(slots=True)
class ResponsesStream:
    """`name`: what the ids of its items are made of; `tools`: by the names of chat's functions.

    The last event waits for the end: usage comes after the finish.
    """

    frame: Frame
    name: str
    tools: dict[str, Tool]
    _items: list[Words | Call] = field(default_factory=list)
    _told_calls: ToldCalls = field(default_factory=ToldCalls)
    _calls: dict[int, Call] = field(default_factory=dict)  # by their places
    _finish: object = None
    _usage: object = None
    _tier: str = ""
    _model: str = ""
    _told: int = 0
    _begun: bool = False
    _ended: bool = False

    def feed(self, data: bytes) -> list[bytes]:
        """See `StreamTranslation`."""
        return answer_of(data, lambda chunk: self._numbered(self._chunk(chunk)))

    def end(self) -> list[bytes]:
        """See `StreamTranslation`."""
        if self._ended or not self._begun:
            return []
        return written(lambda: self._numbered(self._last()))

    def failed(self, error: Mapping[str, Any]) -> list[bytes]:
        """See `StreamTranslation`. Codex reads only this event, and OpenAI's SDKs only the one before it."""
        if self._ended or not self._begun:
            return []
        self._told += 1
        return written(lambda: self._numbered(self._failed(error)))

    def whole(self, answer: Json) -> Json:
        """The response for an answer that is no stream: as if all of it had come at once."""
        choices = list(objects(answer.get("choices"), "choices"))
        if not choices:
            raise Malformed("'choices' holds no answer.", "choices")
        choice, _ = choices[0]
        message = dict(part(choice.get("message")))
        calls = [
            {**call, "index": i}
            for i, (call, _) in enumerate(objects(message.get("tool_calls"), "tool_calls"))
        ]
        message["tool_calls"] = calls
        self._chunk({**answer, "choices": [{**choice, "index": 0, "delta": message}]})
        response: Json = self._last()[-1]["response"]
        return response

    def _numbered(self, events: list[Json]) -> list[Json]:
        numbered = [event | {"sequence_number": self._told + i} for i, event in enumerate(events)]
        self._told += len(events)
        return numbered

    def _chunk(self, chunk: Json) -> list[Json]:
        if chunk.get("error") is not None:
            return self._failed(part(chunk["error"]))
        if chunk.get("usage") is not None:
            self._usage = chunk["usage"]
        self._tier = optional_text(chunk.get("service_tier"), "service_tier") or self._tier
        choices = list(objects(chunk.get("choices"), "choices"))
        # without a choice it may be Azure's verdict of the prompt, which names no model
        events = self._begin(chunk) if choices else []
        for choice, where in choices:
            if choice.get("index", 0) == 0:
                events += self._take(choice, where)
        return events

    def _begin(self, chunk: Json) -> list[Json]:
        if self._begun:
            return []
        self._begun = True
        self._model = optional_text(chunk.get("model"), "model")
        response = self._response("in_progress", [])
        return [
            {"type": "response.created", "response": response},
            {"type": "response.in_progress", "response": response},
        ]

    def _take(self, choice: Json, where: str) -> list[Json]:
        delta = part(choice.get("delta"))
        where = f"{where}.delta"
        told = responses_shapes.logprobs(part(choice.get("logprobs")).get("content"))
        cited = [_citation(each) for each, _ in objects(delta.get("annotations"), f"{where}.annotations")]
        events = self._say("reasoning_text", reasoning(delta), [], [])
        events += self._say("output_text", content(delta.get("content"), f"{where}.content"), told, cited)
        events += self._say("refusal", optional_text(delta.get("refusal"), f"{where}.refusal"), [], [])
        for call, piece in self._told_calls.take(delta, where):
            events += self._call(call, piece)
        if choice.get("finish_reason"):  # some servers send "" with every chunk
            self._finish = choice["finish_reason"]
        return events

    def _say(self, kind: str, piece: str, logprobs: list[Any], cited: list[Json]) -> list[Json]:
        thoughts = kind == "reasoning_text"
        last = self._items[-1] if self._items else None
        # A token of half a letter has no text yet, but a logprob.
        goes_on = logprobs and isinstance(last, Words) and last.goes_on(kind)
        if not piece and not cited and not goes_on:
            return []
        if isinstance(last, Words) and last.thoughts == thoughts and not last.ended:
            return last.add(kind, piece, logprobs, cited)
        events = self._close_words()
        made = Words(self._id("rs" if thoughts else "msg"), len(self._items), thoughts)
        self._items.append(made)
        return [*events, *made.open(), *made.add(kind, piece, logprobs, cited)]

    def _call(self, told: ToldCall, piece: str) -> list[Json]:
        if (call := self._calls.get(told.place)) is not None:
            return call.add(piece)
        if not told.name:  # of what kind its item is, only the name tells
            return []
        events = self._close_words()
        index, tool = len(self._items), called(self.tools, told.name)
        call_id = told.id or f"call_{self.name}_{index}"
        call = Call(self._id("ctc" if tool.custom else "fc"), index, call_id, tool)
        self._calls[told.place] = call
        self._items.append(call)
        return [*events, *call.open(), *call.add("".join(told.pieces))]

    def _close_words(self) -> list[Json]:
        last = self._items[-1] if self._items else None
        return last.close("completed") if isinstance(last, Words) and not last.ended else []

    def _id(self, kind: str) -> str:
        return f"{kind}_{self.name}_{len(self._items)}"

    def _last(self) -> list[Json]:
        self._ended = True
        status, why = responses_shapes.ending(self._finish)
        if status == "completed" and not all(call.name for call in self._told_calls.calls):
            raise Malformed("A tool call has no name.")
        events = [event for item in self._items if not item.ended for event in item.close(status)]
        response = self._response(status, [item.item(item.ended) for item in self._items])
        response["incomplete_details"] = why
        response["usage"] = responses_shapes.usage(self._usage)
        if self._tier:
            response["service_tier"] = self._tier
        return [*events, {"type": f"response.{status}", "response": response}]

    def _response(self, status: str, output: list[Json]) -> Json:
        return self.frame.response(status, self._model, output)

    def _failed(self, error: Mapping[str, Any]) -> list[Json]:
        self._ended = True
        response = self._response("failed", [item.item(item.ended or "incomplete") for item in self._items])
        response["error"] = responses_shapes.failure(error)
        return [{"type": "response.failed", "response": response}]


def _citation(told: Json) -> Json:
    """Chat nests what a citation says, responses do not."""
    inner = part(told.get("url_citation"))
    return {"type": "url_citation", **inner} if inner else told
