"""Files and batches: objects that a provider keeps. Nobody counts tokens of what is said of them."""

from typing import Any

import msgspec

from gateway.answers import Usage, Verdict
from gateway.calls import Reading
from gateway.framing import TYPED
from gateway.surfaces.base import Surface


class _Told(msgspec.Struct):
    id: Any = None
    object: Any = None
    error: Any = None


_told = msgspec.json.Decoder(_Told)


def _judge(body: bytes) -> Verdict:
    try:
        answer = _told.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return Verdict("empty_answer" if not body.strip() else "broken_answer")
    if answer.error and answer.id is None:
        return Verdict("error_in_answer", error=answer.error)
    return Verdict("", Usage()) if isinstance(answer.id, str) else Verdict("no_id")


def _nothing(_: bytes) -> int:
    return 0


def _surface(name: str, *, opaque: bool = False) -> Surface:
    return Surface(
        name,
        Reading(writes=False),
        _judge,
        _nothing,
        TYPED,
        binary=opaque,
        opaque=opaque,
        may_be_empty=opaque,
    )


FILES, FILE = _surface("files"), _surface("files/{id}")
CONTENT = _surface("files/{id}/content", opaque=True)
BATCHES, BATCH = _surface("batches"), _surface("batches/{id}")
CANCEL = _surface("batches/{id}/cancel")
