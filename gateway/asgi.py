"""The ASGI application: the API through its own door, everything else through Django."""

import asyncio
import os
from collections.abc import Callable, MutableMapping
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway.settings")
django.setup(set_prefix=False)

from django.conf import settings  # noqa: E402  Django is set up first
from django.core.handlers.asgi import ASGIHandler  # noqa: E402

from gateway import live  # noqa: E402
from gateway.cors import Cors  # noqa: E402
from gateway.door import ApiDoor, Receive, Scope, Send, is_api  # noqa: E402
from gateway.hot import Drain, HotConnection  # noqa: E402
from gateway.runtime import Gateway  # noqa: E402
from gateway.tallies import Tallies  # noqa: E402


class Application:
    """One per process; the gateway is made when the server starts it, after the fork."""

    def __init__(self) -> None:
        self._pages = ASGIHandler()
        self.door: ApiDoor | None = None  # there once the server has started it
        # before the fork; twice as many, for a reload starts new workers beside the old ones
        self._tallies = Tallies(2 * settings.WEB_CONCURRENCY)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif is_api(scope["path"]):
            assert self.door is not None, "the server runs the lifespan before any request"
            await self.door(scope, receive, send)
        else:
            heads = scope["method"] == "HEAD"
            await self._pages(scope, receive, _without_bodies(send) if heads else send)  # type: ignore[arg-type]

    def hot_connection(
        self,
        transport: asyncio.Transport,
        *,
        drain: Drain,
        alive: Callable[[], bool],
        hand_over: Callable[[bytes], None],
        linger: Callable[[], None],
    ) -> HotConnection | None:
        """What serves a client's hot POSTs below ASGI; None: the direct door is shut."""
        if self.door is None or not self.door.direct:
            return None
        return HotConnection(
            transport, self.door, drain=drain, alive=alive, hand_over=hand_over, linger=linger
        )

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        gateway = Gateway(self._tallies)
        live.answer(gateway)
        await gateway.start()
        self.door = ApiDoor(gateway, direct=settings.DIRECT_DOOR, cors=Cors.of(settings.CORS_ORIGINS))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await gateway.stop()
        await send({"type": "lifespan.shutdown.complete"})


def _without_bodies(send: Send) -> Send:
    """Django's pages have one for HEAD too, which the server drops with a warning each time."""

    async def send_on(message: MutableMapping[str, Any]) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    return send_on


application = Application()
