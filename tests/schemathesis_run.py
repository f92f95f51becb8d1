"""schemathesis against a running gateway whose provider always answers well; judged by tests."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from providers.dialects import CHAT, MESSAGES, RESPONSES
from tests.path.client import Client
from tests.upstream import Behaviour, Upstream

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "gateway" / "openapi.json"
# A good answer of every surface at once.
ANSWER = {
    "id": "x",
    "object": "x",
    "type": "message",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}],
    "output": [{"type": "message"}],
    "content": [],
    "data": [{"embedding": [0.5]}],
    "results": [{"index": 0}],
    "text": "x",
    "input_tokens": 1,
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "input_tokens": 1, "output_tokens": 1},
}
_EVENTS = (
    {"type": "response.completed", "response": ANSWER, "choices": [{"delta": {"content": "x"}}]},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}},
    {"type": "message_stop", "choices": [{"delta": {}, "finish_reason": "stop"}]},
    {"type": "speech.audio.done"},
)
STREAM = "".join(f"data: {json.dumps(event)}\n\n" for event in _EVENTS) + "data: [DONE]\n\n"
# No answer of the gateway's own is a fault of the server, and each has the form that the document says.
CHECKS = "not_a_server_error,content_type_conformance,response_schema_conformance"


# Every endpoint as it comes; chat alone, so that the others become chat; Anthropic's, so that chat is
# translated too; and one that speaks.
NATIVE, CHATS, CLAUDE, VOICE = "llm", "chats", "claude", "voice"
# Endpoint and model: each way that an answer must have come.
CROSSINGS = {(surface, name) for surface in (CHAT, RESPONSES, MESSAGES) for name in (NATIVE, CHATS, CLAUDE)}


def config(upstream: Upstream) -> str:
    """A model for each way to be spoken to, and one that speaks itself."""
    params = {"api_base": upstream.url, "api_key": "sk-1"}
    drop = {"drop_params": True}  # else every random field is a 400 before anything is translated
    speaks: dict[str, list[str]] = {NATIVE: ["responses", "messages"], VOICE: [], CHATS: []}
    entries = [
        {
            "model_name": name,
            "litellm_params": {"model": f"openai/{name}", **params},
            "model_info": {"switchyard_also_speaks": also},
        }
        for name, also in speaks.items()
    ]
    claude = {"model_name": CLAUDE, "litellm_params": {"model": "anthropic/claude-x", **params, **drop}}
    return json.dumps({"model_list": [*entries, claude]})


def _items(text: str, *, talks: bool) -> dict[str, Any]:
    """Messages as a surface has them, which the document leaves open: `text` is its kind of a text."""
    part = {"type": "object", "properties": {"type": {"enum": [text]}, "text": {"type": "string"}}}
    content = {"anyOf": [{"type": "string"}, {"type": "array", "minItems": 1, "items": _all_of(part)}]}
    roles = ["user", "system", "developer"] if talks else ["user"]
    asked = {"type": "object", "properties": {"role": {"enum": roles}, "content": content}}
    told = {"type": "object", "properties": {"role": {"enum": ["assistant"]}, "content": {"type": "string"}}}
    return {"type": "array", "minItems": 1, "items": {"anyOf": [_all_of(asked), _all_of(told)]}}


def _all_of(schema: dict[str, Any]) -> dict[str, Any]:
    return schema | {"required": list(schema["properties"]), "additionalProperties": False}


# What is nearly right goes deeper into a translation than what is not.
_NEARLY_RIGHT = {
    f"/{CHAT}": ("messages", _items("text", talks=True)),
    f"/{RESPONSES}": ("input", _items("input_text", talks=True)),
    f"/{MESSAGES}": ("messages", _items("text", talks=False)),
    f"/{MESSAGES}/count_tokens": ("messages", _items("text", talks=False)),
}


# Sent before anything random, so that each way is gone however little time there is.
_RIGHT: dict[str, dict[str, Any]] = {
    f"/{CHAT}": {"messages": [{"role": "user", "content": "Hello"}]},
    f"/{RESPONSES}": {"input": "Hello"},
    f"/{MESSAGES}": {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 9},
}


def document(folder: Path, model: str) -> Path:
    """The document, for the models that there are: random names would all be 404."""
    told: dict[str, Any] = json.loads(DOCUMENT.read_text())
    for path, methods in told["paths"].items():
        named = VOICE if path == "/audio/speech" else model
        for operation in methods.values():
            for media in operation.get("requestBody", {}).get("content", {}).values():
                fields = media["schema"]["properties"]
                if "model" in fields:
                    fields["model"] = {"type": "string", "enum": [named]}
                if model != NATIVE and path in _NEARLY_RIGHT:
                    _make_nearly_right(path, fields)
                if path in _RIGHT:
                    media["example"] = {"model": named, **_RIGHT[path]}
    written = folder / f"{model}.json"
    written.write_text(json.dumps(told))
    return written


def _make_nearly_right(path: str, fields: dict[str, Any]) -> None:
    """Anything still comes as well."""
    name, items = _NEARLY_RIGHT[path]
    fields[name] = {"anyOf": [items, fields[name]]}
    fields.pop("previous_response_id", None)  # only a provider with responses knows any
    if "n" in fields:
        fields["n"] = {"type": "integer", "enum": [1]}  # a translation gives one answer


def run(alice: Client, upstream: Upstream, folder: Path, *, seconds: int, examples: int) -> tuple[int, str]:
    """Exit code (0: nothing was found) and what schemathesis says, of all and then of each translation."""
    upstream.behave(Behaviour(body=json.dumps(ANSWER), stream_body=STREAM))
    upstream.behave(Behaviour(body="sound", stream_body=STREAM, content_type="audio/mpeg"), model=VOICE)
    said = ""
    for model, part in ((NATIVE, 2), (CHATS, 4), (CLAUDE, 4)):
        only = [] if model == NATIVE else [f"--include-path={path}" for path in _NEARLY_RIGHT]
        code, more = _run(alice, document(folder, model), only, seconds=seconds // part, examples=examples)
        said += more
        if code:
            return code, said
    return 0, said


def _run(alice: Client, document: Path, only: list[str], *, seconds: int, examples: int) -> tuple[int, str]:
    command = [
        str(Path(sys.executable).parent / "st"),
        "run",
        str(document),
        *only,
        "--url",
        f"http://127.0.0.1:{alice.gateway.port}/v1",
        "--header",
        f"Authorization: Bearer {alice.key}",
        "--checks",
        CHECKS,
        "--phases",
        "examples,coverage,fuzzing",
        "--max-examples",
        str(examples),
        "--max-time",
        str(seconds),
        "--request-timeout",
        "10",
        "--suppress-health-check",
        "all",
        "--seed",
        "7",
        "--no-color",
    ]
    done = subprocess.run(
        command, cwd=document.parent, capture_output=True, text=True, timeout=seconds + 240, check=False
    )
    return done.returncode, done.stdout + done.stderr


def crossed(alice: Client) -> dict[tuple[str, str], int]:
    """How many good answers came by each of the `CROSSINGS`."""
    good = Counter((row["endpoint"], row["model"]) for row in alice.gateway.usage(1) if row["status"] == "ok")
    return {way: good[way] for way in CROSSINGS}
