"""What becomes of connections when gunicorn is told to end."""

import signal
import socket
import time
from collections.abc import Iterator

import pytest

from tests.gateway.serving import Program, until


@pytest.fixture
def gunicorn() -> Iterator[Program]:
    command = ["-m", "gunicorn", "-c", "gateway/gunicorn_conf.py", "tests.gateway.tiny:application"]
    with Program(*command, env={"GRACEFUL_TIMEOUT": "3"}) as program:
        program.env["TINY_LOG"] = str(program.data / "tiny")
        (program.data / "tiny").touch()
        yield program


def log(gunicorn: Program) -> list[str]:
    return (gunicorn.data / "tiny").read_text().split("\n")[:-1]


def connect(gunicorn: Program, path: str = "") -> socket.socket:
    """A connection on which this path was asked for."""
    client = socket.create_connection(("127.0.0.1", gunicorn.port), timeout=20)
    if path:
        client.sendall(f"GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    return client


def serving(gunicorn: Program) -> Program:
    def listens() -> bool:
        try:
            connect(gunicorn).close()
        except OSError:
            return False
        return True

    gunicorn.start()
    until(listens, "a port that listens")
    return gunicorn


def test_a_request_in_flight_is_answered_first(gunicorn: Program) -> None:
    with connect(serving(gunicorn), "1.5") as alice:
        until(lambda: "asked" in log(gunicorn), "her request")
        gunicorn.signal(signal.SIGTERM)
        assert alice.recv(4096).startswith(b"HTTP/1.1 200")
    assert gunicorn.exit_code(3) == 0
    assert log(gunicorn) == ["asked", "answered", "settled", "lifespan ended"]


def test_a_request_without_end_is_settled_before_the_limit(gunicorn: Program) -> None:
    with connect(serving(gunicorn), "60"):
        until(lambda: "asked" in log(gunicorn), "the request")
        began = time.monotonic()
        gunicorn.signal(signal.SIGTERM)
        assert gunicorn.exit_code(10) == 0
    assert 1 < time.monotonic() - began < 3.5
    assert log(gunicorn) == ["asked", "settled", "lifespan ended"]


def test_idle_connections_used_and_unused_are_closed_at_once(gunicorn: Program) -> None:
    gunicorn.env["GRACEFUL_TIMEOUT"] = "30"
    with connect(serving(gunicorn)) as bob, connect(gunicorn, "0") as alice:
        assert alice.recv(4096).startswith(b"HTTP/1.1 200")
        began = time.monotonic()
        gunicorn.signal(signal.SIGTERM)
        assert alice.recv(4096) == b""
        assert bob.recv(4096) == b""
        assert gunicorn.exit_code(10) == 0
    assert time.monotonic() - began < 2.5


def test_ctrl_c_drains_and_a_second_one_does_not_wait(gunicorn: Program) -> None:
    gunicorn.env["GRACEFUL_TIMEOUT"] = "30"
    with connect(serving(gunicorn), "60"):
        until(lambda: "asked" in log(gunicorn), "the request")
        gunicorn.signal(signal.SIGINT)
        time.sleep(1.5)
        assert gunicorn.running.poll() is None
        gunicorn.signal(signal.SIGINT)
        assert gunicorn.exit_code(5) == 0


def test_a_killed_arbiter_takes_its_worker_along(gunicorn: Program) -> None:
    serving(gunicorn)
    gunicorn.signal(signal.SIGKILL)
    gunicorn.running.wait()
    assert gunicorn.all_gone(2)
