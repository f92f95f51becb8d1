"""schemathesis against a running gateway whose provider always answers well; judged by tests."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

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


def config(upstream: Upstream) -> str:
    """One model for all, and one that speaks."""
    info = {"switchyard_also_speaks": ["responses", "messages"]}
    params = {"api_base": upstream.url, "api_key": "sk-1"}
    entries = [
        {"model_name": name, "litellm_params": {"model": f"openai/{name}", **params}, "model_info": info}
        for name in ("llm", "voice")
    ]
    return json.dumps({"model_list": entries})


def document(folder: Path) -> Path:
    """The document, for the models that there are: random names would all be 404."""
    told: dict[str, Any] = json.loads(DOCUMENT.read_text())
    for path, methods in told["paths"].items():
        model = "voice" if path == "/audio/speech" else "llm"
        for operation in methods.values():
            for media in operation.get("requestBody", {}).get("content", {}).values():
                fields = media["schema"]["properties"]
                if "model" in fields:
                    fields["model"] = {"type": "string", "enum": [model]}
    written = folder / "openapi.json"
    written.write_text(json.dumps(told))
    return written


def run(alice: Client, upstream: Upstream, folder: Path, *, seconds: int, examples: int) -> tuple[int, str]:
    """Exit code (0: nothing was found) and what schemathesis says."""
    upstream.behave(Behaviour(body=json.dumps(ANSWER), stream_body=STREAM))
    upstream.behave(Behaviour(body="sound", stream_body=STREAM, content_type="audio/mpeg"), model="voice")
    command = [
        str(Path(sys.executable).parent / "st"),
        "run",
        str(document(folder)),
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
        command, cwd=folder, capture_output=True, text=True, timeout=seconds + 240, check=False
    )
    return done.returncode, done.stdout + done.stderr
