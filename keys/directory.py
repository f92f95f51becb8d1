"""The keys that workers have seen: rights and limits loaded together, dropped when they change."""

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import structlog
from django.conf import settings
from django.db import Error as DatabaseTrouble
from django.db import close_old_connections, connection
from django.db.models import Q

from keys.issuing import find
from keys.limits import Rule
from keys.models import ApiKey, KeyChange, Limit
from keys.scopes import holder_of, scope_of

log = structlog.get_logger(__name__)
MOST_ENTRIES = 100_000
LOOK_UP_SECONDS = 5.0
# Numbers are given before transactions commit, so a lower one may appear after a higher one.
_OVERLAP = 500
_LATE_SECONDS = 3600.0  # the log itself is kept for longer


class DirectoryUnavailable(Exception):
    """The key is not known here and the database does not answer: nobody can say whether it is good."""


@dataclass(frozen=True, slots=True)
class Keeps:
    """Prompts and answers are kept for this many days; None: as the setting says."""

    days: int | None


@dataclass(frozen=True, slots=True)
class Entry:
    """A key as the hot path sees it: who, what it may use, and all limits that hold for its requests.

    Not those of deployments and of single end users, which are `Standing`.
    """

    pk: int
    team_pk: int | None
    public_id: str
    name: str
    team: str
    enabled: bool
    expires_at: float | None
    is_admin: bool
    models: frozenset[str] | None
    rules: tuple[Rule, ...]
    keeps: Keeps | None = None
    end_user_header: str = ""
    max_end_users: int = 0
    closed_without_redis: bool = False

    def may_use(self, model: str) -> bool:
        return self.models is None or model in self.models


@dataclass(frozen=True, slots=True)
class Standing:
    """The limits that belong to no key: of deployments by their id, of single end users by their name."""

    deployments: Mapping[int, tuple[Rule, ...]]
    end_users: Mapping[str, tuple[Rule, ...]]


NOBODY = Standing({}, {})


class KeyDirectory:
    """Finds keys by their text. A hit costs one digest; a miss asks the database on threads of its own.

    Entries are kept under a digest of the whole key, so a worker's memory holds no key.
    """

    def __init__(self) -> None:
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()
        self._pending: dict[bytes, asyncio.Future[Entry | None]] = {}
        self._executor = ThreadPoolExecutor(2, thread_name_prefix="key-directory")
        self.standing = NOBODY
        self._seen: set[int] = set()
        self._drops = 0
        self._followed = 0.0

    def known(self, text: str) -> Entry | None:
        """The entry of a key seen before, without any I/O."""
        digest = _digest(text)
        entry = self._entries.get(digest)
        if entry is not None:
            self._entries.move_to_end(digest)
        return entry

    async def look_up(self, text: str) -> Entry | None:
        """The entry of a key from the database; None: no such key. Raises `DirectoryUnavailable`."""
        digest = _digest(text)
        pending = self._pending.get(digest)
        if pending is None:
            pending = asyncio.get_running_loop().run_in_executor(self._executor, _load, text)
            self._pending[digest] = pending
            pending.add_done_callback(lambda done: self._loaded(digest, done))
        drops = self._drops
        try:
            async with asyncio.timeout(LOOK_UP_SECONDS):
                entry = await asyncio.shield(pending)
        except (DatabaseTrouble, TimeoutError) as error:
            log.warning("key_look_up_failed", error=str(error))
            raise DirectoryUnavailable from error
        if entry is not None and drops == self._drops:  # else it may be older than a change seen meanwhile
            self._entries[digest] = entry
            if len(self._entries) > MOST_ENTRIES:
                self._entries.popitem(last=False)
        return entry

    def _loaded(self, digest: bytes, done: asyncio.Future[Entry | None]) -> None:
        if self._pending.get(digest) is done:
            del self._pending[digest]

    async def follow_changes(self) -> None:
        """Drop the entries whose keys changed since the last call. Raises `DatabaseError`."""
        loop = asyncio.get_running_loop()
        near = await loop.run_in_executor(self._executor, _changes_near, max(self._seen, default=0))
        changed = {what for change, what in near.items() if change not in self._seen}
        now = time.time()
        late = now - self._followed > _LATE_SECONDS
        if late or len(near) == _OVERLAP * 2:  # changes may be forgotten by now, or more than was read
            changed.add(_ANY)
        if _ANY in changed:
            self.standing = await loop.run_in_executor(self._executor, _standing)
        self._followed = now
        self._seen = set(near)
        if changed:
            self._drop(changed)

    def _drop(self, changed: "set[_Changed]") -> None:
        self._drops += 1
        self._pending.clear()  # who asks from now on must not be told what was read before the change
        if _ANY in changed:
            self._entries.clear()
            return
        keys = {what.key for what in changed} - {None}
        teams = {what.team for what in changed} - {None}
        for digest, entry in list(self._entries.items()):
            if entry.pk in keys or entry.team_pk in teams:
                del self._entries[digest]

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


