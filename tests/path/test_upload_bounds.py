"""Uploads that are too large, too slow or refused early: told in the envelope, with nothing left over."""

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Literal, Self

import pytest

from tests.gateway_process import Entry, Gateway, config_of
from tests.path.client import CHAT, Client, Line
from tests.path.conftest import DOORS
from tests.upstream import BEFORE_HEADERS, Behaviour, Upstream, error

TEXT = Behaviour(body=json.dumps({"text": "hello"}))
PATH = "/v1/audio/transcriptions"
SPEECH = "/v1/audio/speech"
MEGABYTE = 2**20
KIND = {"content-type": "multipart/form-data; boundary=xYz"}
FILE = b'--xYz\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
END = b"\r\n--xYz--\r\n"
DEFAULTS = {"language": "de", "temperature": 0.5}


def named(model: str) -> bytes:
    return b'--xYz\r\nContent-Disposition: form-data; name="model"\r\n\r\n' + model.encode() + b"\r\n"


def head(client: Client, *more: str) -> bytes:
    lines = [f"POST {PATH} HTTP/1.1", "host: g", f"authorization: Bearer {client.key}"]
    return "\r\n".join([*lines, "content-type: multipart/form-data; boundary=xYz", *more, "", ""]).encode()


@contextmanager
def deaf() -> Iterator[int]:
    """The port of a provider that takes connections and reads nothing."""
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listening.bind(("127.0.0.1", 0))
        listening.listen(50)
        yield listening.getsockname()[1]


class Hasty:
    """A provider that answers as soon as it has a head, and reads on; `heads` of each connection."""

    def __init__(self, status: int) -> None:
        told = json.dumps({"error": {"message": "too hasty"}}).encode()
        self._answer = b"HTTP/1.1 %d No\r\ncontent-length: %d\r\n\r\n%b" % (status, len(told), told)
        self.heads: list[int] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/v1"
        Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                self.heads.append(0)
                connection, _ = self._listening.accept()
                Thread(target=self._talk, args=(connection, len(self.heads) - 1), daemon=True).start()

    def _talk(self, connection: socket.socket, number: int) -> None:
        seen = b""
        with connection, suppress(ConnectionError):
            while data := connection.recv(65536):
                found = (seen[-3:] + data).count(b"\r\n\r\n" if not self.heads[number] else b"POST /v1")
                seen = data
                if found:
                    self.heads[number] += 1
                    connection.sendall(self._answer)


@pytest.fixture(scope="module")
def hasty() -> Iterator[dict[int, Hasty]]:
    with ExitStack() as stack:
        yield {status: stack.enter_context(Hasty(status)) for status in (413, 401, 503)}


@pytest.fixture(scope="module")
def running(upstream: Upstream, hasty: dict[int, Hasty]) -> Iterator[dict[str, Client]]:
    """Gateways at which bounds are low, by door."""
    bounds = {"MAX_UPLOAD_MB": "8", "UPLOAD_IDLE_SECONDS": "1", "MAX_BODY_MB": "8"}
    with ExitStack() as stack:
        port = stack.enter_context(deaf())
        entries = [Entry(f"bounds-{number}", upstream.url) for number in range(8)]
        entries.append(Entry("deaf", f"http://127.0.0.1:{port}/v1"))
        entries += [Entry(f"hasty-{status}", provider.url) for status, provider in hasty.items()]
        entries += [
            Entry("spared", hasty[503].url, params={"order": 1}),
            Entry("spared", upstream.url, params={"order": 2}),
            Entry("speech", upstream.url),
            Entry("defaults", hasty[503].url, params={"order": 1, "extra_body": DEFAULTS}),
            Entry("defaults", upstream.url, params={"order": 2, "extra_body": DEFAULTS}),
        ]
        clients = {}
        for door, direct in DOORS.items():
            env = {**bounds, "DIRECT_DOOR": direct, "TOTAL_TIMEOUT": "1"}
            gateway = stack.enter_context(Gateway(config_of(entries), env))
            clients[door] = Client(gateway, gateway.create_key("bob"))
        yield clients


@pytest.fixture(params=DOORS)
def bob(request: pytest.FixtureRequest, running: dict[str, Client]) -> Client:
    client: Client = running[request.param]
    return client


def told(line: Line) -> tuple[int, str]:
    """Status and error code of an answer, which ends its connection."""
    answer = bytes(line.read_to_end())
    top, _, body = answer.partition(b"\r\n\r\n")
    assert b"\r\nconnection: close" in top.lower(), top
    return int(top.split()[1]), json.loads(body)["error"]["code"]


def test_a_form_that_says_that_it_is_too_large_is_not_asked_for(bob: Client) -> None:
    with Line(bob.gateway) as line:
        line.send(head(bob, f"content-length: {9 * MEGABYTE}", "expect: 100-continue"))
        assert told(line) == (413, "request_too_large")


