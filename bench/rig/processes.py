"""Processes of a benchmark: what they cost, and their end."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from bench.rig.client import Job, Result
from tests.upstream import ROOT, die_with_parent

_TICK = os.sysconf("SC_CLK_TCK")
# Behind the last answer, rows are still being shipped: their cost is part of the request's.
QUIET = 1.5


def cpu_seconds(group: int) -> float:
    """User and system time of all processes of a process group, their threads included."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(") ")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[2]) == group:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICK


@contextmanager
def child(*command: str) -> Iterator[subprocess.Popen[str]]:
    """A child with pipes that ends with the block."""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=die_with_parent,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def upstream() -> Iterator[int]:
    """The port of a fast provider."""
    with child(sys.executable, "-m", "bench.rig.upstream") as process:
        assert process.stdout, "it was piped"
        yield int(process.stdout.readline())


class Asker:
    """A client process in front of one server, whose CPU time it compares with the requests."""

    def __init__(self, process: subprocess.Popen[str], group: int) -> None:
        self._process, self._group = process, group
        self.requests = 0

    def ask(self, job: Job) -> Result:
        assert self._process.stdin, "it was piped"
        assert self._process.stdout, "it was piped"
        self._process.stdin.write(json.dumps(asdict(job)) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the client died"
        result = Result(**json.loads(line))
        self.requests += result.requests
        return result

    def measure(self, job: Job) -> tuple[float, float, Result]:
        """CPU seconds per request, the share of the time that the server was busy, and the result."""
        before = cpu_seconds(self._group)
        result = self.ask(job)
        while_asked = cpu_seconds(self._group) - before
        time.sleep(QUIET)
        spent = cpu_seconds(self._group) - before
        return spent / job.requests, while_asked / result.seconds, result


@contextmanager
def asker(port: int, key: str, group: int) -> Iterator[Asker]:
    """A client of the server on this port, whose processes are `group`."""
    with child(sys.executable, "-m", "bench.rig.client", str(port), key) as process:
        yield Asker(process, group)
