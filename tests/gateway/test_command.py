"""A wrong command line is one clear line, whatever the command."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = sorted(
    path.stem for path in (ROOT / "gateway/management/commands").glob("*.py") if path.stem != "__init__"
)


@pytest.mark.parametrize("name", COMMANDS)
def test_an_unknown_option_is_told_on_one_line(name: str) -> None:
    command = [sys.executable, "manage.py", name, "--nonsense"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    # where 1 means "they differ", errors are 2
    assert done.returncode == (2 if name in ("diff_config", "reconcile") else 1)
    assert done.stdout == ""
    told = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert len(told) == 1
    assert f"manage.py {name} --help" in told[0]
    assert "usage:" not in done.stderr