@dataclass(frozen=True, slots=True)
class _Changed:
    """A key or a team; neither: all of them, and what belongs to none."""

    key: int | None = None
    team: int | None = None


_ANY = _Changed()


def _changes_near(newest_seen: int) -> dict[int, _Changed]:
    """What changed, by the number of the change, after `newest_seen` and just before it."""
    close_old_connections()
    rows = KeyChange.objects.filter(pk__gt=newest_seen - _OVERLAP).order_by("-pk")
    found = rows.values_list("pk", "key_id", "team_id")[: _OVERLAP * 2]
    return {change: _Changed(key, team) for change, key, team in found}


def _standing() -> Standing:
    close_old_connections()
    found = Limit.objects.filter(Q(deployment__isnull=False) | Q(end_user__isnull=False))
    deployments: dict[int, list[Rule]] = {}
    end_users: dict[str, list[Rule]] = {}
    for limit in found.select_related("deployment", "end_user", "model").order_by("pk"):
        if limit.deployment is not None:
            deployments.setdefault(limit.deployment.pk, []).append(rule_of(limit))
        elif limit.end_user is not None:
            end_users.setdefault(limit.end_user.name, []).append(rule_of(limit))
    return Standing(
        {id: tuple(rules) for id, rules in deployments.items()},
        {name: tuple(rules) for name, rules in end_users.items()},
    )


def _load(text: str) -> Entry | None:
    close_old_connections()
    try:
        key = find(text)
        return None if key is None else _entry(key)
    except DatabaseTrouble:
        connection.close()
        raise


def _entry(key: ApiKey) -> Entry:
    models = None
    if not key.all_models:
        models = frozenset(key.allowed_models.values_list("name", flat=True))
    return Entry(
        pk=key.pk,
        team_pk=key.team_id,
        public_id=key.public_id,
        name=key.name,
        team=key.team.name if key.team else "",
        enabled=key.enabled,
        expires_at=key.expires_at.timestamp() if key.expires_at else None,
        is_admin=key.is_admin,
        models=models,
        rules=_rules(key),
        keeps=_keeps(key),
        end_user_header=key.end_user_header.lower(),
        max_end_users=settings.MAX_END_USERS if key.max_end_users is None else key.max_end_users,
        closed_without_redis=key.without_redis == ApiKey.WithoutRedis.CLOSED,
    )


def _keeps(key: ApiKey) -> Keeps | None:
    """A key's own number of days goes before its team's, whichever of the two keeps."""
    team = key.team
    if not (key.keep_exchanges or (team is not None and team.keep_exchanges)):
        return None
    return Keeps(key.exchange_days or (team.exchange_days if team is not None else None))


def _rules(key: ApiKey) -> tuple[Rule, ...]:
    """Those of the key, of its team and of everyone."""
    everyone = Q(key=None, team=None, end_user=None, deployment=None)
    holders = Q(key=key) | everyone
    if key.team_id:
        holders |= Q(team=key.team_id)
    limits = Limit.objects.filter(holders).select_related("model", "team", "key").order_by("pk")
    return rules_of(limits)


def rules_of(limits: Iterable[Limit]) -> tuple[Rule, ...]:
    return tuple(rule_of(limit) for limit in limits)


def rule_of(limit: Limit) -> Rule:
    return Rule(
        id=limit.pk,
        owner=holder_of(limit),
        metric=limit.metric,
        amount=limit.amount,
        window=limit.window,
        time_zone=limit.time_zone,
        shadow=limit.mode == Limit.Mode.SHADOW,
        model=limit.model.name if limit.model else None,
        scope=scope_of(limit),
        each=limit.each_end_user,
        reset_at=int(limit.reset_at.timestamp() * 1000) if limit.reset_at else 0,
        holder=repr((limit.key_id, limit.team_id, limit.end_user_id, limit.deployment_id, limit.model_id)),
    )
