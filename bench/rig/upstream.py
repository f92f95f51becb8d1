"""A provider that costs next to nothing: `python -m bench.rig.upstream` prints its port.

Whole requests get one fixed chat completion; with `"stream":true` 100 chunks, 10 ms apart, each holding the
monotonic nanosecond at which it was written. It trusts its clients to speak HTTP.
"""

import asyncio
import time
from typing import cast

import uvloop

from tests.upstream import die_with_parent

CHUNKS = 100
GAP = 0.01
PROMPT_TOKENS, COMPLETION_TOKENS = 250, 100
_USAGE = b'{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}' % (
    PROMPT_TOKENS,
    COMPLETION_TOKENS,
    PROMPT_TOKENS + COMPLETION_TOKENS,
)
_WHOLE = (
    b'{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"m","choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"%b"},"finish_reason":"stop"}],"usage":%b}'
    % (b"word " * 100, _USAGE)
)
WHOLE = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: up\r\ncontent-length: %d\r\n\r\n%b"
    % (len(_WHOLE), _WHOLE)
)
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-request-id: up\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
_CHUNK = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"m",'
    b'"choices":[{"index":0,"delta":{"content":"%020d"},"finish_reason":%b}]}\n\n'
)
_LAST = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"m",'
    b'"choices":[],"usage":%b}\n\ndata: [DONE]\n\n' % _USAGE
)


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Connection(asyncio.Protocol):
    """One request at a time, as keep-alive clients send them."""

    def __init__(self) -> None:
        self.buffer = b""
        self.needed = 0
        self.left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.buffer = self.buffer + data if self.buffer else data
        if not self.needed:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            self.needed = end + 4 + _length(self.buffer[:end])
        if len(self.buffer) < self.needed:
            return
        streams = b'"stream":true' in self.buffer[-200:]
        self.buffer, self.needed = b"", 0
        if streams:
            self.left = CHUNKS
            self.transport.write(_STREAM_HEAD)
            self.speak(asyncio.get_running_loop().time())
        else:
            self.transport.write(WHOLE)

    def speak(self, due: float) -> None:
        if self.transport.is_closing():
            return
        self.left -= 1
        finish = b"null" if self.left else b'"stop"'
        chunk = _framed(_CHUNK % (time.monotonic_ns(), finish))
        if self.left:
            self.transport.write(chunk)
            asyncio.get_running_loop().call_at(due + GAP, self.speak, due + GAP)
        else:
            self.transport.write(chunk + _framed(_LAST) + b"0\r\n\r\n")


def _length(head: bytes) -> int:
    low = head.lower()
    at = low.index(b"content-length:") + 15
    return int(low[at:].split(b"\r\n", 1)[0])


async def main() -> None:
    die_with_parent()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