def test_a_form_that_turns_out_too_large_is_413(bob: Client, upstream: Upstream) -> None:
    upstream.behave(TEXT, model="bounds-0")
    with Line(bob.gateway) as line:
        line.send(head(bob, "transfer-encoding: chunked"))
        for piece in [named("bounds-0") + FILE, *[b"x" * MEGABYTE] * 9]:
            line.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        assert told(line) == (413, "request_too_large")
    assert not upstream.log("bounds-0"), "the provider never had all of it"


@pytest.mark.parametrize("path", [PATH, CHAT])
def test_who_sends_all_before_reading_hears_that_it_was_too_large(bob: Client, path: str) -> None:
    body = named("bounds-0") + FILE + b"x" * (20 * MEGABYTE) + END
    answer = bob.send("POST", path, body, KIND)
    assert (answer.status, answer.error["code"]) == (413, "request_too_large")


def test_who_sends_all_before_reading_hears_that_the_key_was_wrong(bob: Client) -> None:
    body = named("bounds-0") + FILE + b"x" * (7 * MEGABYTE) + END
    answer = Client(bob.gateway, "sk-wrong").send("POST", PATH, body, KIND)
    assert (answer.status, answer.error["code"]) == (401, "invalid_api_key")


def test_what_nobody_read_is_not_taken_for_a_request(bob: Client) -> None:
    """The file holds what looks like one; were it served, two answers would come."""
    inner = b"GET /health HTTP/1.1\r\nhost: g\r\n\r\n"
    body = named("nobody-has-this") + FILE + inner * 40_000 + END
    with Line(bob.gateway) as line:
        line.send(head(bob, f"content-length: {len(body)}") + body)
        assert told(line) == (404, "model_not_found")
        assert line.received.count(b"HTTP/1.1 ") == 1


def test_a_client_that_falls_silent_is_408_and_its_row_says_so(bob: Client, upstream: Upstream) -> None:
    upstream.behave(TEXT, model="bounds-1")
    name = f"silent-{id(bob)}"
    with Line(bob.gateway) as line:
        line.send(head(bob, "content-length: 5000000", f"x-request-id: {name}"))
        line.send(named("bounds-1") + FILE + b"x" * 500_000)
        assert told(line) == (408, "upload_timeout")
    [row] = bob.gateway.usage(1, name)
    assert (row["status"], row["error_class"]) == ("cancelled", "upload_timeout")
    assert not upstream.log("bounds-1")


def test_a_slow_client_is_not_held_against_the_provider(bob: Client, upstream: Upstream) -> None:
    """It sends for longer than the whole answer may take, and is never silent for long."""
    upstream.behave(TEXT, model="bounds-2")
    body = named("bounds-2") + FILE + b"x" * 3_000_000 + END
    step = len(body) // 5 + 1
    with Line(bob.gateway) as line:
        line.send(head(bob, f"content-length: {len(body)}", "connection: close"))
        for start in range(0, len(body), step):
            time.sleep(0.35)
            line.send(body[start : start + step])
        assert line.read_to_end().startswith(b"HTTP/1.1 200")
    assert upstream.log("bounds-2")[-1].body == body


def test_a_provider_that_reads_nothing_times_out(bob: Client) -> None:
    name = f"deaf-{id(bob)}"
    body = named("deaf") + FILE + b"x" * (7 * MEGABYTE) + END
    answer = bob.send("POST", PATH, body, {**KIND, "x-request-id": name}, timeout=10)
    assert (answer.status, answer.error["code"]) == (504, "timeout")
    [row] = bob.gateway.usage(1, name)
    assert (row["status"], row["error_class"]) == ("failed", "timeout")


def test_a_provider_that_has_all_and_says_nothing_times_out(bob: Client, upstream: Upstream) -> None:
    upstream.behave(Behaviour(fault="hang", fault_after=BEFORE_HEADERS), model="bounds-3")
    answer = bob.send("POST", PATH, named("bounds-3") + FILE + b"x" * MEGABYTE + END, KIND, timeout=10)
    assert (answer.status, answer.error["code"]) == (504, "timeout")


@pytest.mark.parametrize(
    ("provider", "status", "code"),
    [(413, 413, None), (401, 502, "deployment_misconfigured"), (503, 503, None)],
)
def test_a_provider_that_answers_before_it_has_all_is_heard(
    bob: Client, hasty: dict[int, Hasty], provider: int, status: int, code: str | None
) -> None:
    """Also by a client that first sends everything; the connection is not used again."""
    body = named(f"hasty-{provider}") + FILE + b"x" * (7 * MEGABYTE) + END
    for _ in range(2):
        answer = bob.send("POST", PATH, body, KIND)
        assert (answer.status, answer.error["code"]) == (status, code), answer.body
    assert max(hasty[provider].heads) == 1


