"""An exchange on its way to the database: packed into pieces of the journal, gathered again, cut to size."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from usage.frames import LONGEST, encode
from usage.records import Kept

_PIECE = LONGEST * 3 // 4
# Taken beyond what is kept and dropped after redaction, so that the cut leaves no half of a secret.
MARGIN = 1024


class Draft(msgspec.Struct, frozen=True, array_like=True):
    """What was asked and answered, as it came: each side cut to `most` bytes and `MARGIN`.

    `request_bytes` and `answer_bytes` are the whole sizes; `days` None: as the setting says.
    """

    attempt_id: UUID
    request_id: str
    key: str
    key_id: str
    team: str
    model: str
    stream: bool
    complete: bool
    days: int | None
    most: int
    request: bytes
    request_bytes: int
    answer: bytes
    answer_bytes: int
    chat_id: str | None = None


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Draft)


def pack(draft: Draft) -> bytes:
    """The frames of its pieces, to be written together."""
    data = _encoder.encode(draft)
    starts = range(0, len(data), _PIECE)
    return b"".join(
        encode(Kept(draft.attempt_id, part, len(starts), data[start : start + _PIECE]))
        for part, start in enumerate(starts)
    )


def gather(pieces: Sequence[Kept]) -> tuple[list[Draft], list[Kept]]:
    """The drafts that are whole, and the pieces of one that goes on; what damage tore is left out."""
    drafts: list[Draft] = []
    open_: list[Kept] = []
    for piece in pieces:
        follows = open_ and open_[-1].attempt_id == piece.attempt_id and piece.part == len(open_)
        open_ = [*open_, piece] if follows else [piece] if piece.part == 0 else []
        if open_ and len(open_) == piece.parts:
            drafts += _unpacked(open_)
            open_ = []
    return drafts, open_


def _unpacked(pieces: Sequence[Kept]) -> list[Draft]:
    try:
        return [_decoder.decode(b"".join(piece.data for piece in pieces))]
    except msgspec.DecodeError:  # of a version that writes them otherwise
        return []


def text_of(side: bytes) -> str:
    """These bytes as text that a database takes."""
    return side.decode("utf-8", "replace").replace("\0", "�")


def fit(text: str, most: int, size: int) -> str:
    """The text of a side of `size` bytes, cut to `most` with a mark that says so."""
    data = text.encode("utf-8", "replace")
    if size <= most and len(data) <= most:
        return data.decode()
    end = min(most, len(data) - MARGIN if size > most else len(data))
    return f"{data[: max(0, end)].decode('utf-8', 'ignore')}\n[cut off here: {size} bytes in all]"
