"""`manage.py serve` as an operator runs it, and a look at the processes it is made of."""

import http.client
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from tests.gateway_process import SECRET_KEY, free_port, migrated
from tests.upstream import ROOT, die_with_parent

PATIENCE = 40.0


def until[T](found: Callable[[], T], what: str, within: float = PATIENCE) -> T:
    """The first true answer, or an error that says what did not happen."""
    deadline = time.monotonic() + within
    while not (answer := found()):
        assert time.monotonic() < deadline, f"not within {within} s: {what}"
        time.sleep(0.03)
    return answer


def group(pgid: int) -> dict[int, tuple[int, str]]:
    """The living processes of a group: pid -> (parent, command line)."""
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            command = (folder / "cmdline").read_text().replace("\0", " ")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[2]) == pgid and fields[0] not in "ZX":
            found[int(folder.name)] = (int(fields[1]), command)
    return found


def answers(port: int) -> bool:
    """Whether /health says 200."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        client.request("GET", "/health")
        return client.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        client.close()


class Program:
    """A Python program of this repository in a process group of its own, with data of its own."""

    def __init__(self, *command: str, env: Mapping[str, str] | None = None) -> None:
        self.command = [sys.executable, *command]
        self.data = Path(tempfile.mkdtemp(prefix="switchyard-serving-"))
        self.port = free_port()
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        self.env = kept | {
            "SWITCHYARD_ENV_FILE": os.devnull,
            "SWITCHYARD_DATA": str(self.data / "var"),
            "SECRET_KEY": SECRET_KEY,
            "PORT": str(self.port),
            "GRACEFUL_TIMEOUT": "10",
            **(env or {}),
        }
        self.process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill_group()
        shutil.rmtree(self.data, ignore_errors=True)

    def with_database(self) -> "Program":
        """An empty database that is migrated already."""
        (self.data / "var").mkdir()
        shutil.copy(migrated(), self.data / "var")
        return self

    def start(self) -> "Program":
        """Start it (again, on the same port and data); does not wait."""
        with open(self.data / "out", "a") as out, open(self.data / "err", "a") as err:
            self.process = subprocess.Popen(
                self.command,
                cwd=ROOT,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                text=True,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        return self

    def ready(self) -> "Program":
        """Wait until /health answers."""

        def look() -> bool:
            assert self.running.poll() is None, f"it ended: {self.err}"
            return answers(self.port)

        until(look, "an answer of /health")
        return self

    @property
    def running(self) -> subprocess.Popen[str]:
        assert self.process is not None, "it was started"
        return self.process

    @property
    def pid(self) -> int:
        return self.running.pid

    @property
    def out(self) -> str:
        return (self.data / "out").read_text()

    @property
    def err(self) -> str:
        return (self.data / "err").read_text()

    def processes(self) -> dict[int, tuple[int, str]]:
        return group(self.pid)

    def children(self) -> set[int]:
        """The pids that the program itself started."""
        return {pid for pid, (parent, _) in self.processes().items() if parent == self.pid}

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def exit_code(self, within: float = PATIENCE) -> int:
        """Wait for its end."""
        return self.running.wait(within)

    def all_gone(self, within: float = 5.0) -> bool:
        """Whether its whole group ends in this time."""
        return until(lambda: not self.processes(), f"an end of {self.processes()}", within)

    def kill_group(self) -> None:
        """kill -9 of the whole group."""
        if self.process is not None and self.processes():
            os.killpg(self.pid, signal.SIGKILL)
        if self.process is not None:
            self.process.wait()
