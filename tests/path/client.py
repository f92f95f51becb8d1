"""A client that looks at bytes: what the gateway really answered, header for header."""

import http.client
import json
import socket
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from tests.gateway_process import Gateway

CHAT = "/v1/chat/completions"
HELLO = [{"role": "user", "content": "Hello"}]


@dataclass(frozen=True)
class Reply:
    """A complete answer. `cut` tells that it ended before HTTP said so."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    cut: bool = False

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The error of the envelope, which has exactly four members."""
        said = self.json
        assert list(said) == ["error"], said
        error: dict[str, Any] = said["error"]
        assert set(error) == {"message", "type", "param", "code"}, error
        assert isinstance(error["message"], str), error
        assert error["message"], "the message is for people"
        assert error["code"] is None or isinstance(error["code"], str), error
        return error

    def header(self, name: str) -> str | None:
        values = [value for key, value in self.headers if key.lower() == name]
        assert len(values) <= 1, f"{name} came {len(values)} times"
        return values[0] if values else None

    @property
    def request_id(self) -> str:
        return self.header("x-request-id") or ""

    # --- as an event stream ---

    @property
    def events(self) -> list[str]:
        """The data of every event; the stream's form is checked on the way."""
        assert self.body.endswith(b"\n\n"), self.body[-200:]
        blocks = self.body.decode().removesuffix("\n\n").split("\n\n")
        blocks = [block for block in blocks if not block.startswith(":")]
        assert all(block.startswith("data: ") and "\n" not in block for block in blocks), blocks
        return [block.removeprefix("data: ") for block in blocks]

    @property
    def chunks(self) -> list[dict[str, Any]]:
        return [json.loads(event) for event in self.events if event != "[DONE]"]

    @property
    def text(self) -> str:
        """The content of all choices with index 0, put together."""
        choices = [choice for chunk in self.chunks for choice in chunk.get("choices", [])]
        return "".join(c["delta"].get("content") or "" for c in choices if c["index"] == 0)


@dataclass
class Client:
    """Someone with a key. Every request is on a connection of its own unless `Line` is used."""

    gateway: Gateway
    key: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def send(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        timeout: float = 30.0,
    ) -> Reply:
        """Ask with exactly these bytes; the key and a JSON content type are added where not given."""
        given = {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
        connection = http.client.HTTPConnection("127.0.0.1", self.gateway.port, timeout=timeout)
        try:
            connection.request(method, path, body, {**given, **self.headers, **(headers or {})})
            return reply_of(connection.getresponse())
        finally:
            connection.close()

    def get(self, path: str) -> Reply:
        return self.send("GET", path)

    def chat(self, model: str, **fields: Any) -> Reply:
        return self.send("POST", CHAT, chat_body(model, **fields))

    def stream(self, model: str, **fields: Any) -> Reply:
        return self.chat(model, stream=True, **fields)

    def open(self, model: str, path: str = CHAT, **fields: Any) -> "Line":
        """Send a request and look at the answer as it comes."""
        body = chat_body(model, **fields)
        request_id = f"test-{uuid.uuid4()}"
        line = Line(self.gateway, request_id)
        line.send(
            f"POST {path} HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {self.key}\r\n"
            f"content-type: application/json\r\nx-request-id: {request_id}\r\n"
            f"content-length: {len(body)}\r\n\r\n".encode()
            + body
        )
        return line


class Line:
    """A raw connection with one request under way; the request id is the client's own."""

    def __init__(self, gateway: Gateway, request_id: str = "") -> None:
        self.request_id = request_id
        self.socket = socket.create_connection(("127.0.0.1", gateway.port), timeout=15)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def read_until(self, marker: bytes, seconds: float = 15.0) -> bytearray:
        """Everything so far, as soon as it holds the marker."""
        self.socket.settimeout(seconds)
        searched = 0
        while self.received.find(marker, searched) < 0:
            searched = max(0, len(self.received) - len(marker))
            data = self.socket.recv(65536)
            assert data, f"it closed without {marker!r}: {bytes(self.received[-2000:])!r}"
            self.received += data
        return self.received

    def read_to_end(self) -> bytearray:
        while data := self.socket.recv(65536):
            self.received += data
        return self.received

    def leave(self) -> None:
        self.socket.close()


def reply_of(response: http.client.HTTPResponse) -> Reply:
    try:
        body, cut = response.read(), False
    except http.client.IncompleteRead as short:
        body, cut = short.partial, True
    return Reply(response.status, response.getheaders(), body, cut)


def chat_body(model: str, **fields: Any) -> bytes:
    return json.dumps({"model": model, "messages": HELLO, **fields}).encode()


def names() -> Iterator[str]:
    """Ever new names, so that tests never meet in one log."""
    while True:
        yield f"test-{uuid.uuid4()}"