def test_the_next_provider_gets_all_although_the_first_one_answered_early(
    bob: Client, upstream: Upstream
) -> None:
    upstream.behave(TEXT, model="spared")
    body = named("spared") + FILE + os.urandom(MEGABYTE) * 7 + END
    answer = bob.send("POST", PATH, body, KIND)
    assert answer.status == 200, answer.body
    assert upstream.log("spared")[-1].body == body


@pytest.mark.parametrize("size", [10, 3 * MEGABYTE])
def test_every_deployment_gets_its_defaults_in_the_form(bob: Client, upstream: Upstream, size: int) -> None:
    upstream.behave(TEXT, model="defaults")
    given = b'--xYz\r\nContent-Disposition: form-data; name="language"\r\n\r\nfr\r\n'
    start = given + named("defaults") + FILE + b"x" * size + b"\r\n"
    answer = bob.send("POST", PATH, start + b"--xYz--\r\n", KIND)
    assert answer.status == 200, answer.body
    added = b'--xYz\r\nContent-Disposition: form-data; name="temperature"\r\n\r\n0.5\r\n'
    assert upstream.log("defaults")[-1].body == start + added + b"--xYz--\r\n"


def test_who_is_told_that_the_connection_closes_sees_it_closed(bob: Client) -> None:
    """All of the small form has come, and nobody has read it."""
    body = named("bounds-0") + FILE + END
    with Line(bob.gateway) as line:
        line.send(head(Client(bob.gateway, "sk-wrong"), f"content-length: {len(body)}") + body)
        assert told(line) == (401, "invalid_api_key")


def test_a_hot_request_that_is_no_http_is_told_so_although_more_comes(bob: Client) -> None:
    lines = [f"POST {CHAT} HTTP/1.1", "host: g", "content-length: 5000000", "content-length: 3", "", ""]
    with Line(bob.gateway) as line:
        line.send("\r\n".join(lines).encode() + b"x" * 5_000_000)
        answer = bytes(line.read_to_end())
        assert answer.startswith(b"HTTP/1.1 400"), answer


def test_who_sends_without_end_is_cut_off(bob: Client) -> None:
    line = head(Client(bob.gateway, "sk-wrong"), "transfer-encoding: chunked")
    with Line(bob.gateway) as endless:
        endless.send(line)
        piece = b"100000\r\n" + b"x" * MEGABYTE + b"\r\n"
        with pytest.raises(ConnectionError):  # noqa: PT012
            for _ in range(200):
                endless.send(piece)


@pytest.mark.parametrize("framing", ["chunked", "length"])
@pytest.mark.parametrize("fault", ["close", "reset"])
def test_sound_that_breaks_off_never_ends_properly(
    bob: Client, upstream: Upstream, framing: Literal["chunked", "length"], fault: Literal["close", "reset"]
) -> None:
    sound = "x" * 200_000
    upstream.behave(
        Behaviour(body=sound, content_type="audio/mpeg", framing=framing, fault=fault, fault_after=1),
        model="speech",
    )
    asked = json.dumps({"model": "speech", "input": "hi", "voice": "alloy"}).encode()
    name = f"speech-{framing}-{fault}-{id(bob)}"
    answer = bob.send("POST", SPEECH, asked, {"x-request-id": name})
    assert answer.cut
    [row] = bob.gateway.usage(1, name)
    assert (row["status"], row["error_class"]) == ("failed", "connection_lost")
    # to a client of HTTP/1.0 a close is the end
    lines = [f"POST {SPEECH} HTTP/1.0", f"authorization: Bearer {bob.key}", f"content-length: {len(asked)}"]
    with Line(bob.gateway) as line:
        line.send("\r\n".join([*lines, "", ""]).encode() + asked)
        with pytest.raises(ConnectionResetError):
            line.read_to_end()


def test_a_form_is_never_in_memory_as_a_whole() -> None:
    """What is kept of it for another provider is on disk."""
    with ExitStack() as stack:
        upstream = stack.enter_context(Upstream())
        upstream.behave(error(400), model="large")
        config = config_of([Entry("large", upstream.url)])
        gateway = stack.enter_context(Gateway(config, {"DIRECT_DOOR": "true"}))
        client = Client(gateway, gateway.create_key("bob"))
        small = named("large") + FILE + b"x" * MEGABYTE + END
        assert client.send("POST", PATH, small, KIND).status == 400
        before = peak(gateway)
        large = named("large") + FILE + b"x" * (100 * MEGABYTE) + END
        assert client.send("POST", PATH, large, KIND).status == 400
        assert peak(gateway) - before < 20 * MEGABYTE


def peak(gateway: Gateway) -> int:
    """The most memory that any of its processes had, in bytes."""
    assert gateway.process is not None
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return max(_high_water(pid) for pid in pids if _is_in_group(pid, gateway.process.pid))


def _is_in_group(pid: int, group: int) -> bool:
    try:
        return os.getpgid(pid) == group
    except ProcessLookupError:
        return False


def _high_water(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024
