"""Copies on this disk, for the time when the database is away: sealed, whole, and of this database alone."""

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import structlog
from django.conf import settings

from providers import secrets

log = structlog.get_logger(__name__)

# Grows when what is in a copy means something else; one of another format is not read.
FORMAT = 1
MOST_AGE_SECONDS = 30 * 86400

type Kind = Literal["configuration", "keys"]


class Head(msgspec.Struct, frozen=True):
    """The first line of a copy: what it is of. `written_at` in Unix seconds.

    `version` of the configuration; `seen`: numbers of the last changes of keys that it knows.
    """

    kind: Kind
    database: str
    written_at: float
    version: int = 0
    seen: frozenset[int] = frozenset()
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy that was opened."""

    head: Head
    body: bytes


class Unusable(Exception):
    """This is no copy that may be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Copies:
    """One of each kind in a folder that several workers share. `database` names what they are copies of."""

    folder: Path
    database: str

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Whether this worker may write until the end of the block: no other one does."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(self.folder / "lock", "w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    def write(self, kind: Kind, body: bytes, *, version: int = 0, seen: frozenset[int] = frozenset()) -> None:
        """Put it in the place of the one before, wholly or not at all; when `alone`. Raises `OSError`."""
        head = msgspec.json.encode(Head(kind, self.database, time.time(), version, seen))
        draft = self.folder / f"{kind}.new"
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(head + b"\n" + secrets.seal_bytes(body, head))
            file.flush()
            os.fsync(file.fileno())
        draft.rename(self.folder / kind)
        _sync(self.folder)

    def head(self, kind: Kind) -> Head | None:
        """What the copy that is there says of itself, or None if nobody could use it."""
        try:
            with (self.folder / kind).open("rb") as file:
                return self._usable(kind, file.readline().removesuffix(b"\n"))
        except (OSError, Unusable):
            return None

    def read(self, kind: Kind) -> Copy | None:
        """The copy that is there; None: none, or the log says why it is not used."""
        try:
            line, _, sealed = (self.folder / kind).read_bytes().partition(b"\n")
            return Copy(self._usable(kind, line), secrets.unseal_bytes(sealed, line))
        except FileNotFoundError:
            return None
        except (OSError, Unusable, secrets.Unreadable) as error:
            self.ignored(kind, error)
            return None

    def ignored(self, kind: Kind, why: Exception) -> None:
        """Say that a copy is of no use, and why."""
        log.warning("copy_ignored", file=str(self.folder / kind), reason=str(why) or type(why).__name__)

    def _usable(self, kind: Kind, line: bytes) -> Head:
        try:
            said = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
            format = msgspec.json.decode(said["format"])
        except (msgspec.DecodeError, KeyError):
            raise Unusable("it is no copy, or damaged") from None
        if format != FORMAT:
            raise Unusable(f"it has format {format}, and this version of Switchyard reads {FORMAT}")
        try:
            head = msgspec.json.decode(line, type=Head)
        except msgspec.DecodeError:
            raise Unusable("it is no copy, or damaged") from None
        if (head.kind, head.database) != (kind, self.database):
            raise Unusable("it is of another database")
        days = (time.time() - head.written_at) / 86400
        if days * 86400 > MOST_AGE_SECONDS:
            raise Unusable(f"it was written {days:.0f} days ago")
        return head


def copies() -> Copies | None:
    """Those of this installation; None: with SQLite the database itself is on this disk."""
    database = settings.DATABASES["default"]
    if database["ENGINE"] == "django.db.backends.sqlite3":
        return None
    place = "\0".join(str(database.get(part, "")) for part in ("HOST", "PORT", "NAME"))
    return Copies(settings.DATA_DIR / "copies", hashlib.sha256(place.encode()).hexdigest()[:16])


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
