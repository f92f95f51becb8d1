"""What the fake provider says: a behaviour, and the bytes of an answer that follows it."""

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

type Json = dict[str, Any]
type UsageStyle = Literal["asked", "finish", "every", "twice", "negative", "text", "none"]
type Fault = Literal["", "reset", "close", "hang", "comments", "drip"]

BEFORE_HEADERS = -1


class Behaviour(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How one request is answered. The default is a well-behaved provider; times are seconds."""

    # what is said
    tokens: int = 3
    texts: list[str] | None = None  # exact content deltas in place of `tokens`
    deltas: list[Json] | None = None  # whole deltas in place of `texts`
    message: Json = {}  # merged into the message of a whole answer
    delta: Json = {}  # merged into every content delta
    choice: Json = {}  # merged into every choice
    chunk: Json = {}  # merged into every chunk, and into a whole answer
    n: int = 0  # choices; 0: as many as asked for
    finish: str | None = "stop"  # None: never says why it stopped
    usage: UsageStyle = "asked"
    prompt_tokens: int = 7
    big: int = 0  # bytes of one more content delta
    # how an event stream is written
    line_end: str = "\n"
    space: bool = True  # after `data:`
    comments: bool = False
    event_name: str = ""
    multi_line: bool = False
    last_blank: bool = True
    done: bool = True
    first: str = ""  # raw, before the first event
    after_done: str = ""  # raw, behind [DONE]
    # an answer of its own in place of all that
    status: int = 200
    headers: list[tuple[str, str]] = []
    content_type: str = ""
    body: str | None = None
    truncate: int = 0  # bytes missing at the end of a whole answer
    # how HTTP is spoken
    framing: Literal["", "chunked", "length", "close"] = ""
    write: int = 0  # bytes per write; 0: a whole event
    gzip: bool = False
    keep_alive: bool = True
    idle_close: float | None = None  # closes the kept connection that long after the answer
    dies_on_reuse: bool = False  # reads the next request of the connection, then closes it unanswered
    interim: bool = False  # a 103 before the answer
    stray: str = ""  # raw, behind the complete answer
    # when, and how it breaks
    head_delay: float = 0.0
    delay: float = 0.0  # before every event
    write_delay: float = 0.0
    fault: Fault = ""
    fault_after: int = 0  # events; BEFORE_HEADERS, or 0 for right behind the headers


@dataclass
class Ask:
    """The part of a request body that decides the answer."""

    endpoint: str
    model: str = ""
    stream: bool = False
    include_usage: bool = False
    n: int = 1
    inputs: int = 1


@dataclass
class Piece:
    """Bytes written together, and how many tokens of content they carry."""

    data: bytes
    tokens: int = 0


@dataclass
class Answer:
    """A whole HTTP answer before its framing."""

    status: int
    headers: list[tuple[str, str]]
    pieces: list[Piece]
    usage: Json | None = None
    chunked: bool = field(default=False)


def ask_of(path: str, body: Json) -> Ask:
    """Read an OpenAI request body."""
    endpoint = path.split("?")[0].rstrip("/").rsplit("/", 1)[-1]
    options = body.get("stream_options")
    given = body.get("input")
    return Ask(
        endpoint=endpoint,
        model=str(body.get("model", "")),
        stream=body.get("stream") is True,
        include_usage=isinstance(options, dict) and options.get("include_usage") is True,
        n=body.get("n") or 1,
        inputs=len(given) if isinstance(given, list) else 1,
    )


def error(
    status: int, body: Json | str | None = None, headers: list[tuple[str, str]] | None = None
) -> Behaviour:
    """An error answer; without a body it is the one OpenAI would send."""
    if body is None:
        body = {"error": {"message": f"upstream says {status}", "type": "t", "param": None, "code": "c"}}
    text = body if isinstance(body, str) else json.dumps(body)
    kind = "text/html" if text.startswith("<") else "application/json"
    return Behaviour(status=status, body=text, content_type=kind, headers=headers or [])


def answer(ask: Ask, behaviour: Behaviour) -> Answer:
    """The answer that this behaviour gives to this request."""
    if behaviour.body is not None:
        made = _raw(behaviour)
    elif ask.stream and ask.endpoint == "completions":
        made = _stream(ask, behaviour)
    else:
        made = _whole(ask, behaviour)
    made.headers.extend(behaviour.headers)
    if behaviour.gzip:
        made.headers.append(("content-encoding", "gzip"))
        made.pieces = [Piece(gzip.compress(b"".join(p.data for p in made.pieces)), _tokens(made.pieces))]
    return made


def _tokens(pieces: list[Piece]) -> int:
    return sum(piece.tokens for piece in pieces)


def _raw(behaviour: Behaviour) -> Answer:
    assert behaviour.body is not None, "asked for only with a body"
    kind = behaviour.content_type or "application/json"
    return Answer(behaviour.status, [("content-type", kind)], [Piece(behaviour.body.encode())])


# --- whole answers -----------------------------------------------------------------------------


def _whole(ask: Ask, behaviour: Behaviour) -> Answer:
    if ask.endpoint == "embeddings":
        body, usage = _embeddings(ask, behaviour)
    else:
        body, usage = _completion(ask, behaviour)
    data = json.dumps(body | behaviour.chunk, ensure_ascii=False).encode()
    data = data[: len(data) - behaviour.truncate]
    kind = behaviour.content_type or "application/json"
    spoken = len(_deltas(behaviour)) * (behaviour.n or ask.n)
    return Answer(behaviour.status, [("content-type", kind)], [Piece(data, spoken)], usage)


def _embeddings(ask: Ask, behaviour: Behaviour) -> tuple[Json, Json | None]:
    usage = {"prompt_tokens": behaviour.prompt_tokens, "total_tokens": behaviour.prompt_tokens}
    rows = [{"object": "embedding", "index": i, "embedding": [0.25, -0.5, i]} for i in range(ask.inputs)]
    return {"object": "list", "data": rows, "model": ask.model, "usage": usage}, usage


def _completion(ask: Ask, behaviour: Behaviour) -> tuple[Json, Json | None]:
    count = behaviour.n or ask.n
    text = "".join(_texts(behaviour))
    message = {"role": "assistant", "content": text} | behaviour.message
    choices = [
        {"index": i, "message": message, "finish_reason": behaviour.finish} | behaviour.choice
        for i in range(count)
    ]
    body: Json = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1700000000}
    body |= {"model": ask.model, "choices": choices}
    usage = _usage(behaviour, len(_deltas(behaviour)) * count)
    if usage is not None:
        body["usage"] = usage
    return body, usage


def _usage(behaviour: Behaviour, completion: int) -> Json | None:
    prompt = behaviour.prompt_tokens
    if behaviour.usage == "none":
        return None
    if behaviour.usage == "negative":
        return {"prompt_tokens": -prompt, "completion_tokens": -completion, "total_tokens": -1}
    if behaviour.usage == "text":
        return {"prompt_tokens": "many", "completion_tokens": "some", "total_tokens": "lots"}
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _texts(behaviour: Behaviour) -> list[str]:
    texts = behaviour.texts
    texts = [f"w{i} " for i in range(behaviour.tokens)] if texts is None else list(texts)
    return [*texts, "x" * behaviour.big] if behaviour.big else texts


def _deltas(behaviour: Behaviour) -> list[Json]:
    if behaviour.deltas is not None:
        return behaviour.deltas
    return [{"content": text} | behaviour.delta for text in _texts(behaviour)]


# --- event streams -----------------------------------------------------------------------------


def _stream(ask: Ask, behaviour: Behaviour) -> Answer:
    usage = _usage(behaviour, len(_deltas(behaviour)) * (behaviour.n or ask.n))
    if behaviour.usage == "asked" and not ask.include_usage:
        usage = None
    pieces = [Piece(behaviour.first.encode())] if behaviour.first else []
    for chunk, tokens in _chunks(ask, behaviour, usage):
        pieces.append(Piece(event(json.dumps(chunk, ensure_ascii=False), behaviour), tokens))
    if behaviour.done:
        pieces.append(Piece(event("[DONE]", behaviour)))
    if not behaviour.last_blank:
        pieces[-1].data = pieces[-1].data.rstrip(b"\r\n")
    if behaviour.after_done:
        pieces.append(Piece(behaviour.after_done.encode()))
    kind = behaviour.content_type or "text/event-stream; charset=utf-8"
    return Answer(behaviour.status, [("content-type", kind)], pieces, usage, chunked=True)


def _chunks(ask: Ask, behaviour: Behaviour, usage: Json | None) -> Iterator[tuple[Json, int]]:
    """Every chunk of the stream with its tokens: role, content, finish, usage."""
    base: Json = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000}
    base |= {"model": ask.model} | behaviour.chunk
    riding: Json = {"usage": usage} if behaviour.usage == "every" else {}
    if ask.include_usage and behaviour.usage == "asked":
        riding = {"usage": None}
    count = behaviour.n or ask.n

    def choice(index: int, delta: Json, finish: str | None = None) -> Json:
        made = {"index": index, "delta": delta, "finish_reason": finish} | behaviour.choice
        return base | {"choices": [made]} | riding

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


def event(data: str, behaviour: Behaviour) -> bytes:
    """One server-sent event around this data, in the behaviour's handwriting."""
    if behaviour.multi_line and data.startswith("{"):
        data = json.dumps(json.loads(data), ensure_ascii=False, indent=0)
    prefix = "data: " if behaviour.space else "data:"
    lines = [": a comment"] if behaviour.comments else []
    if behaviour.event_name:
        lines.append(f"event: {behaviour.event_name}")
    lines += [prefix + line for line in data.split("\n")]
    return (behaviour.line_end.join(lines) + behaviour.line_end * 2).encode()


_LATE = 'data: {"choices":[{"index":0,"delta":{"content":"late"}}]}\n\n'

# What a model of this name does without being told.
NAMED: dict[str, Behaviour] = {
    "ok": Behaviour(),
    "slow": Behaviour(tokens=200, delay=0.02, head_delay=0.02),
    "no-usage": Behaviour(usage="none"),
    "usage-in-finish": Behaviour(usage="finish"),
    "usage-in-every": Behaviour(usage="every"),
    "usage-twice": Behaviour(usage="twice"),
    "usage-negative": Behaviour(usage="negative"),
    "usage-text": Behaviour(usage="text"),
    "forgets-done": Behaviour(done=False),
    "talks-after-done": Behaviour(
        after_done='data: {"choices":[{"index":0,"delta":{"content":"late"}}]}\n\n'
    ),
    "byte-by-byte": Behaviour(texts=["gr\u00fc\u00df ", "\u4e16\u754c ", "\U0001f44b"], write=1),
    "crlf": Behaviour(line_end="\r\n", write=1),
    "cr": Behaviour(line_end="\r", write=1),
    "comments": Behaviour(comments=True, event_name="message"),
    "no-space": Behaviour(space=False),
    "multi-line": Behaviour(multi_line=True),
    "no-last-blank": Behaviour(last_blank=False),
    "big-line": Behaviour(big=4_000_000),
    "error-first": Behaviour(first='data: {"error":{"message":"overloaded","code":503}}\n\n', tokens=0),
    "resets": Behaviour(fault="reset", fault_after=BEFORE_HEADERS),
    "resets-midway": Behaviour(fault="reset", fault_after=3),
    "closes-midway": Behaviour(fault="close", fault_after=3, framing="close"),
    "cut-midway": Behaviour(fault="close", fault_after=3),
    "stops-midway": Behaviour(finish=None, done=False, usage="none"),
    "hangs": Behaviour(fault="hang", fault_after=BEFORE_HEADERS),
    "hangs-midway": Behaviour(fault="hang", fault_after=3),
    "only-comments": Behaviour(fault="comments", fault_after=0, delay=0.05),
}
