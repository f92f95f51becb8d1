"""`make demo`: the gateway in front of a real small model, with an admin user and an API key.

Everything it starts ends with it: by Ctrl-C, by SIGTERM, and when it is killed.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import FrameType

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from gateway.lifeline import die_with

ROOT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
MODEL = "smollm2-135m"
PATIENCE = 60.0
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# The demo is the same whatever the operator's own installation is told.
NOT_OURS = (
    "DATABASE_URL",
    "REDIS_URL",
    "SECRET_KEY",
    "SWITCHYARD_CONFIG",
    "WEB_CONCURRENCY",
    "ALLOWED_HOSTS",
)


class Stopped(Exception):
    """Somebody asked the demo to end."""


def _stop(number: int, frame: FrameType | None) -> None:
    for other in STOPPING:
        signal.signal(other, signal.SIG_DFL)  # the next one ends the demo, and all that hangs on it, at once
    raise Stopped


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in NOT_OURS}
    data = Path(os.environ.get("SWITCHYARD_DATA") or ROOT / "var" / "demo").absolute()
    return {
        "LOG_LEVEL": "WARNING",
        **kept,
        "SWITCHYARD_DATA": str(data),
        "SWITCHYARD_ENV_FILE": os.devnull,
        "DJANGO_SETTINGS_MODULE": "gateway.settings",
    }


def _port() -> int:
    text = os.environ.get("PORT", "4000")
    if not text.isdigit() or not 0 < int(text) < 65536:
        sys.exit(f"PORT={text} is not a port")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, int(text)))
        except OSError as error:
            sys.exit(f"cannot listen on {HOST}:{text}: {error.strerror}; another port: make demo PORT=4001")
    return int(text)


class Demo:
    """The processes of the demo."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://{HOST}:{port}"
        self.env = _environment()
        self.data = Path(self.env["SWITCHYARD_DATA"])
        self.children: list[subprocess.Popen[str]] = []

    def run(self) -> None:
        """Start everything, say how to use it, and wait for an end."""
        self.data.mkdir(parents=True, exist_ok=True)
        model_log = self.data / "model.log"
        model = self._start(["scripts/demo_model.py", MODEL], stdout=subprocess.PIPE, stderr=model_log)
        address = self._first_line(model) or sys.exit(f"the model did not start: {_last_line(model_log)}")
        rows = self._start(["manage.py", "demo_data", f"{address}/v1", MODEL], stdout=subprocess.PIPE)
        told = self._first_line(rows) or sys.exit("the demo's rows could not be made")
        serve = ["manage.py", "serve", "--host", HOST, "--port", str(self.port)]
        rows.wait()
        gateway = self._start(serve, stdout=subprocess.DEVNULL)
        self._await_gateway(gateway)
        print(_introduction(self.url, self.data, json.loads(told)), flush=True)
        (self.data / "demo_ready").touch()
        self._watch(gateway, model)

    def _start(self, command: list[str], stdout: int, stderr: Path | None = None) -> subprocess.Popen[str]:
        with open(stderr or "/dev/null", "w") as log:
            child = subprocess.Popen(
                [sys.executable, *command],
                cwd=ROOT,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=log if stderr else None,
                text=True,
                preexec_fn=_tied_to(os.getpid()),
            )
        self.children.append(child)
        return child

    def _first_line(self, child: subprocess.Popen[str]) -> str:
        assert child.stdout is not None, "it was started with a pipe"
        return str(child.stdout.readline()).strip()

    def _await_gateway(self, gateway: subprocess.Popen[str]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            if gateway.poll() is not None:
                sys.exit("the gateway did not start; its reason is above")
            if time.monotonic() > deadline:
                sys.exit(f"the gateway did not answer within {PATIENCE:.0f} s")
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _watch(self, gateway: subprocess.Popen[str], model: subprocess.Popen[str]) -> None:
        while True:
            time.sleep(0.3)
            if gateway.poll() is not None:
                sys.exit("the gateway ended")
            if model.poll() is not None:
                sys.exit(f"the model ended: {_last_line(self.data / 'model.log')}")

    def end(self) -> None:
        """The last started first: the gateway finishes its requests while the model still answers."""
        for child in reversed(self.children):
            child.terminate()
            child.wait()


def _tied_to(parent: int) -> Callable[[], None]:
    """What a child does first: it dies with the demo, and leaves Ctrl-C to it."""

    def tie() -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        die_with(parent)

    return tie


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


def _curl(url: str, key: str, stream: bool) -> str:
    more = ', "stream": true' if stream else ""
    return (
        f"curl {'-N ' if stream else ''}{url}/v1/chat/completions \\\n"
        f"  -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\\n"
        f'  -d \'{{"model": "demo", "messages": [{{"role": "user", "content": "Say hello."}}]{more}}}\''
    )


def _introduction(url: str, data: Path, told: dict[str, str]) -> str:
    """How to use it; `told` holds password and key when they are shown for the first time."""
    key = told.get("key", "YOUR-KEY")
    again = f"SWITCHYARD_DATA={data} SWITCHYARD_ENV_FILE=/dev/null .venv/bin/python manage.py"
    secrets = (
        f"  password  {told['password']}\n  API key   {key}\n\nPassword and key are shown this once.\n"
        if told
        else "\nPassword and key were shown at the first start. Others:\n"
        f"  {again} changepassword admin\n  {again} create_key --name NAME\n"
    )
    return (
        f"\nSwitchyard serves on {url}, with the model demo (SmolLM2-135M on this machine).\n\n"
        f"  admin     {url}/admin/\n  user      admin\n{secrets}\n"
        f"Ask it:\n\n{_curl(url, key, stream=False)}\n\n"
        f"Or as a stream:\n\n{_curl(url, key, stream=True)}\n\n"
        "Open WebUI (pip install open-webui):\n\n"
        f"OPENAI_API_BASE_URL={url}/v1 OPENAI_API_KEY={key} open-webui serve --port 3000\n\n"
        "Ctrl-C ends everything."
    )


def main() -> None:
    demo = Demo(_port())
    for number in STOPPING:
        signal.signal(number, _stop)
    try:
        demo.run()
    except Stopped:
        print("\nending the demo", flush=True)
    finally:
        demo.end()


if __name__ == "__main__":
    main()
