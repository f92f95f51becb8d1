"""A closed-loop client: `python -m bench.rig.client PORT KEY`, told by a JSON line what to ask.

`{"requests": 1000, "connections": 64, "prompt_bytes": 900, "stream": false}` is answered by one line with
seconds, errors, truncated and (streams) the delays of chunks. Connections stay open between lines.
"""

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import cast

import httptools
import uvloop

from bench.rig.upstream import CHUNKS
from tests.upstream import die_with_parent

_MARK = b'"content":"'


@dataclass
class Job:
    """What one line asks for."""

    requests: int
    connections: int
    prompt_bytes: int
    stream: bool


@dataclass
class Result:
    """What became of it. `delays_us`: of each chunk, from its writing to its arrival here."""

    requests: int = 0
    errors: int = 0
    truncated: int = 0
    seconds: float = 0.0
    delays_us: list[int] = field(default_factory=list)


class Run:
    """One job under way, shared by its connections."""

    def __init__(self, job: Job, request: bytes) -> None:
        self.job, self.request = job, request
        self.left = job.requests
        self.result = Result()
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def take(self) -> bool:
        self.left -= 1
        return self.left >= 0

    def ended(self) -> None:
        self.result.requests += 1
        if self.result.requests == self.job.requests and not self.over.done():
            self.over.set_result(None)


class Connection(asyncio.Protocol):
    """Asks again as soon as an answer is complete, while the run has requests left."""

    def __init__(self) -> None:
        self.run: Run | None = None
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def begin(self, run: Run) -> None:
        if not run.take():
            self.run = None
            return
        self.run = run
        self.parser = httptools.HttpResponseParser(self)
        self.size = self.chunks = 0
        self.done = False
        self.transport.write(run.request)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_body(self, data: bytes) -> None:
        assert self.run
        self.size += len(data)
        if self.run.job.stream:
            self._note_chunks(data, self.run)
        else:
            self.done = data.endswith(b"}}")

    def _note_chunks(self, data: bytes, run: Run) -> None:
        now = time.monotonic_ns()
        at = data.find(_MARK)
        while at >= 0:
            self.chunks += 1
            run.result.delays_us.append((now - int(data[at + 11 : at + 31])) // 1000)
            at = data.find(_MARK, at + 31)
        self.done = self.done or b"data: [DONE]" in data

    def on_message_complete(self) -> None:
        run = self.run
        assert run
        if self.parser.get_status_code() != 200:
            run.result.errors += 1
        elif not self.done or (run.job.stream and self.chunks != CHUNKS):
            run.result.truncated += 1
        run.ended()
        asyncio.get_running_loop().call_soon(self.begin, run)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self.run is not None:
            self.run.result.truncated += 1
            self.run.ended()


def request_of(job: Job, port: int, key: str) -> bytes:
    """The bytes of one request with a prompt of this size."""
    text = ("Tell me more of it. " * (job.prompt_bytes // 20 + 1))[: job.prompt_bytes]
    fields = {"model": "m", "messages": [{"role": "user", "content": text}], "temperature": 0.2}
    if job.stream:
        fields["stream"] = True
    body = json.dumps(fields, separators=(",", ":")).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {key}\r\n"
        "Content-Type: application/json\r\nAccept: application/json\r\nUser-Agent: OpenAI/Python 2.8.1\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def ask(job: Job, port: int, key: str, pool: list[Connection]) -> Result:
    run = Run(job, request_of(job, port, key))
    pool[:] = [connection for connection in pool if not connection.closed]
    loop = asyncio.get_running_loop()
    while len(pool) < job.connections:
        _, connection = await loop.create_connection(Connection, "127.0.0.1", port)
        pool.append(connection)
    begun = time.monotonic()
    for connection in pool[: job.connections]:
        connection.begin(run)
    await asyncio.wait_for(run.over, 300)
    run.result.seconds = time.monotonic() - begun
    return run.result


async def main() -> None:
    die_with_parent()
    port, key = int(sys.argv[1]), sys.argv[2]
    pool: list[Connection] = []
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        result = await ask(Job(**json.loads(line)), port, key, pool)
        print(json.dumps(asdict(result)), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
