"""UUIDv7 (RFC 9562): ids that sort by the time they were made."""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from struct import iter_unpack
from uuid import UUID

_last = 0
_tails: Iterator[tuple[int]] = iter(())
_RANDOM_BYTES = 2048
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def uuid7() -> UUID:
    """A new id: 48 bits of milliseconds, then a per-process rising 12-bit count, then random bits."""
    global _last
    # 12 bits below the millisecond; forced upwards, so that ids of one process never go back
    ticks = max(time.time_ns() * 4096 // 1_000_000, _last + 1)
    _last = ticks
    tail = _random() & 0x3FFF_FFFF_FFFF_FFFF
    return UUID(int=(ticks >> 12) << 80 | 0x7 << 76 | (ticks & 0xFFF) << 64 | 0b10 << 62 | tail)


def _random() -> int:
    """64 bits, asked of the system by the hundred; no two threads get the same ones from the iterator."""
    global _tails
    while True:
        for (tail,) in _tails:
            return tail
        _tails = iter_unpack("Q", os.urandom(_RANDOM_BYTES))


def _forget() -> None:
    global _tails
    _tails = iter(())


os.register_at_fork(after_in_child=_forget)  # else parent and child would go on with the same bits


def first_uuid7(moment: datetime) -> UUID:
    """The lowest id of this moment: the bound of a partition or of a time filter."""
    return UUID(int=(max((moment - _EPOCH) // timedelta(milliseconds=1), 0) << 80) | 0x7 << 76 | 0b10 << 62)


def unix_ms(value: UUID) -> int:
    """Milliseconds since 1970 at which the id was made."""
    return value.int >> 80
