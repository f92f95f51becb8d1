"""A fake provider that misbehaves on demand: `python -m tests.upstream --port 0` prints its port.

`POST /_control {"behaviour": {...}, "model": "x"}` says how requests (for that upstream model) are answered,
`GET /_log` lists what arrived, `POST /_reset` forgets both.
"""

import argparse
import asyncio
import base64
import ctypes
import http.client
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

import msgspec

from tests.upstream_server import run
from tests.upstream_wire import BEFORE_HEADERS, NAMED, Behaviour, error

__all__ = ["BEFORE_HEADERS", "NAMED", "Behaviour", "Seen", "Upstream", "error", "refused_port"]

ROOT = Path(__file__).resolve().parent.parent
PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Have the kernel end this process when the one that started it ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


@dataclass(frozen=True)
class Seen:
    """A request that reached the provider, and what became of it. Times are Unix seconds."""

    id: int
    connection: int
    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes
    model: str
    stream: bool
    route: str  # such as "POST chat/completions", "GET responses/{id}"
    parts: list[dict[str, Any]]  # of a form: name, filename, content_type, size, sha256, value
    arrived: float
    ended: str  # open, complete, client left, reset, close, dead connection
    ended_at: float | None
    closed: float | None
    closed_by: str
    usage: dict[str, Any] | None
    tokens_sent: int
    bytes_sent: int
    sent: bytes

    def header(self, name: str) -> str | None:
        """The value of a header that came once, or None."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(values) <= 1, f"{name} came {len(values)} times"
        return values[0] if values else None

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def request_id(self) -> str:
        return self.header("x-request-id") or ""


class Upstream:
    """A provider process for a test: `with Upstream() as upstream: upstream.behave(Behaviour(tokens=9))`."""

    def __init__(self, name: str = "a", port: int = 0) -> None:
        self.name, self.port = name, port

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start (again, on the same port)."""
        command = [sys.executable, "-m", "tests.upstream", "--port", str(self.port), "--name", self.name]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout, "it was piped"
        self.port = int(self.process.stdout.readline())

    def stop(self) -> None:
        """Gone at once: connections are cut, further ones refused."""
        self.process.kill()
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def behave(self, *behaviours: Behaviour, model: str | None = None) -> None:
        """From now on; several are used up one per request, and the last one stays."""
        told = {"behaviours": [msgspec.to_builtins(each) for each in behaviours], "model": model}
        self._control("POST", "/_control", told)

    def reset(self) -> None:
        """Forget behaviours and log."""
        self._control("POST", "/_reset", {})

    def log(self, model: str | None = None) -> list[Seen]:
        """The requests so far (for one upstream model), in order of arrival."""
        path = "/_log" if model is None else f"/_log?{urlencode({'model': model})}"
        return [_seen(row) for row in self._control("GET", path, {})]

    def begun(self) -> int:
        """How many requests have begun to arrive; those in the log have come whole."""
        return int(self._control("GET", "/_begun", {}))

    @property
    def requests(self) -> list[Seen]:
        return self.log()

    def wait(
        self, done: Callable[[list[Seen]], bool], model: str | None = None, seconds: float = 5.0
    ) -> list[Seen]:
        """The log (of one upstream model) as soon as it satisfies `done`, within `seconds`."""
        deadline = time.monotonic() + seconds
        while not done(log := self.log(model)):
            assert time.monotonic() < deadline, f"still not so after {seconds} s: {log}"
            time.sleep(0.01)
        return log

    def _control(self, method: str, path: str, body: Any) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, json.dumps(body))
            answer = connection.getresponse()
            said = json.loads(answer.read())
        finally:
            connection.close()
        assert answer.status == 200, said
        return said


def _seen(row: dict[str, Any]) -> Seen:
    row["headers"] = [(name, value) for name, value in row["headers"]]
    return Seen(**row | {"body": base64.b64decode(row["body"]), "sent": base64.b64decode(row["sent"])})


@contextmanager
def refused_port() -> Iterator[int]:
    """A loopback port that refuses connections and that nobody else can take meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--name", default="a")
    arguments = parser.parse_args()
    die_with_parent()
    asyncio.run(run(arguments.port, arguments.name))


if __name__ == "__main__":
    main()
