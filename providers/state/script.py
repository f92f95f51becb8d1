"""What the script in Redis is told and what it answers, as MessagePack in one command."""

import itertools
from hashlib import sha1
from importlib import resources
from typing import Any

import msgspec

from providers.state import Hold, Seed, Settlement

_MOST_MEMBERS = 5000  # of one command
SCRIPT = resources.files("providers.state").joinpath("admit.lua").read_bytes()
_SHA = sha1(SCRIPT, usedforsecurity=False).hexdigest().encode()
_HEAD = b"*4\r\n$7\r\nEVALSHA\r\n$40\r\n%s\r\n$1\r\n0\r\n$" % _SHA


class Admitted(msgspec.Struct, array_like=True, tag="admitted"):
    slot: int
    granted: list[int]
    used: list[int]
    now: int
    holds: list[Hold]
    lost_cost: int


class Refused(msgspec.Struct, array_like=True, tag="refused"):
    index: int
    used: int
    held: int
    resets_at: int
    now: int


class AllFull(msgspec.Struct, array_like=True, tag="full"):
    resets_at: int
    frees: bool


class NeedsSeeds(msgspec.Struct, array_like=True, tag="unseeded"):
    counters: list[str]


class Lost(msgspec.Struct, array_like=True, tag="lost"):
    """Redis was emptied, or took this worker for dead."""


class Void(msgspec.Struct, array_like=True, tag="void"):
    """It came too late: the worker has given this request up."""


class Moved(msgspec.Struct, array_like=True, tag="moved"):
    slot: int
    holds: list[Hold] = []


class Beat(msgspec.Struct, array_like=True, tag="beat"):
    generation: str
    workers: int
    now: int


class Peeked(msgspec.Struct, array_like=True, tag="peeked"):
    used: list[int]
    now: int


class Corrected(msgspec.Struct, array_like=True, tag="corrected"):
    restless: list[str]


type Verdict = Admitted | Refused | AllFull | NeedsSeeds | Lost | Void
verdict_of = msgspec.msgpack.Decoder(Admitted | Refused | AllFull | NeedsSeeds | Lost | Void).decode
moved_of = msgspec.msgpack.Decoder(Moved).decode
beat_of = msgspec.msgpack.Decoder(Beat).decode
peeked_of = msgspec.msgpack.Decoder(Peeked | NeedsSeeds).decode
corrected_of = msgspec.msgpack.Decoder(Corrected).decode
_encode = msgspec.msgpack.Encoder().encode


def packed(operation: str, *arguments: Any) -> bytes:
    """The command that carries out an operation at the time of Redis' own clock."""
    order = _encode((operation, 0, *arguments))
    return b"%s%d\r\n%s\r\n" % (_HEAD, len(order), order)


def settlement(settled: Settlement) -> tuple[int, int, int, int, bool, bool]:
    of_slot = (settled.slot_tokens, settled.slot_cost)
    return settled.tokens, settled.cost, *of_slot, settled.sent, settled.slot_sent


def parts(seed: Seed) -> list[Seed]:
    """A set in as many pieces as Redis takes in one command."""
    if len(seed.members) <= _MOST_MEMBERS:
        return [seed]
    pieces = itertools.batched(seed.members, _MOST_MEMBERS)
    return [Seed(seed.counter, seed.epoch, members=some) for some in pieces]
