"""chat/completions, and the older completions."""

import json
from collections.abc import Iterator

import msgspec

from tests.upstream_wire import (
    Answer,
    Ask,
    Behaviour,
    Json,
    Piece,
    calls_of,
    counted,
    event,
    halves,
    streamed,
    texts_of,
    whole,
)


def answer(ask: Ask, behaviour: Behaviour) -> Answer:
    behaviour = _saying(ask, behaviour)
    usage = counted(behaviour, len(_deltas(behaviour)) * (behaviour.n or ask.n))
    if not ask.stream:
        return whole(_completion(ask, behaviour, usage), behaviour, usage, _tokens(ask, behaviour))
    if behaviour.usage == "asked" and not ask.include_usage:
        usage = None
    pieces = [Piece(behaviour.first.encode())] if behaviour.first else []
    for chunk, tokens in _chunks(ask, behaviour, usage):
        pieces.append(Piece(event(json.dumps(chunk, ensure_ascii=False), behaviour), tokens))
    if behaviour.done:
        pieces.append(Piece(event("[DONE]", behaviour)))
    return streamed(pieces, behaviour, usage)


def _saying(ask: Ask, behaviour: Behaviour) -> Behaviour:
    """The behaviour with its thoughts and calls as deltas and message."""
    tools = [tool.get("function", {}).get("name", "") for tool in ask.body.get("tools") or []]
    messages = ask.body.get("messages") or [{}]
    calls = calls_of(behaviour, tools, messages[-1].get("role") == "tool")
    thoughts: list[Json] = [{"reasoning_content": piece} for piece in halves(behaviour.thought)]
    message: Json = {"reasoning_content": behaviour.thought} if behaviour.thought else {}
    message |= behaviour.message
    if calls:
        deltas, made = [*thoughts], list[Json]()
        for index, (name, arguments) in enumerate(calls):
            head = {"index": index, "id": f"call_{index}", "type": "function"}
            deltas.append({"tool_calls": [head | {"function": {"name": name, "arguments": ""}}]})
            for piece in halves(arguments):
                deltas.append({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
            function = {"name": name, "arguments": arguments}
            made.append({"id": f"call_{index}", "type": "function", "function": function})
        message = {"content": None, "tool_calls": made} | message
        return msgspec.structs.replace(behaviour, deltas=deltas, message=message, finish="tool_calls")
    if thoughts:
        deltas = [*thoughts, *_deltas(behaviour)]
        return msgspec.structs.replace(behaviour, deltas=deltas, message=message)
    return behaviour


def _tokens(ask: Ask, behaviour: Behaviour) -> int:
    return len(_deltas(behaviour)) * (behaviour.n or ask.n)


def _deltas(behaviour: Behaviour) -> list[Json]:
    if behaviour.deltas is not None:
        return behaviour.deltas
    return [{"content": text} | behaviour.delta for text in texts_of(behaviour)]


def _is_old(ask: Ask) -> bool:
    return ask.endpoint == "completions"


def _completion(ask: Ask, behaviour: Behaviour, usage: Json | None) -> Json:
    text = "".join(texts_of(behaviour))
    message = {"role": "assistant", "content": text} | behaviour.message
    said: Json = {"text": text, "logprobs": None} if _is_old(ask) else {"message": message}
    choices = [
        {"index": i, **said, "finish_reason": behaviour.finish} | behaviour.choice
        for i in range(behaviour.n or ask.n)
    ]
    kind = "text_completion" if _is_old(ask) else "chat.completion"
    body: Json = {"id": "chatcmpl-1", "object": kind, "created": 1700000000}
    body |= {"model": ask.model, "choices": choices}
    return body if usage is None else body | {"usage": usage}


def _chunks(ask: Ask, behaviour: Behaviour, usage: Json | None) -> Iterator[tuple[Json, int]]:
    """Every chunk of the stream with its tokens: role, content, finish, usage."""
    kind = "text_completion" if _is_old(ask) else "chat.completion.chunk"
    base: Json = {"id": "chatcmpl-1", "object": kind, "created": 1700000000}
    base |= {"model": ask.model} | behaviour.chunk
    riding: Json = {"usage": usage} if behaviour.usage == "every" else {}
    if ask.include_usage and behaviour.usage == "asked":
        riding = {"usage": None}
    count = behaviour.n or ask.n

    def choice(index: int, delta: Json, finish: str | None = None) -> Json:
        said = {"text": delta.get("content", "")} if _is_old(ask) else {"delta": delta}
        made = {"index": index, **said, "finish_reason": finish} | behaviour.choice
        return base | {"choices": [made]} | riding

    if not _is_old(ask):
        for index in range(count):
            yield choice(index, {"role": "assistant", "content": ""}), 0
    for delta in _deltas(behaviour):
        for index in range(count):
            yield choice(index, delta), 1
    if behaviour.finish is not None:
        ending = {"usage": usage} if behaviour.usage == "finish" else {}
        for index in range(count):
            yield choice(index, {}, behaviour.finish) | ending, 0
    if behaviour.usage == "twice":
        yield base | {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}, 0
    if usage is not None and behaviour.usage in ("asked", "twice", "negative", "text"):
        yield base | {"choices": [], "usage": usage}, 0
