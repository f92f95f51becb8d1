"""Ids sort by time and come once, in whichever thread or process."""

import os
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

from usage.ids import uuid7

RANDOM_BITS = 0x3FFF_FFFF_FFFF_FFFF
FAR_BEYOND_ONE_REFILL = 2000


def _random_bits(id: UUID) -> int:
    return id.int & RANDOM_BITS


def test_ids_of_one_process_rise_and_are_of_version_7() -> None:
    ids = [uuid7() for _ in range(FAR_BEYOND_ONE_REFILL)]
    assert ids == sorted(set(ids))
    assert {(id.version, id.variant) for id in ids} == {(7, "specified in RFC 4122")}


def test_random_bits_never_come_twice_even_to_several_threads() -> None:
    with ThreadPoolExecutor(8) as threads:
        ids = [id for some in threads.map(_some, range(16)) for id in some]
    assert len({_random_bits(id) for id in ids}) == len(ids)


def test_a_forked_child_has_random_bits_of_its_own() -> None:
    uuid7()  # bits for the next ids are in memory now
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, b"".join(uuid7().bytes for _ in range(50)))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    theirs = {_random_bits(UUID(bytes=told[at : at + 16])) for at in range(0, len(told), 16)}
    assert len(theirs) == 50
    assert theirs.isdisjoint(_random_bits(id) for id in _some(0))


def _some(_turn: int) -> list[UUID]:
    return [uuid7() for _ in range(FAR_BEYOND_ONE_REFILL)]
