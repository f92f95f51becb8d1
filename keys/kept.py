"""Entries of keys as a worker keeps them: found by digest, dropped by key or team, the least used first."""

from collections import OrderedDict
from collections.abc import Iterable

from keys.entries import Entry


class Kept:
    """At most so many. Dropping costs what is dropped, however many there are: it is done on the loop."""

    def __init__(self) -> None:
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()
        self._of_key: dict[int, set[bytes]] = {}
        self._of_team: dict[int, set[bytes]] = {}

    def use(self, digest: bytes) -> Entry | None:
        """The entry, which is the last to go from now on."""
        entry = self._entries.get(digest)
        if entry is not None:
            self._entries.move_to_end(digest)
        return entry

    def put(self, digest: bytes, entry: Entry, most: int) -> None:
        """Keep it, and no more than `most`."""
        self.drop(digest)
        self._entries[digest] = entry
        self._of_key.setdefault(entry.pk, set()).add(digest)
        if entry.team_pk is not None:
            self._of_team.setdefault(entry.team_pk, set()).add(digest)
        if len(self._entries) > most:
            self.drop(next(iter(self._entries)))

    def drop(self, digest: bytes) -> None:
        entry = self._entries.pop(digest, None)
        if entry is None:
            return
        _leave(self._of_key, entry.pk, digest)
        if entry.team_pk is not None:
            _leave(self._of_team, entry.team_pk, digest)

    def drop_keys(self, keys: Iterable[int]) -> None:
        for key in keys:
            for digest in list(self._of_key.get(key, ())):
                self.drop(digest)

    def drop_teams(self, teams: Iterable[int]) -> None:
        for team in teams:
            for digest in list(self._of_team.get(team, ())):
                self.drop(digest)

    def clear(self) -> None:
        for each in (self._entries, self._of_key, self._of_team):
            each.clear()


def _leave(index: dict[int, set[bytes]], number: int, digest: bytes) -> None:
    index[number].discard(digest)
    if not index[number]:
        del index[number]
