"""responses: made, kept, found again, cancelled and deleted."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.upstream_wire import (
    Answer,
    Ask,
    Behaviour,
    Json,
    calls_of,
    counted,
    halves,
    refused,
    texts_of,
    told,
    typed,
    whole,
)

type Events = list[tuple[Json, int]]  # with the tokens of each

# Of the request, what a response repeats; the others have these values where nobody said otherwise.
ECHOED: Json = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "truncation": "disabled",
    "store": True,
    "user": None,
}
STATUS = {"length": "incomplete", "content_filter": "incomplete"}
REASON = {"length": "max_output_tokens", "content_filter": "content_filter"}


@dataclass
class Kept:
    """A response with the input that it was made from, what came before included."""

    response: Json
    input: list[Json]


@dataclass
class Responses:
    """What one provider made so far."""

    kept: dict[str, Kept] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def answer(self, ask: Ask, behaviour: Behaviour) -> Answer:
        previous = ask.body.get("previous_response_id")
        if previous is not None and previous not in self.kept:
            message = f"Previous response with id '{previous}' not found."
            return refused(400, message, param="previous_response_id", code="previous_response_not_found")
        given = _items(ask.body.get("input"))
        number = next(self.numbers)
        output, events = _said(ask, behaviour, given, number)
        usage = counted(behaviour, sum(tokens for _, tokens in events))
        response = _object(ask, behaviour, f"resp_{number}", output, usage)
        if ask.body.get("store", True):
            before = self.kept[previous] if previous else None
            earlier = [*before.input, *before.response["output"]] if before else []
            self.kept[response["id"]] = Kept(response, [*earlier, *given])
        if ask.stream:
            return typed(_numbered(_around(response, events, behaviour)), behaviour, response["usage"])
        tokens = sum(tokens for _, tokens in events)
        return whole(response, behaviour, response["usage"], tokens)

    def item(self, ask: Ask, _: Behaviour) -> Answer:
        """What is asked of a response that was made before."""
        kept = self.kept.get(ask.item)
        if kept is None:
            return refused(404, f"Response with id '{ask.item}' not found.", code="response_not_found")
        match ask.method, ask.endpoint:
            case "GET", "responses/{id}":
                return told(200, kept.response)
            case "DELETE", "responses/{id}":
                del self.kept[ask.item]
                return told(200, {"id": ask.item, "object": "response", "deleted": True})
            case "GET", "responses/{id}/input_items":
                rows = [{"id": f"item_{i}", "type": "message"} | item for i, item in enumerate(kept.input)]
                ends = {"first_id": rows[0]["id"], "last_id": rows[-1]["id"], "has_more": False}
                return told(200, {"object": "list", "data": rows} | ends)
            case "POST", "responses/{id}/cancel":
                kept.response = kept.response | {"status": "cancelled"}
                return told(200, kept.response)
        return refused(405, "Not allowed to do that to a response.")


def _items(given: object) -> list[Json]:
    """The input as items with content parts."""
    if not isinstance(given, list):
        given = [{"role": "user", "content": given}]
    items: list[Json] = []
    for item in given:
        if isinstance(item, dict) and isinstance(item.get("content"), str):
            item = {"type": "message", **item, "content": [{"type": "input_text", "text": item["content"]}]}
        items.append(item)
    return items


def _object(ask: Ask, behaviour: Behaviour, id_: str, output: list[Json], usage: Json | None) -> Json:
    finish = behaviour.finish or ""
    reason = REASON.get(finish)
    body: Json = {"id": id_, "object": "response", "created_at": 1700000000, "model": ask.model}
    body |= {"status": STATUS.get(finish, "completed"), "error": None, "output": output}
    body |= {"incomplete_details": {"reason": reason} if reason else None, "usage": _usage(behaviour, usage)}
    body |= {"reasoning": {"effort": None, "summary": None}}
    return body | {name: ask.body.get(name) or usual for name, usual in ECHOED.items()}


def _usage(behaviour: Behaviour, usage: Json | None) -> Json | None:
    if usage is None:
        return None
    said = {"input_tokens": usage["prompt_tokens"], "output_tokens": usage["completion_tokens"]}
    said |= {"input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0}}
    thought = len(halves(behaviour.thought))
    said |= {"output_tokens_details": {"reasoning_tokens": thought}}
    return said | {"total_tokens": usage["total_tokens"]}


# --- what is said: the items, and the events that build them up --------------------------------


def _said(ask: Ask, behaviour: Behaviour, given: list[Json], number: int) -> tuple[list[Json], Events]:
    names = [tool.get("name", "") for tool in ask.body.get("tools") or []]
    answered = bool(given) and str(given[-1].get("type")).endswith("_call_output")
    calls = calls_of(behaviour, names, answered)
    output: list[Json] = []
    events: Events = []

    def add(made: tuple[Json, Events], empty: Json) -> None:
        item, building = made
        where = {"output_index": len(output)}
        opened = {"type": "response.output_item.added", **where, "item": item | empty}
        closed = {"type": "response.output_item.done", **where, "item": item}
        events.extend([(opened, 0), *(({**data, **where}, tokens) for data, tokens in building), (closed, 0)])
        output.append(item)

    if behaviour.thought:
        add(_reasoning(behaviour, f"rs_{number}"), {"summary": []})
    if not calls:
        add(_message(behaviour, f"msg_{number}"), {"status": "in_progress", "content": []})
    for index, (name, arguments) in enumerate(calls):
        made = _call(name, arguments, f"fc_{number}_{index}", f"call_{number}_{index}")
        add(made, {"status": "in_progress", "arguments": ""})
    return output, events


def _message(behaviour: Behaviour, id_: str) -> tuple[Json, Events]:
    texts = texts_of(behaviour)
    part: Json = {"type": "output_text", "text": "".join(texts), "annotations": [], "logprobs": []}
    item: Json = {"type": "message", "id": id_, "role": "assistant", "status": "completed"}
    where: Json = {"item_id": id_, "content_index": 0}
    events = [({"type": "response.content_part.added", **where, "part": part | {"text": ""}}, 0)]
    for text in texts:
        delta = {"type": "response.output_text.delta", **where, "delta": text, "logprobs": []}
        events.append((delta, 1))
    done = {"type": "response.output_text.done", **where, "text": part["text"], "logprobs": []}
    events += [(done, 0), ({"type": "response.content_part.done", **where, "part": part}, 0)]
    return item | {"content": [part]} | behaviour.message, events


def _reasoning(behaviour: Behaviour, id_: str) -> tuple[Json, Events]:
    part = {"type": "summary_text", "text": behaviour.thought}
    where: Json = {"item_id": id_, "summary_index": 0}
    name = "response.reasoning_summary"
    events = [({"type": f"{name}_part.added", **where, "part": part | {"text": ""}}, 0)]
    for text in halves(behaviour.thought):
        events.append(({"type": f"{name}_text.delta", **where, "delta": text}, 1))
    events.append(({"type": f"{name}_text.done", **where, "text": behaviour.thought}, 0))
    events.append(({"type": f"{name}_part.done", **where, "part": part}, 0))
    return {"type": "reasoning", "id": id_, "summary": [part]}, events


def _call(name: str, arguments: str, id_: str, call: str) -> tuple[Json, Events]:
    item: Json = {"type": "function_call", "id": id_, "call_id": call, "name": name}
    item |= {"arguments": arguments, "status": "completed"}
    kind = "response.function_call_arguments"
    events = [({"type": f"{kind}.delta", "item_id": id_, "delta": text}, 1) for text in halves(arguments)]
    done: Json = {"type": f"{kind}.done", "item_id": id_, "arguments": arguments, "name": name}
    return item, [*events, (done, 0)]


def _around(response: Json, events: Events, behaviour: Behaviour) -> Iterator[tuple[Json, int]]:
    begun = response | {"status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    yield {"type": "response.created", "response": begun}, 0
    yield {"type": "response.in_progress", "response": begun}, 0
    yield from events
    if behaviour.finish is not None:
        yield {"type": f"response.{response['status']}", "response": response | behaviour.chunk}, 0


def _numbered(events: Iterator[tuple[Json, int]]) -> Iterator[tuple[Json, int]]:
    for number, (data, tokens) in enumerate(events):
        yield data | {"sequence_number": number}, tokens
