"""The keys that workers have seen: rights and limits loaded together, dropped when they change."""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from math import inf

import msgspec
import structlog
from django.core.exceptions import ValidationError
from django.db import Error as DatabaseTrouble
from django.db import close_old_connections, connection
from django.db.models import Q
from django.utils import timezone

from keys.copied import USED_WITHIN, CopiedKeys, KeyTables
from keys.entries import NOBODY, Entry, Standing, entry_of, standing_of
from keys.issuing import find
from keys.kept import Kept
from keys.models import ApiKey, KeyChange, Limit
from providers.changes import ConfigVersion, one_moment
from providers.copies import Copies
from providers.reach import Reach

log = structlog.get_logger(__name__)
MOST_ENTRIES = 100_000
LOOK_UP_SECONDS = 5.0
_MOST_NAMESAKES = 5
# Numbers are given before transactions commit, so a lower one may appear after a higher one.
_OVERLAP = 500
_LATE_SECONDS = 3600.0  # the log itself is kept for longer
# A copy is written anew at least once a day, so a key that was used since is in it.
_IDLE_AFTER = USED_WITHIN - timedelta(days=2)


class DirectoryUnavailable(Exception):
    """The key is not known here and the database does not answer: nobody can say whether it is good."""


@dataclass(frozen=True, slots=True)
class Changed:
    """A key or a team; neither: all of them, and what belongs to none."""

    key: int | None = None
    team: int | None = None


