"""A provider at byte level: it answers with exactly the bytes a test gives it, and ends as it is told."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable

from providers.connection import Destination, UpstreamRequest
from providers.transport import Transport

type Reply = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]
BODY = b'{"choices":[{"message":{"content":"Hello Alice"}}]}'
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 51\r\n\r\n" + BODY
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5;ext=1\r\n" + BODY[:5] + b"\r\n2e\r\n" + BODY[5:] + b"\r\n0\r\nX-Trailer: Bob\r\n\r\n"
)
CLOSE = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + BODY
MiB = 2**20


def compressed(body: bytes, encoding: str = "gzip") -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Provider:
    """Answers the requests of all its connections with these replies, one after the other."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.closing = False  # whether it closes after a reply
        self.requests: list[bytes] = []
        self.writers: list[asyncio.StreamWriter] = []
        self.gone = asyncio.Event()
        self.port = 0

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(length))
                reply = self.replies.pop(0)
                if isinstance(reply, bytes):
                    writer.write(reply)
                else:
                    await reply(writer)
                if self.closing:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            self.gone.set()
        finally:
            writer.close()

    @property
    def connections(self) -> int:
        return len(self.writers)

    @property
    def destination(self) -> Destination:
        return Destination("http", "127.0.0.1", self.port, confirmed=True)

    def request(self, body: bytes = b"{}") -> UpstreamRequest:
        return UpstreamRequest(self.destination, "POST", "/v1/chat/completions", [("x-a", "1")], body)


async def body_of(transport: Transport, provider: Provider, reply: Reply | None = None) -> bytes:
    if reply is not None:
        provider.replies.append(reply)
    async with asyncio.timeout(5):
        answer = await transport.ask(provider.request())
        try:
            return await answer.body(64 * MiB)
        finally:
            answer.close()


async def settle() -> None:
    """Let bytes that are on their way arrive."""
    await asyncio.sleep(0.02)


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def asking(host: str, port: int, *, scheme: str = "http", confirmed: bool = True) -> UpstreamRequest:
    return UpstreamRequest(Destination(scheme, host, port, confirmed), "POST", "/", [], b"")
