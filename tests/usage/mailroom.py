"""Where alerts go in tests: a mail server and a webhook's other side, both real and on loopback."""

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Mailbox:
    """A mail server's port and what it took. `refusing`: it answers every message with 451."""

    port: int = 0
    refusing: bool = False
    messages: list[EmailMessage] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)


@contextmanager
def mail_server() -> Iterator[Mailbox]:
    box = Mailbox()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            _serve_mail(self, box)

    with _Server(("127.0.0.1", 0), Handler) as server:
        box.port = server.server_address[1]
        with _running(server):
            yield box


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def _serve_mail(connection: socketserver.StreamRequestHandler, box: Mailbox) -> None:
    recipients: list[str] = []

    def say(line: str) -> None:
        connection.wfile.write(line.encode() + b"\r\n")

    say("220 test")
    while line := connection.rfile.readline().decode().strip():
        match line.split(":")[0].upper().split():
            case ["RCPT", "TO"]:
                recipients.append(line.partition("<")[2].partition(">")[0])
                say("250 ok")
            case ["DATA"] if box.refusing:
                say("451 try again later")
            case ["DATA"]:
                say("354 go on")
                body = b"".join(iter(connection.rfile.readline, b".\r\n"))
                message = message_from_bytes(body, policy=policy.default)
                assert isinstance(message, EmailMessage), "so says its policy"
                box.messages.append(message)
                box.recipients.append(recipients)
                recipients = []
                say("250 taken")
            case ["QUIT"]:
                say("221 bye")
                return
            case _:
                say("250 ok")


@dataclass
class Sink:
    """A webhook's other side: its URL, what it answers, and what it got."""

    url: str = ""
    status: int = 204
    location: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    hosts: list[str] = field(default_factory=list)


@contextmanager
def webhook_sink() -> Iterator[Sink]:
    sink = Sink()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sink.bodies.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            sink.hosts.append(self.headers["host"])
            self.send_response(sink.status)
            if sink.location:
                self.send_header("location", sink.location)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        sink.url = f"http://127.0.0.1:{server.server_port}/hooks/secret?token=1"
        with _running(server):
            yield sink


@contextmanager
def _running(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
