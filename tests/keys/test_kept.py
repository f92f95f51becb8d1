"""Entries of keys as a worker keeps them, against a plain list of them."""

from random import Random

import pytest

from keys.entries import Entry
from keys.kept import Kept

MOST = 8


def entry(key: int, team: int | None) -> Entry:
    return Entry(key, team, f"id-{key}", f"key {key}", "", True, None, False, None, ())


@pytest.mark.parametrize("seed", range(20))
def test_what_is_kept_and_dropped_is_what_a_plain_list_has(seed: int) -> None:
    random, kept = Random(seed), Kept()
    plain: dict[bytes, Entry] = {}  # the least used first

    def use(digest: bytes) -> None:
        found = kept.use(digest)
        assert found is plain.get(digest)
        if found is not None:
            plain[digest] = plain.pop(digest)

    for _ in range(2000):
        digest = bytes([random.randrange(20)])
        key, team = random.randrange(10), random.choice([None, 1, 2, 3])
        match random.randrange(8):
            case 0 | 1 | 2:
                made = entry(key, team)
                kept.put(digest, made, MOST)
                plain.pop(digest, None)
                plain[digest] = made
                if len(plain) > MOST:
                    del plain[next(iter(plain))]
            case 3:
                kept.drop_keys([key, key + 1])
                plain = {d: e for d, e in plain.items() if e.pk not in (key, key + 1)}
            case 4 if team is not None:
                kept.drop_teams([team])
                plain = {d: e for d, e in plain.items() if e.team_pk != team}
            case 5:
                kept.drop(digest)
                plain.pop(digest, None)
            case 6 if random.random() < 0.05:
                kept.clear()
                plain.clear()
            case _:
                use(digest)
        assert list(kept._entries) == list(plain)
        assert set(kept._of_key) == {e.pk for e in plain.values()}
        assert set(kept._of_team) == {e.team_pk for e in plain.values()} - {None}
