"""Keeps a worker's configuration and keys as the database has them: both of one moment, changed at once."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import msgspec
import structlog
from django.core.exceptions import ValidationError
from django.db import DatabaseError, close_old_connections, connection

from gateway.copying import Copier
from keys.directory import KeyDirectory, Loaded, Mark, News, news_since, read_key
from providers.changes import ConfigVersion, one_moment
from providers.copies import Copies
from providers.reach import Reach
from providers.snapshot import EMPTY, Rows, Snapshot, build, read_rows
from providers.tables import Table

log = structlog.get_logger(__name__)
FOLLOW_SECONDS = 1.0
# A worker that starts begins with its copy when the database has not answered by then; without a copy it
# has nothing to serve, and waits until it is clear that the database is away.
BEGIN_SECONDS = 1.0
EMPTY_SECONDS = 10.0
_NEVER = -1


@dataclass(frozen=True, slots=True)
class Look:
    """What the database said at one moment: of keys always, of the configuration where it is another one.

    `keys`: those that somebody waits for, by their texts. `error` instead of `snapshot`: it cannot be served
    with.
    """

    news: News
    keys: Mapping[str, Loaded | None]
    rows: Rows | None = None
    snapshot: Snapshot | None = None
    error: Exception | None = None


class Following:
    """Asks each second. `swap` takes a newer configuration; keys are told in the same turn of the loop.

    Without an answer at the start, both come from the copy on disk until there is one.
    """

    def __init__(self, swap: Callable[[Snapshot], None], copies: Copies | None) -> None:
        self.reach = Reach()
        self.keys = KeyDirectory(self.reach, copies, self._together)
        self.from_copy = False
        self._swap = swap
        self._copies = copies
        self._copier = Copier(copies) if copies is not None else None
        self._version = _NEVER  # of what was read from the database
        self._refused = _NEVER
        self._lock = asyncio.Lock()
        self._turn = asyncio.Lock()
        self._wanted: dict[str, asyncio.Future[Loaded | None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="following")
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read all once, or begin with the copy, or without anything; then follow."""
        if self._copier is not None:
            self._copier.start()
        first = asyncio.create_task(self._look())
        copied = self._copies is not None and self._copies.head("configuration") is not None
        await asyncio.wait({first}, timeout=BEGIN_SECONDS if copied else EMPTY_SECONDS)
        if self._version == _NEVER:
            self.reach.silent()
            await self._begin_with_copy()
        self._task = asyncio.create_task(self._follow(first))

    async def stop(self) -> None:
        tasks = [*self._tasks, *([self._task] if self._task is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._copier is not None:
            await asyncio.to_thread(self._copier.stop)
        self.keys.close()
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def _follow(self, first: asyncio.Task[None]) -> None:
        """For ever; a database that is away is a warning, once, and nothing ends it."""
        looking, away = first, False
        while True:
            try:
                await looking
            except DatabaseError as error:
                self.reach.failed()
                if not away:
                    log.warning("cannot_follow", error=str(error).strip().split("\n")[0])
                away = True
            except Exception:  # a worker that stopped following would serve old rights for ever
                log.exception("cannot_follow")
            else:
                if away:
                    log.info("following_again")
                away = False
            await asyncio.sleep(FOLLOW_SECONDS)
            looking = asyncio.create_task(self._look())

    async def _look(self) -> None:
        """Ask once and take over what is new. Raises `DatabaseError`."""
        async with self._lock:
            wanted, self._wanted = self._wanted, {}
            asking = partial(_ask, self._version, self._refused, self.keys.mark, tuple(wanted))
            try:
                look = await asyncio.get_running_loop().run_in_executor(self._executor, asking)
            except BaseException as error:
                told = DatabaseError("stopped") if isinstance(error, asyncio.CancelledError) else error
                for waiting in wanted.values():
                    _fail(waiting, told)
                raise
            self.reach.answered()
            self._take(look)
            for text, waiting in wanted.items():
                if not waiting.done():
                    waiting.set_result(look.keys[text])

    def _take(self, look: Look) -> None:
        """In one turn of the loop: no request sees one of them new and the other one old."""
        if look.rows is not None and look.snapshot is not None:
            self._version, self.from_copy = look.rows.version, False
            self._swap(look.snapshot)
        elif look.rows is not None:
            self._refused = look.rows.version
            log.error("configuration_refused", version=self._refused, exc_info=look.error)
        self.keys.version = max(self._version, self._refused)
        self.keys.apply(look.news)
        for text, loaded in look.keys.items():
            if loaded is not None:
                self.keys.add(text, loaded)
        if self._copier is None:
            return
        if look.rows is not None and look.snapshot is not None:
            self._copier.configuration(look.rows)
        if look.news.changed or self.keys.idle:
            self._copier.keys(look.news.near, self.keys.idle)
            self.keys.idle.clear()

    async def _together(self, text: str) -> Loaded | None:
        """This key, with whatever else is new at the same moment. Raises `DatabaseError`."""
        waiting = self._wanted.get(text)
        if waiting is None:
            waiting = self._wanted[text] = asyncio.get_running_loop().create_future()
            task = asyncio.create_task(self._look_for_wanted())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(waiting)

    async def _look_for_wanted(self) -> None:
        """Whoever asked before this one had its turn has been told what it wanted as well."""
        async with self._turn:
            if self._wanted:
                with suppress(DatabaseError):  # those who wait are told
                    await self._look()

    async def _begin_with_copy(self) -> None:
        if self._copies is None:
            return
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(None, _from_copy, self._copies)
        if self._version != _NEVER:  # the database was faster
            return
        await self.keys.stand_in()
        if found is not None and self._version == _NEVER:
            self.from_copy = True
            self._swap(found)


def _fail(waiting: asyncio.Future[Loaded | None], error: BaseException) -> None:
    if not waiting.done():
        waiting.set_exception(error)
        waiting.exception()  # whoever waited may have gone


def _ask(version: int, refused: int, mark: Mark, wanted: Iterable[str]) -> Look:
    close_old_connections()
    try:
        with one_moment():
            current = ConfigVersion.current()
            rows = read_rows() if current not in (version, refused) else None
            news = news_since(mark)
            keys = {text: read_key(text, current) for text in wanted}
    except DatabaseError:
        connection.close()
        raise
    if rows is None:
        return Look(news, keys)
    try:
        return Look(news, keys, rows, build(rows))
    except Exception as error:  # noqa: BLE001  rows written past the forms may be anything: all of it is refused
        return Look(news, keys, rows, error=error)


def _from_copy(copies: Copies) -> Snapshot | None:
    copy = copies.read("configuration")
    if copy is None:
        return None
    try:
        tables = msgspec.json.decode(copy.body, type=dict[str, Table])
        found = build(Rows.of_tables(copy.head.version, tables))
    except (msgspec.DecodeError, ValidationError, LookupError, TypeError, ValueError) as error:
        copies.ignored("configuration", error)
        return None
    hours = (time.time() - copy.head.written_at) / 3600
    log.warning("configuration_from_copy", version=found.version, written=f"{hours:.1f} hours ago")
    return found if found is not EMPTY else None
