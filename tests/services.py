"""Real servers for the tests, started from the binaries of this machine; they die with the test process."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import psycopg
import pytest
import redis

PREFIX = "switchyard-services-"
# Runs first in the child: becomes the account, asks the kernel for a signal when its parent is gone, then
# turns into the server. The credentials come first, for changing them clears that request.
LAUNCH = """
import ctypes, os, sys
parent, uid, gid, farewell = map(int, sys.argv[1:5])
if uid:
    os.setgroups([]), os.setgid(gid), os.setuid(uid)
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, farewell)
if os.getppid() != parent:
    sys.exit("the tests are gone already")
os.execv(sys.argv[5], sys.argv[5:])
"""


@dataclass(frozen=True)
class Account:
    """Whom a server runs as; uid 0 means: whoever runs the tests."""

    uid: int = 0
    gid: int = 0


class Server:
    """A server of the tests' own. A test may stop, kill and start it; port and data stay the same."""

    def __init__(
        self,
        name: str,
        command: list[str],
        folder: Path,
        answers: Callable[[], bool],
        account: Account = Account(),
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.name = name
        self.folder = folder
        self._command = command
        self._answers = answers
        self._account = account
        self._stop_signal = stop_signal
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} is not running"
        return self._process.pid

    def start(self, patience: float = 30.0) -> None:
        """Starts the server and waits until it answers, `patience` seconds at most."""
        deadline = time.monotonic() + patience
        while not self._came_up(deadline):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} did not start: {self._log.read_text()[-2000:]}")
            time.sleep(0.2)  # after a kill its orphans hold the old memory a moment longer

    def stop(self) -> None:
        """Ends the server in order, cutting off its clients."""
        self._end(self._stop_signal)

    def kill(self) -> None:
        """Ends the server as a crash would."""
        self._end(signal.SIGKILL)

    @property
    def _log(self) -> Path:
        return self.folder / f"{self.name}.log"

    def _came_up(self, deadline: float) -> bool:
        self._process = self._spawn()
        while self._process.poll() is None and time.monotonic() < deadline:
            if self._answers():
                return True
            time.sleep(0.02)
        self.stop()
        return False

    def _spawn(self) -> subprocess.Popen[bytes]:
        who = [str(os.getpid()), str(self._account.uid), str(self._account.gid), str(int(self._stop_signal))]
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", LAUNCH, *who, *self._command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                start_new_session=True,
            )

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Postgres(Server):
    """A PostgreSQL cluster without durability, on a free port and a socket in its own folder."""

    def __init__(self) -> None:
        binaries = postgres_binaries()
        account = _account_for_postgres()
        folder = own_folder(account)
        self.port = free_port()
        _initialise(binaries, folder / "data", account)
        command = [str(binaries / "postgres"), "-D", str(folder / "data")]
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(folder),
            "fsync": "off",
            "full_page_writes": "off",
            "max_connections": "200",
        }
        command += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        super().__init__("postgres", command, folder, self._is_up, account, signal.SIGINT)

    def url(self, database: str) -> str:
        return f"postgres://switchyard@127.0.0.1:{self.port}/{database}"

    def _is_up(self) -> bool:
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


class Redis(Server):
    """A Redis server without persistence on a free port: what it held is gone after a stop."""

    def __init__(self) -> None:
        binary = shutil.which("redis-server") or missing("Redis (redis-server)")
        self.port = free_port()
        command = [binary, "--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--daemonize", "no"]
        super().__init__("redis", command, own_folder(), self._is_up)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def _is_up(self) -> bool:
        try:
            with redis.Redis.from_url(self.url, socket_timeout=2) as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False


def missing(what: str) -> NoReturn:
    """Ends the test that needs `what`: a failure on CI, elsewhere a skip that says what is not tested."""
    message = f"{what} is not on this machine; as root on Debian `make services` installs it"
    if os.environ.get("CI") == "true":
        pytest.fail(message, pytrace=False)
    pytest.skip(f"NOT TESTED: {message}")


def chromium() -> str:
    """The path of this machine's Chromium."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for path in map(shutil.which, names) if path), None) or missing("Chromium")


def postgres_binaries() -> Path:
    """The folder of `postgres` and `initdb`: the PATH's, else Debian's newest."""
    on_path = shutil.which("postgres")
    if on_path and shutil.which("initdb"):
        return Path(on_path).parent
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    return debian[-1].parent if debian else missing("PostgreSQL")


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        assert isinstance(port, int)
        return port


def worker_name() -> str:
    """This test process among those that run side by side: main, gw0, gw1, ..."""
    return os.environ.get("PYTEST_XDIST_WORKER", "main")


def own_folder(account: Account = Account()) -> Path:
    """A new folder for one server, named after this process so that `sweep` can tell whose it was."""
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
    if account.uid:
        os.chown(folder, account.uid, account.gid)
    return folder


def sweep() -> None:
    """Removes the folders of this test process and of those that ended without doing so."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*-*"):
        pid = int(folder.name.removeprefix(PREFIX).split("-")[0])
        if pid == os.getpid() or not _is_alive(pid):
            shutil.rmtree(folder, ignore_errors=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _account_for_postgres() -> Account:
    """PostgreSQL refuses to run as root."""
    if os.getuid() != 0:
        return Account()
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = known.get("postgres") or known["nobody"]
    return Account(entry.pw_uid, entry.pw_gid)


def _initialise(binaries: Path, data: Path, account: Account) -> None:
    options = ["--auth=trust", "--username=switchyard", "--encoding=UTF8", "--locale=C", "--no-sync"]
    subprocess.run(
        [str(binaries / "initdb"), "-D", str(data), *options],
        check=True,
        capture_output=True,
        cwd=data.parent,
        user=account.uid or None,
        group=account.gid or None,
        extra_groups=[] if account.uid else None,
    )