_ANY = Changed()


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a worker has followed the change log. `late`: what changed meanwhile may be forgotten."""

    seen: frozenset[int] = frozenset()
    late: bool = True


@dataclass(frozen=True, slots=True)
class News:
    """What the change log says beyond a mark. `standing`: read anew because it may have changed."""

    near: Mapping[int, Changed]
    changed: frozenset[Changed]
    standing: Standing | None
    at: float


@dataclass(frozen=True, slots=True)
class Loaded:
    """A key from the database, and the version of configuration at that moment.

    `idle`: it was not used for so long that a copy may be without it.
    """

    entry: Entry
    version: int
    idle: bool


@dataclass(slots=True)
class _Pending:
    """A load under way, and how many wait for it."""

    found: asyncio.Future[Loaded | None]
    waiting: int = 0


# Reads a key at the same moment as configuration and changes, and `add`s it when those are taken over.
type Together = Callable[[str], Awaitable[Loaded | None]]


class KeyDirectory:
    """Finds keys by their text. A hit costs one digest; a miss asks the database on threads of its own.

    Entries are kept under a digest of the whole key, so a worker's memory holds no key. While the database
    is away, they come from the copy on disk until it is back.

    No entry goes with an older `version` of the configuration: where that is older, both are read `together`.
    """

    def __init__(
        self,
        reach: Reach | None = None,
        copies: Copies | None = None,
        together: Together | None = None,
    ) -> None:
        self.standing = NOBODY
        self.idle: set[int] = set()  # keys in use that a copy may be without
        self._reach = reach or Reach()
        self._copies = copies
        self.version: float = inf  # of the configuration; on its own there is none to be older than
        self._together = together
        self._kept = Kept()
        self._pending: dict[bytes, _Pending] = {}
        self._executor = ThreadPoolExecutor(2, thread_name_prefix="key-directory")
        self._near: Mapping[int, Changed] = {}
        self._drops = 0
        self._followed = 0.0
        self._borrowed: set[bytes] = set()
        self._copied: asyncio.Future[CopiedKeys | None] | None = None
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="key-copy")

    def known(self, text: str) -> Entry | None:
        """The entry of a key seen before, without any I/O."""
        return self._kept.use(_digest(text))

    async def look_up(self, text: str) -> Entry | None:
        """The entry of a key from the database, or from the copy while that is away; None: no such key.

        Raises `DirectoryUnavailable`.
        """
        if self._reach.away and (entry := await self._borrow(text)) is not None:
            return entry
        try:
            async with asyncio.timeout(LOOK_UP_SECONDS):
                return await self._look_up(text)
        except (DatabaseTrouble, TimeoutError) as error:
            if (entry := await self._borrow(text)) is not None:
                return entry
            log.warning("key_look_up_failed", error=str(error))
            raise DirectoryUnavailable from error

    async def _look_up(self, text: str) -> Entry | None:
        digest = _digest(text)
        while True:
            drops = self._drops
            loaded = await self._load(digest, text)
            if drops == self._drops and (loaded is None or loaded.version <= self.version):
                if loaded is not None:
                    self.add(text, loaded)
                break
            if self._together is not None:
                loaded = await self._together(text)
                if loaded is None or self._kept.use(digest) is loaded.entry:
                    break
        return None if loaded is None else loaded.entry

    def add(self, text: str, loaded: Loaded) -> None:
        """Know this key from now on; what was read is as new as what the worker goes by."""
        if loaded.idle:
            self.idle.add(loaded.entry.pk)
        self._kept.put(_digest(text), loaded.entry, MOST_ENTRIES)

    async def _load(self, digest: bytes, text: str) -> Loaded | None:
        """From the database, once for all who ask at the same time."""
        pending = self._pending.get(digest)
        if pending is None:
            pending = self._pending[digest] = _Pending(
                asyncio.get_running_loop().run_in_executor(self._executor, _load, text)
            )
        pending.waiting += 1
        try:
            return await asyncio.shield(pending.found)
        finally:
            pending.waiting -= 1
            if not pending.waiting:
                # Nobody waits any longer: behind a database that hangs there may be many such.
                pending.found.cancel()
                if self._pending.get(digest) is pending:
                    del self._pending[digest]

    # --- following the change log --------------------------------------------------------------

    @property
    def mark(self) -> Mark:
        """How far this worker is."""
        return Mark(frozenset(self._near), late=time.time() - self._followed > _LATE_SECONDS)

    def apply(self, news: News) -> None:
        """Drop the entries whose keys changed, and those that were borrowed while nobody could say."""
        self._followed = news.at
        self._near = news.near
        if news.standing is not None:
            self.standing = news.standing
        self._copied = None
        if news.changed or self._borrowed:
            self._drop(news.changed)

    def _drop(self, changed: Iterable[Changed]) -> None:
        self._drops += 1
        self._pending.clear()  # who asks from now on must not be told what was read before the change
        borrowed, self._borrowed = self._borrowed, set()
        if _ANY in changed:
            self._kept.clear()
            return
        self._kept.drop_keys(what.key for what in changed if what.key is not None)
        self._kept.drop_teams(what.team for what in changed if what.team is not None)
        for digest in borrowed:
            self._kept.drop(digest)

    # --- while the database is away ------------------------------------------------------------

    async def stand_in(self) -> None:
        """Begin with the limits of the copy, where there is one."""
        if (copied := await self._open_copy()) is not None:
            self.standing = copied.standing

    async def _borrow(self, text: str) -> Entry | None:
        """The entry as the copy has it, unless it is known to have changed since."""
        copied = await self._open_copy()
        entry = copied.find(text) if copied is not None else None
        if copied is None or entry is None:
            return None
        later = [self._near[change] for change in unseen(self._near, copied.seen)]
        if any(what.key == entry.pk or what.team == entry.team_pk is not None for what in later):
            return None
        digest = _digest(text)
        self._borrowed.add(digest)
        self._kept.put(digest, entry, MOST_ENTRIES)
        return entry

    async def _open_copy(self) -> CopiedKeys | None:
        """Once for each time that the database is away."""
        if self._copies is None:
            return None
        if self._copied is None:
            loop = asyncio.get_running_loop()
            self._copied = loop.run_in_executor(self._reader, _open, self._copies)
        return await asyncio.shield(self._copied)

    def close(self) -> None:
        for executor in (self._executor, self._reader):
            executor.shutdown(wait=False, cancel_futures=True)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def news_since(mark: Mark) -> News:
    """What changed since a mark. Raises `DatabaseError`."""
    at = time.time()
    near = changes_near(max(mark.seen, default=0))
    changed = {what for change, what in near.items() if change not in mark.seen}
    if mark.late or len(near) == _OVERLAP * 2:  # changes may be forgotten by now, or more than was read
        changed.add(_ANY)
    return News(near, frozenset(changed), _standing() if _ANY in changed else None, at)


def changes_near(newest_seen: int) -> dict[int, Changed]:
    """What changed, by the number of the change, after `newest_seen` and just before it."""
    rows = KeyChange.objects.filter(pk__gt=newest_seen - _OVERLAP).order_by("-pk")
    found = rows.values_list("pk", "key_id", "team_id")[: _OVERLAP * 2]
    return {change: Changed(key, team) for change, key, team in found}


def unseen(near: Iterable[int], seen: frozenset[int]) -> list[int]:
    """Of these changes those that whoever saw the others did not; it saw all that came long before."""
    first = min(seen, default=0)
    return [change for change in near if change > first and change not in seen]


def _standing() -> Standing:
    found = Limit.objects.filter(Q(deployment__isnull=False) | Q(end_user__isnull=False))
    return standing_of(found.select_related("deployment", "end_user", "model").order_by("pk"))


def _load(text: str) -> Loaded | None:
    close_old_connections()
    try:
        with one_moment():
            return read_key(text, ConfigVersion.current())
    except DatabaseTrouble:
        connection.close()
        raise


def entries_named(name: str) -> list[Entry]:
    """The keys of this name or public id, read from the database. Raises `DatabaseError`."""
    found = ApiKey.objects.filter(Q(name=name) | Q(public_id=name)).select_related("team").order_by("pk")
    return [_entry(key) for key in found[:_MOST_NAMESAKES]]


def read_key(text: str, version: int) -> Loaded | None:
    """The key of this text, read in the transaction that read this version. Raises `DatabaseError`."""
    key = find(text)
    return None if key is None else Loaded(_entry(key), version, _is_idle(key))


def _is_idle(key: ApiKey) -> bool:
    return (key.last_used_at or key.created_at) < timezone.now() - _IDLE_AFTER


def _entry(key: ApiKey) -> Entry:
    models = [] if key.all_models else key.allowed_models.values_list("name", flat=True)
    everyone = Q(key=None, team=None, end_user=None, deployment=None)
    holders = Q(key=key) | everyone
    if key.team_id:
        holders |= Q(team=key.team_id)
    limits = Limit.objects.filter(holders).select_related("model", "team", "key").order_by("pk")
    return entry_of(key, models, limits)


def _open(copies: Copies) -> CopiedKeys | None:
    """The keys of the copy; None: there is none, or it is not to be used."""
    copy = copies.read("keys")
    if copy is None:
        return None
    try:
        return CopiedKeys(msgspec.json.decode(copy.body, type=KeyTables), copy.head.seen)
    except (msgspec.DecodeError, ValidationError, LookupError, TypeError, ValueError) as error:
        copies.ignored("keys", error)
        return None
