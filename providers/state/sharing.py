"""Deployments' health, shared by all workers through Redis: a channel for news, a hash for who comes late.

Nobody waits for it. While Redis is away each worker goes on with what it knows, and the first beat afterwards
makes up for what was missed.
"""

import asyncio
import time
from contextlib import suppress
from typing import Any
from uuid import uuid4

import msgspec
import structlog

from providers.desk import Desk
from providers.health import Health
from providers.news import News, Note, Rest, Standing
from providers.state.wire import Address, Connection, Disconnected, RedisError, connect

log = structlog.get_logger(__name__)

_KEY = "sy:health"
_KEY_SECONDS = 7200  # beyond the longest that a note may mean anything without being written again
PATIENCE = 1.0
BEAT_SECONDS = 1.0  # what a message did not bring, the next beat does
_HEAL_SECONDS = 0.25
_APART = 0.01  # seconds between two messages, however much fails

_encode = msgspec.msgpack.Encoder().encode
_note_of = msgspec.msgpack.Decoder(Standing | Rest).decode
_news_of = msgspec.msgpack.Decoder(News).decode


class Sharing:
    """Joins the `Health` of this worker with those of all others. `start` and `stop` bracket its life."""

    def __init__(self, address: Address, health: Health) -> None:
        self._address = address
        # channels are one space for all databases of a server
        self._channel = f"{_KEY}:{address.database}"
        self._desk = Desk(health, uuid4().hex, self._wake)
        self._connection: Connection | None = None
        self._lost = asyncio.Event()
        self._told = float("-inf")
        self._telling: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def joined(self) -> bool:
        """Whether this worker hears the others."""
        return self._connection is not None

    async def start(self) -> None:
        """Learn what holds, or begin alone; then go on trying."""
        with suppress(Disconnected, RedisError):
            await self._join()
        self._task = asyncio.get_running_loop().create_task(self._stay())

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
        if self._telling is not None:
            self._telling.cancel()
        if self._connection is not None:
            self._connection.close()

    # --- telling -------------------------------------------------------------------------------

    def _wake(self) -> None:
        """There is something to tell: with all else of this moment, and not more often than every 10 ms."""
        if self._telling is None and self._connection is not None:
            wait = max(0.0, self._told + _APART - time.monotonic())
            self._telling = asyncio.get_running_loop().call_later(wait, self._tell)

    def _tell(self) -> None:
        self._telling = None
        self._told = now = time.monotonic()
        connection = self._connection
        if connection is None or (news := self._desk.outgoing(now)) is None:
            return
        self._keep(connection, news.notes)
        _forget(connection.call("PUBLISH", self._channel, _encode(news)))

    def _keep(self, connection: Connection, notes: list[Note]) -> None:
        if notes:
            fields = [part for note in notes for part in (_field(note), _encode(note))]
            _forget(connection.call("HSET", _KEY, *fields))
            _forget(connection.call("EXPIRE", _KEY, _KEY_SECONDS))

    # --- hearing -------------------------------------------------------------------------------

    def _hear(self, message: bytes) -> None:
        try:
            news = _news_of(message)
        except msgspec.DecodeError:  # of another version
            log.warning("news_not_understood", size=len(message))
            return
        if self._desk.clock.known:
            self._desk.incoming(news, time.monotonic())

    async def _beat(self, connection: Connection) -> None:
        """Read the clock and the hash, and mend the hash where it is behind."""
        asked = time.monotonic()
        clock = connection.call("TIME")
        kept = connection.call("HGETALL", _KEY)
        seconds, microseconds = await clock
        self._desk.clock.heard(asked, time.monotonic(), int(seconds) + int(microseconds) / 1e6)
        self._desk.open()
        notes, foreign = _notes_of(await kept)
        missing, over = self._desk.compare(notes, time.monotonic())
        self._keep(connection, missing)
        if gone := [*foreign, *map(_field, over)]:
            _forget(connection.call("HDEL", _KEY, *gone))

    # --- the connection ------------------------------------------------------------------------

    async def _stay(self) -> None:
        told = ""
        while True:
            try:
                if self._connection is None:
                    await self._join()
                    told = ""
                await self._beat_until_lost()
            except (Disconnected, RedisError) as error:
                self._leave()
                if told != str(error):
                    log.warning("health_not_shared", error=str(error))
                told = str(error)
                await asyncio.sleep(_HEAL_SECONDS)
            except Exception:  # a worker that stopped listening would ask what all others leave alone
                self._leave()
                log.exception("health_not_shared")
                await asyncio.sleep(_HEAL_SECONDS)

    async def _join(self) -> None:
        self._lost.clear()
        connection = await connect(self._address, PATIENCE, self._lost.set, self._hear)
        try:
            # before the hash is read, so that what changes in between comes as news
            connection.subscribe(self._channel)
            await self._beat(connection)
        except BaseException:
            connection.close()
            raise
        self._desk.outgoing(time.monotonic())  # what was counted meanwhile is too old to tell
        self._connection = connection
        log.info("health_shared")

    async def _beat_until_lost(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(BEAT_SECONDS):
                    await self._lost.wait()
            if self._connection is None or not self._connection.alive:
                raise Disconnected("the connection to Redis broke")
            self._desk.probe_on()
            self._wake()
            await self._beat(self._connection)

    def _leave(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _field(note: Note) -> str:
    return f"{'s' if isinstance(note, Standing) else 'r'}{note.id}"


def _notes_of(fields: dict[bytes, bytes]) -> tuple[list[Note], list[str]]:
    """The notes of a hash, and the fields that hold none."""
    notes: list[Note] = []
    foreign = []
    for name, value in fields.items():
        try:
            notes.append(_note_of(value))
        except msgspec.DecodeError:
            foreign.append(name.decode("utf-8", "replace"))
    return notes, foreign


def _forget(answer: asyncio.Future[Any]) -> None:
    """Nobody waits for it; the next beat makes good what did not arrive."""
    answer.add_done_callback(lambda done: done.cancelled() or done.exception())
