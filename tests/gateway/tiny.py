"""An ASGI application for `tests/gateway/test_serve_draining.py`: it answers after as long as it is told.

It writes what happens to the file that TINY_LOG names.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

type Message = MutableMapping[str, Any]

LOG = Path(os.environ["TINY_LOG"])


def _note(what: str) -> None:
    with LOG.open("a") as log:
        log.write(what + "\n")


async def application(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        _note("lifespan ended")
        await send({"type": "lifespan.shutdown.complete"})
        return
    try:
        await _answer(float(scope["path"].strip("/") or 0), send)
        _note("answered")
    finally:
        _note("settled")


async def _answer(seconds: float, send: Callable[[Message], Awaitable[None]]) -> None:
    if seconds:
        _note("asked")
    await asyncio.sleep(seconds)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
