"""Anthropic's Messages API: as strict about its headers as the original."""

import json
from collections.abc import Iterator

from tests.upstream_wire import (
    Answer,
    Ask,
    Behaviour,
    Json,
    calls_of,
    counted,
    halves,
    texts_of,
    told,
    typed,
    whole,
)

type Blocks = list[tuple[Json, list[Json]]]  # each with the deltas that build it

STOP = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
# By status, as it names them itself.
KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    529: "overloaded_error",
}


def error_body(status: int, message: str) -> Json:
    """An error as Anthropic tells it."""
    said = {"type": KINDS.get(status, "api_error"), "message": message}
    return {"type": "error", "error": said, "request_id": "req_1"}


def answer(ask: Ask, behaviour: Behaviour) -> Answer:
    if refusal := _refusal(ask):
        return refusal
    if ask.endpoint == "messages/count_tokens":
        return told(200, {"input_tokens": behaviour.prompt_tokens})
    if not isinstance(ask.body.get("max_tokens"), int):
        return told(400, error_body(400, "max_tokens: Field required"))
    blocks = _blocks(ask, behaviour)
    spoken = sum(len(pieces) for _, pieces in blocks)
    usage = counted(behaviour, spoken)
    message = _message(ask, behaviour, blocks, usage)
    if ask.stream:
        return typed(_events(message, blocks, behaviour, usage), behaviour, usage)
    return whole(message, behaviour, usage, spoken)


def _refusal(ask: Ask) -> Answer | None:
    """Why it does not answer. Servers that take a Bearer and speak this surface too know no versions."""
    if ask.headers.get("authorization"):
        return None
    if not ask.headers.get("x-api-key"):
        return told(401, error_body(401, "x-api-key header is required"))
    if not ask.headers.get("anthropic-version"):
        return told(400, error_body(400, "anthropic-version: header is required"))
    return None


def _blocks(ask: Ask, behaviour: Behaviour) -> Blocks:
    """The content blocks with the deltas that build each."""
    names = [tool.get("name", "") for tool in ask.body.get("tools") or []]
    calls = calls_of(behaviour, names, _answered(ask.body.get("messages") or []))
    blocks: Blocks = []
    block: Json
    if behaviour.thought:
        thinking = [{"type": "thinking_delta", "thinking": text} for text in halves(behaviour.thought)]
        block = {"type": "thinking", "thinking": behaviour.thought, "signature": "sig-1"}
        blocks.append((block, [*thinking, {"type": "signature_delta", "signature": "sig-1"}]))
    for index, (name, arguments) in enumerate(calls):
        block = {"type": "tool_use", "id": f"toolu_{index}", "name": name, "input": json.loads(arguments)}
        pieces = [{"type": "input_json_delta", "partial_json": text} for text in halves(arguments)]
        blocks.append((block, pieces))
    if not calls:
        texts = texts_of(behaviour)
        block = {"type": "text", "text": "".join(texts)}
        blocks.append((block, [{"type": "text_delta", "text": text} for text in texts]))
    return blocks


def _answered(messages: list[Json]) -> bool:
    content = messages[-1].get("content") if messages else None
    return isinstance(content, list) and any(block.get("type") == "tool_result" for block in content)


def _message(ask: Ask, behaviour: Behaviour, blocks: Blocks, usage: Json | None) -> Json:
    content = [block for block, _ in blocks]
    called = any(block["type"] == "tool_use" for block in content)
    finish = "tool_calls" if called else behaviour.finish
    body: Json = {"id": "msg_1", "type": "message", "role": "assistant", "model": ask.model}
    body |= {"content": content, "stop_reason": STOP.get(finish or "", finish), "stop_sequence": None}
    if usage is not None:
        body["usage"] = _cached(usage) | {"output_tokens": usage["completion_tokens"]}
    return body | behaviour.message


def _cached(usage: Json) -> Json:
    """What was read; a thing apart is what of it was cached."""
    none = {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
    return {"input_tokens": usage["prompt_tokens"], **none}


EMPTY: Json = {
    "text": {"text": ""},
    "thinking": {"thinking": "", "signature": ""},
    "tool_use": {"input": {}},
}


def _events(
    message: Json, blocks: Blocks, behaviour: Behaviour, usage: Json | None
) -> Iterator[tuple[Json, int]]:
    begun = message | {"content": [], "stop_reason": None}
    if usage is not None:
        begun["usage"] = _cached(usage) | {"output_tokens": 1}
    yield {"type": "message_start", "message": begun}, 0
    yield {"type": "ping"}, 0
    for index, (block, deltas) in enumerate(blocks):
        start = block | EMPTY[block["type"]]
        yield {"type": "content_block_start", "index": index, "content_block": start}, 0
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}, 1
        yield {"type": "content_block_stop", "index": index}, 0
    if behaviour.finish is None:
        return
    end = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    counted_now = {} if usage is None else {"usage": {"output_tokens": usage["completion_tokens"]}}
    yield {"type": "message_delta", "delta": end, **counted_now}, 0
    if behaviour.done:
        yield {"type": "message_stop"}, 0
