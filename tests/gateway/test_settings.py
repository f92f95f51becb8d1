"""A setting that cannot be read is one clear line, whatever the command."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("PORT", "abc", "PORT: invalid literal"),
        ("LOG_LEVEL", "loud", "LOG_LEVEL: LOUD is none of"),
        ("SWITCHYARD_DATA", "/proc/nowhere", "SWITCHYARD_DATA: cannot make /proc/nowhere"),
    ],
)
def test_a_wrong_setting_is_named_on_one_line(name: str, value: str, told: str) -> None:
    command = [sys.executable, "manage.py", "export_usage"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {name: value}, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(f"Error: {told}")
    assert done.stderr.count("\n") == 1
