"""`manage.py serve`: the processes of one gateway, which start, drain and die together.

They are forks of this process, not new programs: what it imported is there and shared. So it has no
threads, and no connection is open when it forks.
"""

import gc
import http.client
import logging
import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import connection as waiting
from multiprocessing.context import ForkProcess
from types import FrameType

from gateway.lifeline import die_with

log = logging.getLogger("switchyard.serve")

STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
HELPERS_GRACE = 10.0
ARBITER_GRACE = 5.0
LONGEST_BACKOFF = 60.0
ONE_WISH = 0.5
# A gateway that does not answer by then (its database may be away) gets its helpers all the same.
LATEST_HELPERS = 20.0

_fork = multiprocessing.get_context("fork")


@contextmanager
def _stop_signals_held() -> Iterator[None]:
    held = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


def _child(parent: int, target: Callable[[], None]) -> None:
    die_with(parent)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the group: the supervisor alone decides
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
    os.dup2(sys.stderr.fileno(), 1)  # standard output is for data
    target()


def spawn(name: str, target: Callable[[], None]) -> ForkProcess:
    """Fork a child in this process group that dies with this process."""
    process = _fork.Process(target=_child, args=(os.getpid(), target), name=name)
    with _stop_signals_held():
        process.start()
    return process


@dataclass(slots=True)
class Helper:
    """A process beside the gateway; started again when it dies, after 1, 2, 4 ... 60 s.

    `once`: it has a task that ends, and is started again only if it failed.
    """

    name: str
    target: Callable[[], None]
    once: bool = False
    process: ForkProcess | None = None
    failures: int = 0
    started_at: float = 0.0
    due_at: float = field(default=0.0)

    def start_if_due(self, now: float) -> None:
        if self.process is None and now >= self.due_at:
            self.process = spawn(self.name, self.target)
            self.started_at = now

    def notice_death(self, now: float) -> None:
        """Note that it ended, and when it is to be started again."""
        if self.process is None or self.process.is_alive():
            return
        code, self.process = self.process.exitcode, None
        if self.once and code == 0:
            self.due_at = float("inf")
            return
        self.failures = 1 if now - self.started_at > LONGEST_BACKOFF else self.failures + 1
        delay = min(2.0 ** (self.failures - 1), LONGEST_BACKOFF)
        self.due_at = now + delay
        log.warning("%s ended with code %s; starting it again in %.0f s", self.name, code, delay)


class Supervisor:
    """Runs the gateway and its helpers until a signal or the gateway's own end."""

    def __init__(
        self,
        listener: socket.socket,
        gateway: Callable[[], None],
        helpers: list[Helper],
        before_helpers: Callable[[], None],
        graceful: float,
    ) -> None:
        self.listener = listener
        self.gateway = gateway
        self.helpers = helpers
        self.before_helpers = before_helpers
        self.graceful = graceful
        self.signals: list[float] = []  # when they came
        self.address = listener.getsockname()[:2]
        self._wake_up, wake_up_writer = os.pipe()
        os.set_blocking(self._wake_up, False)
        os.set_blocking(wake_up_writer, False)
        self._wake_up_writer = wake_up_writer

    def run(self) -> int:
        """Serve; returns the exit code: 0 after a drain, 1 when the gateway ended or was cut short."""
        self._hear_signals()
        gc.freeze()  # what is imported by now is for all; collecting it would unshare its pages
        server = spawn("gateway", self.gateway)
        self.listener.close()  # the gateway's alone, so that nobody queues at a closed door
        try:
            self._serve(server)
            return self._drain(server)
        finally:
            self._kill([server, *self._helper_processes()])

    def _hear_signals(self) -> None:
        signal.set_wakeup_fd(self._wake_up_writer, warn_on_full_buffer=False)
        for number in STOPPING:
            if signal.getsignal(number) != signal.SIG_IGN:  # nohup
                signal.signal(number, self._heard)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        # One Ctrl-C or one closed terminal may arrive more than once, by way of make or a shell.
        if not self.signals or now - self.signals[-1] > ONE_WISH:
            self.signals.append(now)

    def _serve(self, server: ForkProcess) -> None:
        began = time.monotonic()
        ready = tending = False
        while server.is_alive() and not self.signals:
            now = time.monotonic()
            if not ready and self._answers():
                ready = True
                log.info("ready: %s (%.1f s)", self.url, now - began)
            if not tending and (ready or now - began > LATEST_HELPERS):
                self.before_helpers()
                tending = True
            if tending:
                self._tend_helpers(now)
            self._wait(server, 1.0 if ready else 0.05)

    @property
    def url(self) -> str:
        host, port = self.address
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
        return f"http://{host}:{port}"

    def _answers(self) -> bool:
        client = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=1)
        try:
            client.request("GET", "/health", headers={"Connection": "close"})
            return client.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            client.close()

    def _tend_helpers(self, now: float) -> None:
        for helper in self.helpers:
            helper.notice_death(now)
            helper.start_if_due(now)

    def _helper_processes(self) -> list[ForkProcess]:
        return [helper.process for helper in self.helpers if helper.process is not None]

    def _wait(self, server: ForkProcess, seconds: float) -> None:
        """Sleep until a child ends, a signal comes, or the time is over."""
        sentinels = [process.sentinel for process in (server, *self._helper_processes())]
        if self._wake_up in waiting.wait([self._wake_up, *sentinels], seconds):
            os.read(self._wake_up, 4096)

    def _drain(self, server: ForkProcess) -> int:
        if not self.signals:
            server.join()
            log.error("the gateway ended by itself with code %s", server.exitcode)
            return 1
        log.info("stopping: waiting for requests in flight, at most %.0f s", self.graceful)
        helpers = self._helper_processes()
        for process in (server, *helpers):
            process.terminate()
        self._await([server], self.graceful + ARBITER_GRACE)
        self._await(helpers, HELPERS_GRACE)
        if len(self.signals) > 1:
            log.warning("stopped at once")
            return 1
        log.info("stopped")
        return 0

    def _await(self, processes: list[ForkProcess], seconds: float) -> None:
        """Wait for their end, at most this long and not past a second signal."""
        deadline = time.monotonic() + seconds
        while len(self.signals) < 2 and time.monotonic() < deadline:
            alive = [process.sentinel for process in processes if process.is_alive()]
            if not alive:
                return
            if self._wake_up in waiting.wait([self._wake_up, *alive], deadline - time.monotonic()):
                os.read(self._wake_up, 4096)

    def _kill(self, processes: list[ForkProcess]) -> None:
        for process in processes:
            if process.is_alive():
                process.kill()
            process.join()
