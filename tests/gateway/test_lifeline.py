"""Children die with their parent, on every system."""

import os
import subprocess
import sys

import pytest

from tests.gateway.serving import until

# A parent that forks a child; both sleep. "watch" is how it is done where there is no prctl.
FAMILY = """
import os, time
from gateway.lifeline import {tie}
parent = os.getpid()
child = os.fork()
if not child:
    {tie}(parent)
os.write(1, b"%d\\n" % (child or os.getpid()))  # at once: two processes share the pipe
time.sleep(60)
"""


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("tie", ["die_with", "watch"])
def test_a_child_dies_with_its_killed_parent(tie: str) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", FAMILY.format(tie=tie)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = {int(parent.stdout.readline()), int(parent.stdout.readline())}.pop()
    assert _alive(child)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    until(lambda: not _alive(child), "its end", 3)


def test_a_child_whose_parent_is_gone_already_ends_itself() -> None:
    script = "from gateway.lifeline import die_with; die_with(1 << 22); print('alive')"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")


def test_a_tied_child_lives_as_long_as_its_parent() -> None:
    script = f"import time; from gateway.lifeline import watch; watch({os.getpid()}); time.sleep(2.5)"
    ended = subprocess.run([sys.executable, "-c", script], check=False)
    assert ended.returncode == 0
