"""How events and errors are written for clients of one kind."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from gateway.answers import DONE
from gateway.errors import anthropic_error


@dataclass(frozen=True, slots=True)
class Framing:
    """`event` frames the data of one event, `end` closes a good stream, `broken` says an error in one.

    `broken` takes the `error` object of an envelope and how many events were sent before.
    """

    event: Callable[[bytes], bytes]
    end: bytes
    broken: Callable[[Mapping[str, Any], int], bytes]
    tells_type: bool = False


def _plain(data: bytes) -> bytes:
    return b"data: " + data.replace(b"\n", b" ") + b"\n\n"


class _Type(msgspec.Struct):
    type: str = ""


_type_of = msgspec.json.Decoder(_Type)


def _typed(data: bytes) -> bytes:
    """Named by its own `type`, as the SDKs of these surfaces want it."""
    try:
        name = _type_of.decode(data).type
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return _plain(data)
    if not name or not name.isprintable():
        return _plain(data)
    return b"event: " + name.encode() + b"\n" + _plain(data)


def _broken_plain(error: Mapping[str, Any], _: int) -> bytes:
    return _plain(msgspec.json.encode({"error": error}))  # never beside choices: clients would hide it


def _broken_typed(error: Mapping[str, Any], sent: int) -> bytes:
    """The form of the documentation and, for SDKs that raise only for it, the one that providers send."""
    told = {
        "type": "error",
        "code": error["code"],
        "message": error["message"],
        "param": error["param"],
        "sequence_number": sent,
        "error": error,
    }
    return _typed(msgspec.json.encode(told))


def _broken_anthropic(error: Mapping[str, Any], _: int) -> bytes:
    return _typed(msgspec.json.encode(anthropic_error(error)))


PLAIN = Framing(_plain, _plain(DONE), _broken_plain)
TYPED = Framing(_typed, b"", _broken_typed, tells_type=True)
ANTHROPIC = Framing(_typed, b"", _broken_anthropic, tells_type=True)
