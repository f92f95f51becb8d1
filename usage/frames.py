"""The journal's framing: u32 length, u32 crc32, msgpack payload. What is whole is read, whatever is not."""

import re
import struct
from dataclasses import dataclass
from zlib import crc32

import msgspec

from usage.records import Kept, Record, Settled, Started, bounded, fitted

_HEADER = struct.Struct("<II")
# A record cut to its columns is below 12 KiB; a longer length is damage.
LONGEST = 32 * 1024
_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Record] = msgspec.msgpack.Decoder(Started | Settled | Kept)
_KINDS: dict[object, type[Started] | type[Settled]] = {"started": Started, "settled": Settled}
# The tag follows an array header of one or three bytes: where to look for a frame behind damage.
_TAG = re.compile(rb"\xa7(?:started|settled)|\xa4kept")
_TAG_OFFSETS = (_HEADER.size + 3, _HEADER.size + 1)


@dataclass(frozen=True, slots=True)
class Decoded:
    """The whole frames of some bytes; `used` bytes need not be read again."""

    records: list[Record]
    used: int
    damaged: bool


def encode(record: Record) -> bytes:
    """One frame. Values that cannot be written as they are get bounded first; never raises for them."""
    try:
        payload = _encoder.encode(record)
    except (TypeError, ValueError, OverflowError):
        payload = b""
    if not 0 < len(payload) <= LONGEST:
        assert not isinstance(record, Kept), "its pieces are made to fit"
        payload = _encoder.encode(bounded(record))
    return _HEADER.pack(len(payload), crc32(payload)) + payload


def decode(data: bytes, *, final: bool) -> Decoded:
    """The records in `data`. Unless `final`, an unfinished frame at the end waits for more bytes."""
    records: list[Record] = []
    at, damaged = 0, False
    while at < len(data):
        end = _end(data, at)
        if end > len(data) and not final:
            break
        record = _record(data, at, end)
        if record is not None:
            records.append(record)
            at = end
            continue
        following = _next_whole(data, at + 1)
        damaged |= following is not None or end <= len(data)  # else the tail of a write that was killed
        if following is None:
            at = len(data) if final else max(at + 1, len(data) - LONGEST - _HEADER.size)
            break
        at = following
    return Decoded(records, at, damaged)


def _end(data: bytes, at: int) -> int:
    """Where the frame at `at` says it ends; beyond `data` when its header is cut, 0 when it is none."""
    if at + _HEADER.size > len(data):
        return len(data) + 1
    length: int = _HEADER.unpack_from(data, at)[0]
    return at + _HEADER.size + length if 0 < length <= LONGEST else 0


def _record(data: bytes, at: int, end: int) -> Record | None:
    if not at < end <= len(data):
        return None
    payload = data[at + _HEADER.size : end]
    if crc32(payload) != _HEADER.unpack_from(data, at)[1]:
        return None
    try:
        return _decoder.decode(payload)
    except msgspec.DecodeError:
        return _misfit(payload)


def _misfit(payload: bytes) -> Record | None:
    """A record with a value of the wrong type, as a provider may send: made to fit rather than lost."""
    try:
        tag, *values = msgspec.msgpack.decode(payload, type=list[object])
        return fitted(_KINDS[tag], values)
    except (msgspec.DecodeError, LookupError, TypeError, ValueError):
        return None


def _next_whole(data: bytes, at: int) -> int | None:
    for match in _TAG.finditer(data, at):
        for offset in _TAG_OFFSETS:
            start = match.start() - offset
            if start >= at and _record(data, start, _end(data, start)) is not None:
                return start
    return None
