"""The fake provider's server: HTTP/1.1 by hand, so that it can misbehave at byte level."""

import asyncio
import base64
import itertools
import json
import socket
import struct
import time
from dataclasses import dataclass, field
from typing import Any, Literal, cast
from urllib.parse import parse_qs

import msgspec

from tests.upstream_routes import Routes, ask_of
from tests.upstream_wire import BEFORE_HEADERS, NAMED, Answer, Ask, Behaviour, Json, Piece

KEPT_BYTES = 2_000_000
HIGH_WATER = 64 * 1024


@dataclass(frozen=True)
class Request:
    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key.lower() == name), "")


@dataclass
class Record:
    """What the log keeps of one request."""

    id: int
    connection: int
    request: Request
    arrived: float
    model: str = ""
    stream: bool = False
    route: str = ""
    parts: list[Json] = field(default_factory=list)
    ended: str = "open"
    ended_at: float | None = None
    closed: float | None = None
    closed_by: str = ""
    usage: Json | None = None
    tokens_sent: int = 0
    bytes_sent: int = 0
    sent: bytearray = field(default_factory=bytearray)

    def end(self, how: str) -> None:
        if self.ended == "open":
            self.ended, self.ended_at = how, time.time()

    def as_json(self) -> Json:
        row = {key: value for key, value in vars(self).items() if key not in ("request", "sent")}
        row |= {"method": self.request.method, "target": self.request.target}
        row |= {"headers": self.request.headers, "body": base64.b64encode(self.request.body).decode()}
        return row | {"sent": base64.b64encode(self.sent).decode()}


class Script:
    """Which behaviour comes next, by upstream model; the last one told stays."""

    def __init__(self) -> None:
        self.told: dict[str | None, list[Behaviour]] = {}

    def tell(self, model: str | None, behaviours: list[Behaviour]) -> None:
        self.told[model] = behaviours

    def next(self, model: str) -> Behaviour:
        told = self.told.get(model) or self.told.get(None)
        if not told:
            return NAMED.get(model, Behaviour())
        return told.pop(0) if len(told) > 1 else told[0]


class Control(msgspec.Struct, forbid_unknown_fields=True):
    behaviour: Behaviour | None = None
    behaviours: list[Behaviour] = []
    model: str | None = None


