"""Runs every linter, two at a time, and shows the output of those that object. Exit 1 if one does."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"
COMMANDS = (
    "mypy",
    "python manage.py makemigrations --check --dry-run",
    "lint-imports",
    "ruff check .",
    "ruff format --check .",
    "djlint --check --quiet templates",
    "djlint --lint --quiet templates",
    "hadolint Dockerfile",
    "check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yaml",
)


@dataclass(frozen=True)
class Verdict:
    """How one linter ended."""

    command: str
    passed: bool
    seconds: float
    output: str


def run(command: str) -> Verdict:
    started = time.monotonic()
    program, *arguments = command.split()
    done = subprocess.run([str(BIN / program), *arguments], cwd=ROOT, capture_output=True, text=True)
    return Verdict(command, done.returncode == 0, time.monotonic() - started, done.stdout + done.stderr)


def main() -> int:
    with ThreadPoolExecutor(max_workers=min(2, os.cpu_count() or 1)) as pool:
        verdicts = []
        for verdict in pool.map(run, COMMANDS):
            word = "ok  " if verdict.passed else "FAIL"
            print(f"{word} {verdict.seconds:5.1f} s  {verdict.command}", flush=True)
            if not verdict.passed:
                print(verdict.output, flush=True)
            verdicts.append(verdict)
    return 0 if all(verdict.passed for verdict in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
