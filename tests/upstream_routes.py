"""The fake provider's addresses: which surface answers a request, and what it is told of it."""

import gzip
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from tests.upstream_forms import BadForm, is_form, parts_of
from tests.upstream_surfaces import chat, images, lists, messages, sound
from tests.upstream_surfaces.files import Files
from tests.upstream_surfaces.responses import Responses
from tests.upstream_wire import NAMED, Answer, Ask, Behaviour, Json, Piece, refused, told

type Surface = Callable[[Ask, Behaviour], Answer]

POSTS: dict[str, Surface] = {
    "chat/completions": chat.answer,
    "completions": chat.answer,
    "embeddings": lists.embeddings,
    "moderations": lists.moderations,
    "rerank": lists.rerank,
    "messages": messages.answer,
    "messages/count_tokens": messages.answer,
    "audio/speech": sound.speech,
    "audio/transcriptions": sound.heard,
    "audio/translations": sound.heard,
    "images/generations": images.answer,
    "images/edits": images.answer,
    "images/variations": images.answer,
}
_KEPT = ("responses", "files", "batches", "models")
_ITEM = re.compile(r"(?P<kind>responses|files|batches|models)/(?P<id>.+?)(?P<rest>/[a-z_]+)?$")
_ITEM_ID = "{id}"


@dataclass
class Routes:
    """All surfaces of one provider, with what it keeps of its clients."""

    name: str
    responses: Responses = field(default_factory=Responses)
    files: Files = field(default_factory=Files)

    def answer(self, ask: Ask, behaviour: Behaviour) -> Answer:
        """The answer that this behaviour gives to this request."""
        made = self._answer(ask, behaviour)
        made.headers.extend(behaviour.headers)
        if behaviour.gzip:
            made.headers.append(("content-encoding", "gzip"))
            data = gzip.compress(b"".join(piece.data for piece in made.pieces))
            made.pieces = [Piece(data, sum(piece.tokens for piece in made.pieces))]
        return made

    def _answer(self, ask: Ask, behaviour: Behaviour) -> Answer:
        if ask.stream and behaviour.stream_body is not None:
            events = [("content-type", "text/event-stream")]
            return Answer(behaviour.status, events, [Piece(behaviour.stream_body.encode())])
        if behaviour.body is not None:
            kind = behaviour.content_type or "application/json"
            return Answer(behaviour.status, [("content-type", kind)], [Piece(behaviour.body.encode())])
        if ask.endpoint.startswith("models"):
            return self._models(ask)
        if ask.method == "POST" and ask.endpoint in POSTS:
            return POSTS[ask.endpoint](ask, behaviour)
        if ask.route == "POST responses":
            return self.responses.answer(ask, behaviour)
        if ask.endpoint.startswith("responses/"):
            return self.responses.item(ask, behaviour)
        if ask.endpoint.partition("/")[0] in ("files", "batches"):
            return self.files.answer(ask, behaviour)
        return refused(404, f"Unknown request URL: {ask.route}.", code="unknown_url")

    def _models(self, ask: Ask) -> Answer:
        """In OpenAI's form, or Anthropic's for those who name its version."""
        if ask.headers.get("anthropic-version"):
            rows = [{"type": "model", "id": name, "display_name": name} for name in NAMED]
            rows = [row | {"created_at": "2025-01-01T00:00:00Z"} for row in rows]
            ends = {"first_id": rows[0]["id"], "last_id": rows[-1]["id"], "has_more": False}
            return told(200, {"data": rows, **ends})
        rows = [{"id": name, "object": "model", "owned_by": self.name} for name in NAMED]
        return told(200, {"object": "list", "data": rows})

    def model_of(self, endpoint: str, item: str) -> str:
        """Of something that was made before."""
        kept = self.responses.kept.get(item) if endpoint.startswith("responses/") else None
        return str(kept.response["model"]) if kept else ""


def ask_of(method: str, target: str, headers: list[tuple[str, str]], body: bytes) -> Ask:
    """Read a request of any surface. What is no JSON object and no form has no fields."""
    path, _, query = target.partition("?")
    named = {name.lower(): value for name, value in headers}
    endpoint, item = _endpoint(path)
    ask = Ask(endpoint, method=method, item=item, query=dict(parse_qsl(query)), headers=named)
    kind = named.get("content-type", "")
    if is_form(kind):
        try:
            ask.parts = parts_of(kind, body)
        except BadForm:
            return ask
        ask.body = {part.name: part.data.decode() for part in ask.parts if part.filename is None}
    else:
        ask.body = _json(body)
    options, choices = ask.body.get("stream_options"), ask.body.get("n")
    ask.model = str(ask.body.get("model", ""))
    ask.stream = ask.body.get("stream") in (True, "true", "True")
    ask.include_usage = isinstance(options, dict) and options.get("include_usage") is True
    said = str(choices)
    ask.n = max(1, int(said)) if said.isdecimal() else 1
    return ask


def _endpoint(path: str) -> tuple[str, str]:
    """What is behind the base, with `{id}` for an id, and that id."""
    rest = path.rstrip("/").partition("/v1/")[2] or path.strip("/")
    if found := _ITEM.fullmatch(rest):
        return f"{found['kind']}/{_ITEM_ID}{found['rest'] or ''}", found["id"]
    known = [name for name in (*POSTS, *_KEPT) if rest == name or rest.endswith(f"/{name}")]
    return max(known, key=len, default=rest), ""


def _json(body: bytes) -> Json:
    try:
        parsed = json.loads(body)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}
