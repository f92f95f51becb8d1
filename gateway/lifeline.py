"""A child process that dies with its parent, however the parent ends: kill -9 included."""

import ctypes
import os
import signal
import sys
from types import FrameType

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with(parent: int) -> None:
    """Tie this process, a fresh child, to the process that forked it.

    On Linux the kernel sends SIGKILL; elsewhere a timer looks each second, which main loops survive.
    """
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    else:
        watch(parent)
    if os.getppid() != parent:  # it died before it could be tied to
        os._exit(1)


def watch(parent: int) -> None:
    """Look each second whether the parent is still there, and end this process when it is not."""

    def look(signum: int, frame: FrameType | None) -> None:
        if os.getppid() != parent:
            os._exit(1)

    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, 1.0, 1.0)
