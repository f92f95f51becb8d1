"""A stream that only pings its client is still a silent one."""

import asyncio
from typing import cast

import pytest

from gateway import streams
from gateway.attempts import Outcome
from gateway.passages import Passage
from gateway.surfaces import CHAT
from providers.connection import Answer
from providers.sse import EventReader


class Silent:
    """An answer of which nothing more comes."""

    async def chunk(self) -> bytes:
        await asyncio.Event().wait()
        return b""

    def close(self) -> None: ...

    release = close


async def test_pings_do_not_put_off_the_idle_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "PING_SECONDS", 0.05)
    ended: list[Outcome] = []
    handling = streams.Handling(
        CHAT, Passage(CHAT), prompt_tokens=5, idle_timeout=0.3, hide=lambda told: told, ended=ended.append
    )
    first = [b'{"choices":[{"delta":{"content":"hi"}}]}']
    stream = streams.EventStream(cast(Answer, Silent()), EventReader(1000), first, handling)
    async with asyncio.timeout(5):
        pieces = [piece async for piece in stream]
    assert streams.PING in pieces
    assert b"timeout" in pieces[-1]
    assert [outcome.status for outcome in ended] == ["failed"]