class Provider:
    """The state behind all connections: script and log."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.script = Script()
        self.log: list[Record] = []
        self.routes = Routes(name)
        self.connections = itertools.count(1)
        self.begun = 0

    def control(self, request: Request) -> tuple[int, Any]:
        path, _, query = request.target.partition("?")
        if path == "/_log":
            models = parse_qs(query).get("model")
            return 200, [record.as_json() for record in self.log if not models or record.model in models]
        if path == "/_begun":
            return 200, self.begun
        if path == "/_reset":
            self.script, self.log, self.routes = Script(), [], Routes(self.name)
            return 200, {}
        if path != "/_control":
            return 404, {"error": "no such control"}
        try:
            told = msgspec.json.decode(request.body, type=Control)
        except msgspec.ValidationError as problem:
            return 400, {"error": str(problem)}
        self.script.tell(told.model, [told.behaviour] if told.behaviour else told.behaviours)
        return 200, {}

    def receive(self, connection: int, request: Request, ask: Ask) -> Record:
        record = Record(len(self.log) + 1, connection, request, time.time(), ask.model, ask.stream, ask.route)
        record.parts = [part.as_json() for part in ask.parts]
        self.log.append(record)
        return record


class Connection(asyncio.Protocol):
    """One client connection: requests in turn, each answered as its behaviour says."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.number = next(provider.connections)
        self.buffer = bytearray()
        self.arrived = asyncio.Event()
        self.writable = asyncio.Event()
        self.writable.set()
        self.records: list[Record] = []
        self.dies_on_reuse = False
        self.closing = False

    # --- asyncio's side ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=HIGH_WATER)
        self.task = asyncio.get_running_loop().create_task(self.serve())
        self.task.add_done_callback(self.served)

    def served(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (mistake := task.exception()):
            self.transport.abort()  # a test must not wait for a provider that has a bug itself
            raise mistake

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        self.arrived.set()

    def eof_received(self) -> None:
        self.left("client")

    def connection_lost(self, exc: Exception | None) -> None:
        self.left("upstream" if self.closing else "client")

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def left(self, by: str) -> None:
        for record in self.records:
            record.end("client left")
            if record.closed is None:
                record.closed, record.closed_by = time.time(), by
        self.task.cancel()

    def close(self, how: str = "") -> None:
        self.closing = True
        if how == "reset":
            sock: socket.socket = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()
        else:
            self.transport.close()

    # --- reading ---

    async def more(self) -> None:
        self.arrived.clear()
        await self.arrived.wait()

    async def line(self) -> bytes:
        while (end := self.buffer.find(b"\r\n")) < 0:
            await self.more()
        found = bytes(self.buffer[:end])
        del self.buffer[: end + 2]
        return found

    async def exactly(self, count: int) -> bytes:
        while len(self.buffer) < count:
            await self.more()
        found = bytes(self.buffer[:count])
        del self.buffer[:count]
        return found

    async def read_request(self) -> Request:
        method, target, _ = (await self.line()).decode("latin-1").split(" ", 2)
        headers: list[tuple[str, str]] = []
        while line := (await self.line()).decode("latin-1"):
            name, _, value = line.partition(":")
            headers.append((name, value.strip()))
        request = Request(method, target, headers, b"")
        self.provider.begun += not target.startswith("/_")
        if request.header("expect").lower() == "100-continue":
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if "chunked" in request.header("transfer-encoding").lower():
            return Request(method, target, headers, await self.chunked_body())
        return Request(
            method, target, headers, await self.exactly(int(request.header("content-length") or 0))
        )

    async def chunked_body(self) -> bytes:
        body = bytearray()
        while size := int((await self.line()).split(b";")[0], 16):
            body += await self.exactly(size)
            await self.line()
        while await self.line():
            pass
        return bytes(body)

    # --- answering ---

    async def serve(self) -> None:
        keep = True
        while keep:
            try:
                request = await self.read_request()
            except ValueError:  # not HTTP
                break
            keep = self.control(request) if request.target.startswith("/_") else await self.answer(request)
        self.close()

    def control(self, request: Request) -> Literal[True]:
        status, body = self.provider.control(request)
        data = json.dumps(body).encode()
        self.transport.write(head(status, [("content-length", str(len(data)))]) + data)
        return True

    async def answer(self, request: Request) -> bool:
        """Answer one request; whether the connection stays open."""
        ask = ask_of(request.method, request.target, request.headers, request.body)
        ask.model = ask.model or self.provider.routes.model_of(ask.endpoint, ask.item)
        record = self.provider.receive(self.number, request, ask)
        self.records.append(record)
        if self.dies_on_reuse:
            record.end("dead connection")
            return False
        behaviour = self.provider.script.next(ask.model)
        made = self.provider.routes.answer(ask, behaviour)
        self.dies_on_reuse = behaviour.dies_on_reuse
        if not await self.speak(record, behaviour, made):
            return False
        record.usage = made.usage
        record.end("complete")
        if behaviour.idle_close is not None:
            asyncio.get_running_loop().call_later(behaviour.idle_close, self.close)
        return behaviour.keep_alive and behaviour.framing != "close"

    async def speak(self, record: Record, behaviour: Behaviour, made: Answer) -> bool:
        """Write the answer up to its end (True) or its fault (False)."""
        await asyncio.sleep(behaviour.head_delay)
        if behaviour.fault and behaviour.fault_after == BEFORE_HEADERS:
            return await self.break_off(record, behaviour)
        if behaviour.interim:
            self.transport.write(head(103, [("link", "</style.css>")]))
        framing = behaviour.framing or ("chunked" if made.chunked else "length")
        self.transport.write(head(made.status, self.headers(record, behaviour, made, framing)))
        pieces = made.pieces
        if behaviour.fault and len(pieces) == 1:  # a whole answer breaks in its middle
            data = pieces[0].data
            pieces = [Piece(data[: len(data) // 2]), Piece(data[len(data) // 2 :], pieces[0].tokens)]
        stray = behaviour.stray.encode()
        for count, piece in enumerate(pieces):
            if behaviour.fault and count == min(behaviour.fault_after, len(pieces) - 1):
                return await self.break_off(record, behaviour)
            await asyncio.sleep(behaviour.delay)
            last = count == len(pieces) - 1 and framing != "chunked"
            await self.write(piece, behaviour, framing, stray if last else b"")
            self.count(record, piece)
        if framing == "chunked":
            self.transport.write(b"0\r\n\r\n" + stray)
        return True

    def headers(
        self, record: Record, behaviour: Behaviour, made: Answer, framing: str
    ) -> list[tuple[str, str]]:
        anthropic = record.route.startswith("POST messages")
        named = "request-id" if anthropic else "x-request-id"
        headers = [*made.headers, (named, f"{self.provider.name}-{record.id}")]
        if framing == "chunked":
            headers.append(("transfer-encoding", "chunked"))
        elif framing == "length":
            headers.append(("content-length", str(sum(len(piece.data) for piece in made.pieces))))
        if not behaviour.keep_alive or framing == "close":
            headers.append(("connection", "close"))
        return headers

    async def write(self, piece: Piece, behaviour: Behaviour, framing: str, stray: bytes = b"") -> None:
        """`stray` goes out together with the last bytes: if later, it could answer the next request."""
        step = behaviour.write or len(piece.data) or 1
        for start in range(0, len(piece.data), step):
            data = piece.data[start : start + step]
            behind = stray if start + step >= len(piece.data) else b""
            framed = b"%x\r\n%b\r\n" % (len(data), data) if framing == "chunked" else data
            self.transport.write(framed + behind)
            await self.writable.wait()
            if behaviour.write:
                await asyncio.sleep(behaviour.write_delay)

    def count(self, record: Record, piece: Piece) -> None:
        record.tokens_sent += piece.tokens
        record.bytes_sent += len(piece.data)
        if len(record.sent) < KEPT_BYTES:
            record.sent += piece.data

    async def break_off(self, record: Record, behaviour: Behaviour) -> bool:
        if behaviour.fault == "comments":
            while True:
                await self.write(Piece(b": still here\n\n"), behaviour, behaviour.framing or "chunked")
                await asyncio.sleep(behaviour.delay or 0.05)
        if behaviour.fault == "drip":  # bytes for ever, and never a whole event of them
            await self.write(Piece(b"data: "), behaviour, behaviour.framing or "chunked")
            while True:
                await asyncio.sleep(behaviour.delay or 0.05)
                await self.write(Piece(b"x"), behaviour, behaviour.framing or "chunked")
        if behaviour.fault == "hang":
            await asyncio.Event().wait()
        record.end(behaviour.fault)
        self.close(behaviour.fault)
        return False


def head(status: int, headers: list[tuple[str, str]]) -> bytes:
    lines = [f"HTTP/1.1 {status} Said", *(f"{name}: {value}" for name, value in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


async def run(port: int, name: str) -> None:
    """Listen on loopback, print the port, and serve until killed."""
    provider = Provider(name)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(provider), "127.0.0.1", port, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
