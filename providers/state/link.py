"""A connection to Redis that is made again whenever it is lost."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from providers.state.wire import Address, Connection, Disconnected, RedisError, connect

log = structlog.get_logger(__name__)
_PATIENCE = 0.1
_HEAL_SECONDS = 0.25
# Longer pauses would let one worker count alone while the others are back.
_FLAPS_WITHIN, _LONGEST_PAUSE = 10.0, 2.0


class Link:
    """`connection` is the one in use; None: Redis is away, and is tried again until it answers.

    `begin` is done on each new connection, with no wait between its last step and the first use. It
    raises `Disconnected` or `RedisError` where it cannot be done.
    """

    def __init__(self, address: Address, begin: Callable[[Connection], Awaitable[None]]) -> None:
        self.connection: Connection | None = None
        self.stopping = False
        self._address = address
        self._begin = begin
        self._pause = 0.0
        self._began_at = float("-inf")
        self._healing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect, or go on trying."""
        with suppress(Disconnected, RedisError):
            await self._connect()
        if self.connection is None:
            log.warning("limits_without_redis", reason="Redis cannot be reached")
            self._heal()

    def refused(self, error: RedisError) -> None:
        """It cannot count (no memory, read-only, the script gone): begin anew, alone until that succeeds."""
        log.error("redis_refuses", error=str(error))
        if self.connection is not None:
            self.connection.close()

    def close(self) -> None:
        self.stopping = True
        if self._healing is not None:
            self._healing.cancel()
        if self.connection is not None:
            self.connection.close()

    async def _connect(self) -> None:
        connection = await connect(self._address, _PATIENCE, self._lost)
        try:
            await self._begin(connection)
        except (Disconnected, RedisError):
            connection.close()
            raise
        if not connection.alive:
            raise Disconnected("Redis closed the connection")
        self.connection = connection
        self._began_at = asyncio.get_running_loop().time()

    def _lost(self) -> None:
        # of the connection in use alone: one that is only being made ends in `_connect`
        if self.connection is None or self.connection.alive:
            return
        self.connection = None
        if self.stopping:
            return
        soon = asyncio.get_running_loop().time() - self._began_at < _FLAPS_WITHIN
        self._pause = min(_LONGEST_PAUSE, max(_HEAL_SECONDS, 2 * self._pause)) if soon else 0.0
        log.warning("limits_without_redis", reason="Redis does not answer", again_in=self._pause)
        self._heal()

    def _heal(self) -> None:
        if self._healing is None or self._healing.done():
            self._healing = asyncio.get_running_loop().create_task(self._heal_until_done())

    async def _heal_until_done(self) -> None:
        # one that answers, stalls and answers again is not asked by every request in between
        await asyncio.sleep(self._pause)
        told = ""
        while self.connection is None:
            try:
                await self._connect()
            except (Disconnected, RedisError) as error:
                if told != str(error):
                    log.warning("redis_still_away", error=str(error))
                told = str(error)
                await asyncio.sleep(_HEAL_SECONDS)
        log.info("limits_with_redis")
