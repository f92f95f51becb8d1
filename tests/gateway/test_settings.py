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
        ("TIME_ZONE", "Mars/Base", "TIME_ZONE: there is no Mars/Base"),
        ("DATABASE_URL", "garbage", "DATABASE_URL: begins with none of"),
        ("DATABASE_URL", "mysql://u:secret@h/d", "DATABASE_URL: begins with none of"),
        ("DATABASE_URL", "postgres://u:secret@h:port/d", "DATABASE_URL: "),
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
    assert "secret" not in done.stderr


@pytest.mark.parametrize("command", [["export_usage"], ["create_key", "--name", "alice"], ["export_config"]])
def test_a_database_without_tables_is_told_with_the_way_out(tmp_path: Path, command: list[str]) -> None:
    environment = os.environ | {"SWITCHYARD_DATA": str(tmp_path), "DATABASE_URL": ""}
    done = subprocess.run(
        [sys.executable, "manage.py", *command], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "manage.py migrate makes its tables" in done.stderr


@pytest.mark.parametrize("port", ["99999", "-1"])
def test_a_port_that_no_machine_has_is_refused(tmp_path: Path, port: str) -> None:
    command = [sys.executable, "manage.py", "serve"]
    environment = os.environ | {"SWITCHYARD_DATA": str(tmp_path), "PORT": port}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "a port is a number from 0 to 65535" in done.stderr
