"""`python -m tests.clerk`: runs management commands, one JSON list of words a line, in one started Django.

Answers each with a line `[exit code, stdout, stderr]`. Tests of whole processes ask often, and starting
Django for every question would be most of their time.
"""

import contextlib
import io
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import django
from django.core.management import CommandError, call_command
from django.db import connections

from tests.upstream import ROOT, die_with_parent


class Clerk:
    """A child that runs `manage.py` commands in the environment of a gateway under test."""

    def __init__(self, env: Mapping[str, str], log: Path) -> None:
        self._log = log
        with log.open("a") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.clerk"],
                cwd=ROOT,
                env=env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )

    def manage(self, *words: str) -> str:
        """What the command printed; an AssertionError with its message when it failed."""
        code, out, err = self.attempt(*words)
        assert code == 0, f"manage.py {' '.join(words)}: {err}"
        return out

    def attempt(self, *words: str) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of the command."""
        assert self._process.stdin, "it was piped"
        assert self._process.stdout, "it was piped"
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, f"the clerk died:\n{self._log.read_text()}"
        code, out, err = json.loads(answer)
        return code, out, err

    def close(self) -> None:
        self._process.communicate()


def _run(words: list[str]) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out):
        try:
            call_command(*words, stdout=out, stderr=err)
        except CommandError as problem:
            return 1, out.getvalue(), err.getvalue() + str(problem)
        except SystemExit as end:
            return int(end.code or 0), out.getvalue(), err.getvalue()
        finally:
            connections.close_all()
    return 0, out.getvalue(), err.getvalue()


def main() -> None:
    die_with_parent()
    django.setup()
    for line in sys.stdin:
        print(json.dumps(_run(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
