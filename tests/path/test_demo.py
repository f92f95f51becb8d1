"""`make demo`: a real small model answers through the gateway, and nothing is left when it ends."""

import importlib.util
import json
import os
import re
import signal
import socket
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.gateway.serving import Program, until


def _demo() -> Program:
    return Program("scripts/demo.py", env={"PYTHONDONTWRITEBYTECODE": "1"})


@pytest.fixture(scope="module")
def demo() -> Iterator[Program]:
    if importlib.util.find_spec("xllamacpp") is None:
        message = "NOT TESTED: the demo's model; `make demo` installs it"
        pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)
    with _demo() as program:
        program.start()
        until(lambda: "Ctrl-C ends everything." in program.out or program.running.poll(), "a ready demo", 60)
        assert program.running.poll() is None, program.err
        yield program


def _key(demo: Program) -> str:
    found = re.search(r"API key +(sk-sy-\S+)", demo.out)
    assert found, demo.out
    return found[1]


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def _ask(demo: Program, **more: Any) -> str:
    body = {
        "model": "demo",
        "messages": [{"role": "user", "content": "Say hello."}],
        "max_tokens": 16,
        **more,
    }
    request = urllib.request.Request(
        f"http://127.0.0.1:{demo.port}/v1/chat/completions",
        json.dumps(body).encode(),
        {"Authorization": f"Bearer {_key(demo)}"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return str(answer.read().decode())


def test_the_model_answers_with_text(demo: Program) -> None:
    answer = json.loads(_ask(demo))
    assert answer["choices"][0]["message"]["content"].strip()
    assert answer["usage"]["completion_tokens"] > 0


def test_the_model_answers_as_a_stream(demo: Program) -> None:
    events = [line for line in _ask(demo, stream=True).splitlines() if line.startswith("data: ")]
    assert events[-1] == "data: [DONE]"
    assert len(events) > 3


def test_a_taken_port_is_one_clear_line(demo: Program) -> None:
    with _demo() as second:
        second.env["PORT"] = str(demo.port)
        assert second.start().exit_code() == 1
        assert second.err.startswith(f"cannot listen on 127.0.0.1:{demo.port}: Address already in use")
        assert second.err.count("\n") == 1


def test_it_is_ended_by_ctrl_c_shows_no_secret_twice_and_dies_with_its_parent(demo: Program) -> None:
    os.killpg(demo.pid, signal.SIGINT)
    assert demo.exit_code(20) == 0, demo.err
    assert demo.all_gone()
    secret = _key(demo)
    shown = len(demo.out)
    demo.start()
    until(lambda: "Ctrl-C ends everything." in demo.out[shown:], "a second ready demo", 60)
    assert "shown at the first start" in demo.out[shown:]
    assert "sk-sy-" not in demo.out[shown:]
    assert _ask(demo), f"{secret} still works"
    demo.signal(signal.SIGKILL)
    demo.running.wait()
    assert demo.all_gone(3)
    until(lambda: _is_free(demo.port), "a free port", 3)
