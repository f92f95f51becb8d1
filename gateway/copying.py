"""Writes the copies that a worker starts from while the database is away, in a thread of its own."""

import threading
import time
from collections.abc import Collection

import msgspec
import structlog
from django.db import DatabaseError, close_old_connections, connection

from keys.copied import read_tables
from keys.directory import changes_near, unseen
from providers.changes import ConfigVersion, one_moment
from providers.copies import Copies, Head
from providers.snapshot import Rows

log = structlog.get_logger(__name__)

# Between two copies of keys, and at least so many times the CPU time of one, which requests do not get.
KEYS_SECONDS = 5.0
_TIMES = 50
# What did not change is written again all the same: keys leave it that were not used for long.
_RENEW_SECONDS = 86_400.0
_LOOK_SECONDS = 600.0
_RETRY_SECONDS = 1.0
_STOP_SECONDS = 5.0


class Copier:
    """Told of what is new, it writes the last of it, unless another worker of this disk did."""

    def __init__(self, copies: Copies, *, keys_seconds: float = KEYS_SECONDS) -> None:
        self._copies = copies
        self._keys_seconds = keys_seconds
        self._lock = threading.Lock()
        self._rows: Rows | None = None
        self._near: frozenset[int] | None = None
        self._idle: frozenset[int] = frozenset()
        self._keys_due = 0.0
        self._failing = False
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="copier", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Write what waits, if that can be done soon."""
        self._stopping = True
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(_STOP_SECONDS)

    def configuration(self, rows: Rows) -> None:
        """This is served from now on."""
        self._rows = rows
        self._wake.set()

    def keys(self, near: Collection[int], idle: Collection[int]) -> None:
        """Keys changed, the last changes are these; and `idle` ones are in use again."""
        with self._lock:
            self._near = frozenset(near)
            self._idle |= frozenset(idle)
        self._wake.set()

    # --- the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        pause = 0.0
        while not self._stopping:
            self._wake.wait(pause)
            self._wake.clear()
            pause = _LOOK_SECONDS if self._turn() else _RETRY_SECONDS
        self._keys_due = 0.0
        self._turn()
        connection.close()

    def _turn(self) -> bool:
        """Whether nothing is left to do."""
        try:
            with self._copies.alone() as alone:
                done = alone and self._write_configuration() and self._write_keys()
        except (OSError, DatabaseError) as error:
            if not self._failing:
                log.warning("copy_not_written", error=str(error).strip().split("\n")[0])
            self._failing = True
            connection.close()
            return False
        if self._failing and done:
            log.info("copy_written_again")
            self._failing = False
        return done

    def _write_configuration(self) -> bool:
        rows = self._rows
        if rows is not None and self._is_newer(rows.version, self._copies.head("configuration")):
            body = msgspec.json.encode(rows.tables())
            self._copies.write("configuration", body, version=rows.version)
        return True

    def _is_newer(self, version: int, head: Head | None) -> bool:
        if head is None or head.version < version:
            return True
        if head.version == version:
            return _is_old(head)
        # The other worker read it later than this one; or the database is an older one that was put back.
        close_old_connections()
        return ConfigVersion.current() == version

    def _write_keys(self) -> bool:
        with self._lock:
            near, idle = self._near, self._idle
        if near is None:
            return True
        head = self._copies.head("keys")
        if head is None or _is_old(head) or idle or unseen(near, head.seen):
            if time.monotonic() < self._keys_due:
                return False
            self._copy_keys(idle)
            with self._lock:
                self._idle -= idle
        return True

    def _copy_keys(self, idle: Collection[int]) -> None:
        close_old_connections()
        began = time.thread_time()
        with one_moment():
            seen = frozenset(changes_near(0))
            body = msgspec.json.encode(read_tables(idle))
        self._copies.write("keys", body, seen=seen)
        pause = max(self._keys_seconds, _TIMES * (time.thread_time() - began))
        self._keys_due = time.monotonic() + pause


def _is_old(head: Head) -> bool:
    return time.time() - head.written_at > _RENEW_SECONDS
