"""A real gateway as a child process, with its own data, port and keys."""

import atexit
import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Self

from tests.clerk import Clerk
from tests.upstream import ROOT, die_with_parent

__all__ = ["Entry", "Gateway", "Row", "config_of", "free_port", "migrate", "migrated"]

type Row = dict[str, Any]

SECRET_KEY = "a-secret-key-for-tests-only-0123456789-abcdefghijklmnop"
# Rows are promised within 5 s after an answer ended; the rest is for a busy machine.
ROWS_WITHIN = 8.0
ROWS_QUIET = 0.1
START_WITHIN = 30.0


@dataclass(frozen=True)
class Entry:
    """One entry of `model_list`: a deployment of `model` at `base`."""

    model: str
    base: str
    upstream_model: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    info: Mapping[str, Any] = field(default_factory=dict)

    def as_config(self) -> Row:
        params = {"model": f"openai/{self.upstream_model or self.model}", "api_base": self.base}
        return {
            "model_name": self.model,
            "litellm_params": params | {"api_key": "sk-of-provider", **self.params},
            "model_info": dict(self.info),
        }


def config_of(entries: Iterable[Entry]) -> str:
    """The text of a config.yml with these deployments (JSON is YAML)."""
    return json.dumps({"model_list": [entry.as_config() for entry in entries]}, indent=1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _environment(given: Mapping[str, str]) -> dict[str, str]:
    """The operator's environment: nothing of ours but what is given."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return kept | {
        "DJANGO_SETTINGS_MODULE": "gateway.settings",
        "SWITCHYARD_ENV_FILE": os.devnull,
        "SECRET_KEY": SECRET_KEY,
        "GRACEFUL_TIMEOUT": "3",
        **given,
    }


@cache
def migrated() -> Path:
    """An empty migrated SQLite file, made once per test process and copied where nothing else is tested."""
    folder = Path(tempfile.mkdtemp(prefix="switchyard-template-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    file = folder / "switchyard.sqlite3"
    migrate(f"sqlite:///{file}")
    return file


def migrate(url: str) -> None:
    """Make the tables of the database of this URL, in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="switchyard-migrating-") as folder:
        env = _environment({"DATABASE_URL": url, "SWITCHYARD_DATA": folder})
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "--verbosity=0"], cwd=ROOT, env=env, check=True
        )


class Gateway:
    """`with Gateway(config) as gateway:` serves that config.yml on `gateway.port` until the block ends.

    `env` is added to its environment; with a DATABASE_URL of its own the database is migrated at its start.
    """

    def __init__(self, config: str = "", env: Mapping[str, str] | None = None) -> None:
        self.data = Path(tempfile.mkdtemp(prefix="switchyard-gateway-"))
        self.port = free_port()
        self.log = self.data / "stderr.log"
        self.config = self.data / "config.yml"
        self.config.write_text(config)
        self.env = _environment({"SWITCHYARD_DATA": str(self.data), **(env or {})})
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        if "DATABASE_URL" not in self.env:
            shutil.copy(migrated(), self.data / "switchyard.sqlite3")
        self.clerk = Clerk(self.env, self.log)
        if "DATABASE_URL" in self.env:
            self.clerk.manage("migrate", "--verbosity=0")
        if self.config.read_text():
            self.clerk.manage("import_config", str(self.config))
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.clerk.close()
        shutil.rmtree(self.data, ignore_errors=True)

    # --- the process ---

    def start(self) -> None:
        """Start (again, on the same port and data) and wait for /health."""
        command = [sys.executable, "manage.py", "serve", "--only", "gateway", "--port", str(self.port)]
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        self._until(self._healthy, "answer /health")

    def _healthy(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except (ConnectionError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _until(self, done: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + START_WITHIN
        while not done():
            assert self.process, "started before"
            assert self.process.poll() is None, f"it ended before it could {what}:\n{self.log.read_text()}"
            assert time.monotonic() < deadline, f"it did not {what}:\n{self.log.read_text()}"
            time.sleep(0.02)

    def kill(self) -> None:
        """kill -9 of the whole process group."""
        assert self.process, "started before"
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process = None

    def stop(self) -> None:
        """SIGTERM; kill -9 when it does not drain in time."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"it did not end on SIGTERM:\n{self.log.read_text()}") from None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process = None

    # --- the operator's commands ---

    def manage(self, *words: str) -> str:
        """What this `manage.py` command prints."""
        return self.clerk.manage(*words)

    def create_key(self, name: str, *options: str) -> str:
        """A new key's text; options as on the command line, such as "--limit", "requests=3/minute"."""
        return self.clerk.manage("create_key", "--name", name, "--quiet", *options).strip()

    def exported(self) -> list[Row]:
        """What `export_usage` prints now."""
        return [json.loads(line) for line in self.clerk.manage("export_usage").splitlines()]

    def usage(self, rows: int = 0, request_id: str | None = None, quiet: float = ROWS_QUIET) -> list[Row]:
        """The usage rows (of one request) once `rows` are there and none came for `quiet` seconds."""
        deadline = time.monotonic() + ROWS_WITHIN
        found: list[Row] = []
        settled = time.monotonic()
        while time.monotonic() < deadline:
            now = [row for row in self.exported() if request_id in (None, row["request_id"])]
            if now != found:
                found, settled = now, time.monotonic()
            if len(found) >= rows and time.monotonic() - settled >= quiet:
                return found
            time.sleep(0.05)
        raise AssertionError(f"{len(found)} of {rows} rows after {ROWS_WITHIN} s: {found}")
