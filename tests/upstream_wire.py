"""What the fake provider says: a behaviour, and the bytes of an answer that follows it."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from tests.upstream_forms import Part

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
    # tools that are called with these arguments, if the request offers them ("": its first one) and does not
    # come with their results
    tools: dict[str, Json] = {}
    thought: str = ""  # what a model says that it thought before
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
    stream_body: str | None = None  # in place of it where a stream was asked for
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
    """The part of a request that decides the answer. `endpoint`: its path behind the base, ids as `{id}`."""

    endpoint: str
    model: str = ""
    stream: bool = False
    include_usage: bool = False
    n: int = 1
    method: str = "POST"
    item: str = ""
    body: Json = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    parts: list[Part] = field(default_factory=list)

    @property
    def route(self) -> str:
        return f"{self.method} {self.endpoint}"


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


def error(
    status: int, body: Json | str | None = None, headers: list[tuple[str, str]] | None = None
) -> Behaviour:
    """An error answer; without a body it is the one OpenAI would send."""
    if body is None:
        body = {"error": {"message": f"upstream says {status}", "type": "t", "param": None, "code": "c"}}
    text = body if isinstance(body, str) else json.dumps(body)
    kind = "text/html" if text.startswith("<") else "application/json"
    return Behaviour(status=status, body=text, content_type=kind, headers=headers or [])


def told(status: int, body: Json) -> Answer:
    """A JSON answer outside of any behaviour."""
    data = json.dumps(body, ensure_ascii=False).encode()
    return Answer(status, [("content-type", "application/json")], [Piece(data)])


def refused(status: int, message: str, kind: str = "invalid_request_error", **more: Any) -> Answer:
    """An error in OpenAI's form."""
    return told(status, {"error": {"message": message, "type": kind, "param": None, "code": None, **more}})


def whole(body: Json, behaviour: Behaviour, usage: Json | None, tokens: int = 0) -> Answer:
    """A complete JSON answer as the behaviour writes it."""
    data = json.dumps(body | behaviour.chunk, ensure_ascii=False).encode()
    data = data[: len(data) - behaviour.truncate]
    kind = behaviour.content_type or "application/json"
    return Answer(behaviour.status, [("content-type", kind)], [Piece(data, tokens)], usage)


def typed(events: Iterable[tuple[Json, int]], behaviour: Behaviour, usage: Json | None) -> Answer:
    """A stream of events that carry their name in `type`, each with its tokens."""
    pieces = [Piece(behaviour.first.encode())] if behaviour.first else []
    for data, tokens in events:
        text = json.dumps(data, ensure_ascii=False)
        pieces.append(Piece(event(text, behaviour, data["type"]), tokens))
    return streamed(pieces, behaviour, usage)


def streamed(pieces: list[Piece], behaviour: Behaviour, usage: Json | None) -> Answer:
    """An event stream of these pieces."""
    if not behaviour.last_blank:
        pieces[-1].data = pieces[-1].data.rstrip(b"\r\n")
    if behaviour.after_done:
        pieces.append(Piece(behaviour.after_done.encode()))
    kind = behaviour.content_type or "text/event-stream; charset=utf-8"
    return Answer(behaviour.status, [("content-type", kind)], pieces, usage, chunked=True)


def counted(behaviour: Behaviour, completion: int) -> Json | None:
    """Usage in the words of chat completions, or None."""
    prompt = behaviour.prompt_tokens
    if behaviour.usage == "none":
        return None
    if behaviour.usage == "negative":
        return {"prompt_tokens": -prompt, "completion_tokens": -completion, "total_tokens": -1}
    if behaviour.usage == "text":
        return {"prompt_tokens": "many", "completion_tokens": "some", "total_tokens": "lots"}
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def texts_of(behaviour: Behaviour) -> list[str]:
    """The deltas of plain content."""
    texts = behaviour.texts
    texts = [f"w{i} " for i in range(behaviour.tokens)] if texts is None else list(texts)
    return [*texts, "x" * behaviour.big] if behaviour.big else texts


def halves(text: str) -> list[str]:
    """In two pieces, so that clients must put them together."""
    middle = len(text) // 2
    return [piece for piece in (text[:middle], text[middle:]) if piece]


def calls_of(behaviour: Behaviour, offered: list[str], answered: bool) -> list[tuple[str, str]]:
    """Names and JSON arguments of the tools that are called now."""
    if answered or not offered:
        return []
    wanted = [(name or offered[0], arguments) for name, arguments in behaviour.tools.items()]
    return [(name, json.dumps(arguments)) for name, arguments in wanted if name in offered]


def event(data: str, behaviour: Behaviour, name: str = "") -> bytes:
    """One server-sent event around this data, in the behaviour's handwriting."""
    if behaviour.multi_line and data.startswith("{"):
        data = json.dumps(json.loads(data), ensure_ascii=False, indent=0)
    prefix = "data: " if behaviour.space else "data:"
    lines = [": a comment"] if behaviour.comments else []
    if name := behaviour.event_name or name:
        lines.append(f"event: {name}")
    lines += [prefix + line for line in data.split("\n")]
    return (behaviour.line_end.join(lines) + behaviour.line_end * 2).encode()


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
