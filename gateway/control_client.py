"""Asking the running server: one JSON object a line, in and out, over `$SWITCHYARD_DATA/control.sock`.

`{"op": "in_flight", ...}` is answered with `{"ok": true, "result": {...}}` or with
`{"ok": false, "error": "..."}`.
"""

import os
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

SHARED = "control.sock"
FOLDER = "control.d"  # with a socket of each worker, <pid>.sock
# Of a line; an answer about thousands of deployments fits.
LONGEST = 4 * 2**20
# What the kernel takes as a socket's address, without the zero that ends it.
LONGEST_PATH = 107 if sys.platform == "linux" else 103
_LONGEST_NAME = f"{FOLDER}/{2**22}.sock"
# How long a server may be without a worker that answers for all, after the one that did died; without any
# worker at all it is taken for dead sooner.
_TAKEOVER_SECONDS, _REBIRTH_SECONDS = 3.0, 1.0

type Message = Mapping[str, Any]


class ControlError(Exception):
    """What was asked has no answer; the text is one line for people."""


class NoServer(ControlError):
    """Nobody serves from this data directory."""


def path_problem(folder: Path) -> str:
    """Why no control socket can be in this data directory; "" when it can."""
    excess = len(os.fsencode(folder / _LONGEST_NAME)) - LONGEST_PATH
    if excess <= 0:
        return ""
    return f"the path of the data directory {folder} is {excess} bytes too long for a socket in it"


def ask(folder: Path, message: Message, seconds: float = 10.0) -> Message:
    """The answer of the server of this data directory. Raises `NoServer` or `ControlError`."""
    if problem := path_problem(folder):
        raise ControlError(f"The running server cannot be asked: {problem}.")
    began = time.monotonic()
    while True:
        try:
            line = _exchange(folder / SHARED, message, began + seconds)
        except (FileNotFoundError, ConnectionError) as error:  # nobody answers for all, or died while it did
            crashed = not isinstance(error, FileNotFoundError)  # else it ended in order
            patience = _TAKEOVER_SECONDS if _anybody(folder) else _REBIRTH_SECONDS if crashed else 0.0
            if time.monotonic() - began >= min(patience, seconds):
                raise _nobody(folder) from None
            time.sleep(0.05)
        except TimeoutError:
            raise ControlError(f"The running server did not answer within {seconds:g} s.") from None
        except OSError as error:
            raise ControlError(f"The running server cannot be asked: {error.strerror or error}.") from None
        else:
            return _result(line)


def _exchange(path: Path, message: Message, deadline: float) -> bytes:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(max(0.01, deadline - time.monotonic()))
        client.connect(str(path))
        client.sendall(msgspec.json.encode(message) + b"\n")
        received = bytearray()
        while not received.endswith(b"\n"):
            client.settimeout(max(0.01, deadline - time.monotonic()))
            piece = client.recv(65536)
            if not piece:
                raise ConnectionResetError("the server ended")
            received += piece
            if len(received) > LONGEST:
                raise ControlError(f"The running server answered with more than {LONGEST} bytes.")
        return bytes(received)


def _result(line: bytes) -> Message:
    try:
        said = msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise ControlError(f"The running server's answer cannot be read: {error}.") from None
    if not said.get("ok"):
        raise ControlError(str(said.get("error", "The running server refused without a reason.")))
    result: Message = said["result"]
    return result


def _nobody(folder: Path) -> ControlError:
    if _anybody(folder):
        return ControlError("The workers of the server do not answer together.")
    return NoServer(f"No server runs on this data directory ({folder}).")


def _anybody(folder: Path) -> bool:
    """Whether a worker of this data directory lives."""
    return any(_lives(path) for path in (folder / FOLDER).glob("*.sock"))


def _lives(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.setblocking(False)
        try:
            client.connect(str(path))
        except BlockingIOError:  # it has more to accept than it can
            return True
        except OSError:
            return False
        return True
