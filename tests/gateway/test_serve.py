"""`manage.py serve`: one process group that starts, drains and dies together."""

import os
import signal
import socket
import time
import urllib.request
from collections.abc import Iterator

import pytest

from tests.gateway.serving import Program, until


@pytest.fixture
def serve() -> Iterator[Program]:
    with Program("manage.py", "serve") as program:
        yield program.with_database()


@pytest.fixture
def new() -> Iterator[Program]:
    """Of a folder with nothing in it."""
    with Program("manage.py", "serve") as program:
        yield program


def arbiter_of(serve: Program) -> int:
    """The child of `serve` that has a child itself: gunicorn's arbiter."""
    parents = {parent for parent, _ in serve.processes().values()}
    return next(iter(serve.children() & parents))


def test_gateway_worker_and_beat_run_in_one_group_and_drain_together(new: Program) -> None:
    new.start().ready()
    until(lambda: len(new.children()) == 3, "gunicorn, the Celery worker and beat")
    until(lambda: len(new.processes()) == 5, "with the supervisor and gunicorn's worker")
    new.signal(signal.SIGTERM)
    assert new.exit_code(15) == 0, new.err
    assert new.all_gone()
    assert new.out == ""
    assert "Traceback" not in new.err


def test_a_browser_that_opens_the_console_leaves_nothing_in_the_log(serve: Program) -> None:
    serve.start().ready()
    before = serve.err
    url = f"http://127.0.0.1:{serve.port}/static/console/console.css"
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert b"--sy-cell" in answer.read()
    serve.signal(signal.SIGTERM)
    assert serve.exit_code(15) == 0, serve.err
    assert "Warning" not in serve.err.removeprefix(before)


def test_a_killed_supervisor_leaves_nothing_running(serve: Program) -> None:
    serve.start().ready()
    until(lambda: len(serve.processes()) == 5, "all processes")
    serve.signal(signal.SIGKILL)
    serve.running.wait()
    assert serve.all_gone(3)


def test_after_a_kill_of_the_group_it_starts_again_at_once_on_the_same_port(serve: Program) -> None:
    serve.start().ready()
    until(lambda: len(serve.processes()) == 5, "all processes")
    serve.kill_group()
    serve.start().ready()
    until(lambda: len(serve.processes()) == 5, "all processes again")
    serve.signal(signal.SIGTERM)
    assert serve.exit_code(15) == 0, serve.err


def test_only_the_supervisor_decides_what_ctrl_c_means(serve: Program) -> None:
    serve.start().ready()
    until(lambda: len(serve.processes()) == 5, "all processes")
    for child in serve.children():
        os.kill(child, signal.SIGINT)
    time.sleep(1.5)
    assert len(serve.processes()) == 5
    serve.signal(signal.SIGINT)
    assert serve.exit_code(15) == 0, serve.err


def test_the_gateways_end_is_the_end_of_all(serve: Program) -> None:
    serve.start().ready()
    until(lambda: len(serve.processes()) == 5, "all processes")
    os.kill(arbiter_of(serve), signal.SIGKILL)
    assert serve.exit_code(15) == 1
    assert "the gateway ended by itself" in serve.err
    assert serve.all_gone()


def test_a_celery_process_that_dies_is_started_again(serve: Program) -> None:
    serve.start().ready()
    until(lambda: len(serve.children()) == 3, "all processes")
    lost = max(serve.children() - {arbiter_of(serve)})
    os.kill(lost, signal.SIGKILL)
    until(lambda: len(serve.children() - {lost}) == 3, "a new one in its place")
    assert "starting it again" in serve.err


def test_a_second_signal_ends_it_at_once(serve: Program) -> None:
    serve.env["GRACEFUL_TIMEOUT"] = "30"
    serve.start().ready()
    with socket.create_connection(("127.0.0.1", serve.port)) as open_request:
        open_request.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{")
        time.sleep(0.5)
        serve.signal(signal.SIGTERM)
        time.sleep(1)
        serve.signal(signal.SIGTERM)
        assert serve.exit_code(3) == 1
    assert serve.all_gone()


def test_idle_connections_do_not_hold_up_the_end(serve: Program) -> None:
    serve.command += ["--only", "gateway"]
    serve.start().ready()
    with socket.create_connection(("127.0.0.1", serve.port)) as idle:
        idle.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        assert idle.recv(4096).startswith(b"HTTP/1.1 200")
        began = time.monotonic()
        serve.signal(signal.SIGINT)
        assert serve.exit_code(8) == 0
    assert time.monotonic() - began < 3


def test_only_the_gateway_means_no_celery(serve: Program) -> None:
    serve.command += ["--only", "gateway"]
    serve.start().ready()
    until(lambda: "ready: http://127.0.0.1" in serve.err, "the line that tells the address")
    assert serve.children() == {arbiter_of(serve)}


def test_a_port_in_use_is_one_line_and_exit_1(serve: Program) -> None:
    with socket.create_server(("127.0.0.1", serve.port)):
        assert serve.start().exit_code() == 1
    assert serve.err == f"CommandError: cannot listen on 127.0.0.1:{serve.port}: Address already in use\n"


def test_a_failing_check_is_one_line_and_exit_1(serve: Program) -> None:
    serve.env["WEB_CONCURRENCY"] = "4"
    assert serve.start().exit_code() == 1
    assert serve.err.count("\n") == 1
    assert "switchyard.E001" in serve.err
