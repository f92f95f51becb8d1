"""Many clients at once, on one event loop: each request on a connection of its own."""

import asyncio
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from tests.path.client import CHAT, chat_body

# Its estimate is an even number.
HELLO = [{"role": "user", "content": "Hello you"}]


@dataclass(frozen=True, slots=True)
class Order:
    """A request. `leaves_after` so many seconds, or as soon as `leaves_at` was read, its client goes."""

    port: int
    key: str
    body: bytes
    leaves_after: float | None = None
    leaves_at: bytes = b""

    @property
    def sent(self) -> bytes:
        head = (
            f"POST {CHAT} HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {self.key}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(self.body)}\r\n"
            "connection: close\r\n\r\n"
        )
        return head.encode() + self.body


@dataclass(frozen=True, slots=True)
class Answer:
    """`status` 0: none came. `at`: when it was asked, on the monotonic clock; `gap`: its longest silence."""

    status: int
    at: float
    seconds: float
    headers: Mapping[str, str]
    body: bytes
    left: bool = False
    gap: float = 0.0

    @property
    def whole(self) -> bool:
        """Whether all of a good answer came."""
        if self.left or self.status != 200:
            return False
        if self.headers.get("transfer-encoding") == "chunked":
            return self.body.endswith(b"0\r\n\r\n") and b"data: [DONE]" in self.body[-200:]
        return len(self.body) == int(self.headers["content-length"])

    @property
    def code(self) -> str:
        """Of an error its code."""
        return str(json.loads(self.body)["error"]["code"]) if self.status >= 400 else ""

    @property
    def events(self) -> list[str]:
        """The data of every event of a stream. ValueError where it is cut or no stream."""
        text = _unchunked(self.body).decode()
        blocks = [block for block in text.split("\n\n") if not block.startswith(":")]
        if blocks.pop() or not all(block.startswith("data: ") and "\n" not in block for block in blocks):
            raise ValueError(f"not a stream of events: {text[-300:]}")
        return [block.removeprefix("data: ") for block in blocks]


def _unchunked(body: bytes) -> bytes:
    """The content of a chunked body. ValueError unless it came to its proper end."""
    pieces, at = [], 0
    while size := int(body[at : (line := body.index(b"\r\n", at))], 16):
        at = line + 2 + size + 2
        pieces.append(body[line + 2 : at - 2])
    if body[line:] != b"\r\n\r\n":
        raise ValueError(f"behind the last chunk: {body[line:][:80]!r}")
    return b"".join(pieces)


def order(port: int, key: str, model: str, **fields: object) -> Order:
    return Order(port, key, body(model, **fields))


def body(model: str, **fields: object) -> bytes:
    return chat_body(model, messages=HELLO, **fields)


def volley(orders: Sequence[Order], seconds: float = 30.0) -> list[Answer]:
    """All of them at once: every connection is open before the first byte of a request is sent."""
    return asyncio.run(_volley(orders, seconds))


async def _volley(orders: Sequence[Order], seconds: float) -> list[Answer]:
    lines = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", each.port) for each in orders))
    for each, (_, writer) in zip(orders, lines, strict=True):
        writer.write(each.sent)
    at = time.monotonic()
    reading = (_read(each, *line, at, seconds) for each, line in zip(orders, lines, strict=True))
    return await asyncio.gather(*reading)


async def ask(each: Order, seconds: float = 30.0) -> Answer:
    """One request, as far as its client waits for the answer."""
    at = time.monotonic()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", each.port)
    except OSError:
        return Answer(0, at, time.monotonic() - at, {}, b"")
    writer.write(each.sent)
    return await _read(each, reader, writer, at, seconds)


async def _read(
    each: Order, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, at: float, seconds: float
) -> Answer:
    data, left = bytearray(), False
    heard, gap = 0.0, 0.0
    patience = seconds if each.leaves_after is None else each.leaves_after
    try:
        async with asyncio.timeout(patience):
            while piece := await reader.read(65536):
                gap = max(gap, time.monotonic() - heard if data else 0.0)
                heard = time.monotonic()
                data += piece
                if each.leaves_at and each.leaves_at in data:
                    left = True
                    break
    except TimeoutError:
        left = True
    except OSError:
        pass
    took = time.monotonic() - at
    writer.transport.abort() if left else writer.close()
    return _answer(bytes(data), at, took, left=left, gap=gap)


def _answer(data: bytes, at: float, seconds: float, *, left: bool, gap: float) -> Answer:
    head, _, body = data.partition(b"\r\n\r\n")
    first, _, rest = head.decode("latin-1").partition("\r\n")
    if not first.startswith("HTTP/1.1 "):
        return Answer(0, at, seconds, {}, b"", left)
    pairs = (line.partition(": ") for line in rest.split("\r\n"))
    headers = {name.lower(): value for name, _, value in pairs}
    return Answer(int(first[9:12]), at, seconds, headers, body, left, gap)


def crowd(orders: Iterable[Order], most: int, seconds: float = 30.0) -> list[Answer]:
    """All of them, so many at a time."""
    return asyncio.run(_crowd(orders, most, seconds))


async def _crowd(orders: Iterable[Order], most: int, seconds: float) -> list[Answer]:
    waiting = iter(list(orders))
    answers: list[Answer] = []

    async def client() -> None:
        for each in waiting:
            answers.append(await ask(each, seconds))

    await asyncio.gather(*(client() for _ in range(most)))
    return answers


def stream_of(orders: Iterable[Order], rate: float) -> list[Answer]:
    """So many a second, however long answers take."""
    return asyncio.run(_stream_of(orders, rate))


async def _stream_of(orders: Iterable[Order], rate: float) -> list[Answer]:
    begun, running = time.monotonic(), list[asyncio.Task[Answer]]()
    for number, each in enumerate(orders):
        await asyncio.sleep(max(0.0, begun + number / rate - time.monotonic()))
        running.append(asyncio.create_task(ask(each)))
    return await asyncio.gather(*running)


class Load:
    """Asks at a fixed rate, however long answers take, on a loop and thread of its own."""

    def __init__(self, rate: float, make: Callable[[int], Order]) -> None:
        self._rate, self._make = rate, make
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self.answers: list[tuple[Order, Answer]] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    async def _run(self) -> None:
        begun, running = time.monotonic(), set[asyncio.Task[None]]()
        for number in itertools.count():
            await asyncio.sleep(max(0.0, begun + number / self._rate - time.monotonic()))
            if self._stopping.is_set():
                break
            task = asyncio.create_task(self._one(self._make(number)))
            running.add(task)
            task.add_done_callback(running.discard)
        await asyncio.gather(*running)

    async def _one(self, each: Order) -> None:
        self.answers.append((each, await ask(each)))
