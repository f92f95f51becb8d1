"""Keys in a copy on disk: their rows, and finding a key in them while the database is away.

The copy has a verifier of each key and no key; rows become objects when their key is asked for.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from datetime import timedelta
from typing import Any

import msgspec
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from keys.entries import Entry, Standing, entry_of, standing_of
from keys.issuing import is_text_of, public_ids
from keys.models import ApiKey, EndUser, Limit, Team
from providers.models import Deployment, Model
from providers.tables import Table, packed_query, unpacked

USED_WITHIN = timedelta(days=30)
MOST_KEYS = 100_000

type _Rows = list[tuple[Any, ...]]


class KeyTables(msgspec.Struct, frozen=True):
    """Keys, and what their entries are made of. `models` and `deployments` are names by id."""

    keys: Table
    teams: Table
    limits: Table
    end_users: Table
    models: Mapping[int, str]
    deployments: Mapping[int, str]
    allowed: list[tuple[int, int]]


def read_tables(more: Collection[int] = ()) -> KeyTables:
    """Of the keys that were used or made in the last 30 days, the last used first, and of these `more`."""
    since = timezone.now() - USED_WITHIN
    recent = Q(last_used_at__gte=since) | Q(last_used_at=None, created_at__gte=since) | Q(pk__in=more)
    keys = ApiKey.objects.filter(recent)
    theirs = Limit.objects.filter(Q(key=None) | Q(key__in=keys.values("pk")))
    allowed = ApiKey.allowed_models.through._default_manager.filter(apikey__in=keys.values("pk"))
    return KeyTables(
        keys=packed_query(keys.order_by(F("last_used_at").desc(nulls_last=True))[:MOST_KEYS]),
        teams=packed_query(Team.objects.all()),
        limits=packed_query(theirs.order_by("pk")),
        end_users=packed_query(EndUser.objects.filter(limits__isnull=False).distinct()),
        models=_names(Model.objects.all()),
        deployments=_names(Deployment.objects.all()),
        allowed=list(allowed.values_list("apikey_id", "model_id")),
    )


def _names(found: QuerySet[Any]) -> dict[int, str]:
    return dict(found.order_by("pk").values_list("pk", "name"))


class CopiedKeys:
    """What `KeyTables` says of a key. `seen`: the changes of keys that it knows.

    Raises `KeyError`, `ValueError` and the like when the tables are something else.
    """

    def __init__(self, tables: KeyTables, seen: frozenset[int]) -> None:
        self.seen = seen
        self._columns = tables.keys.columns
        self._keys = _grouped(tables.keys, "public_id")
        self._teams = {team.pk: team for team in unpacked(Team, tables.teams)}
        self._end_users = {row.pk: row for row in unpacked(EndUser, tables.end_users)}
        self._models = {pk: Model(pk=pk, name=name) for pk, name in tables.models.items()}
        self._deployments = {pk: Deployment(pk=pk, name=name) for pk, name in tables.deployments.items()}
        self._allowed: dict[int, list[int]] = defaultdict(list)
        for key, model in tables.allowed:
            self._allowed[key].append(model)
        self._limits = _Limits(tables.limits)
        self.standing: Standing = standing_of(self._objects(self._limits.of_singles, None))

    def find(self, text: str) -> Entry | None:
        """The entry of this key, as it was when the copy was written."""
        rows = [row for id in public_ids(text) for row in self._keys.get(id, ())]
        found = (key for key in unpacked(ApiKey, Table(self._columns, rows)) if is_text_of(text, key))
        key = next(found, None)
        if key is None:
            return None
        key.team = self._teams[key.team_id] if key.team_id else None
        models = (self._models[id].name for id in self._allowed.get(key.pk, ()))
        return entry_of(key, models, self._objects(self._limits.holding(key), key))

    def _objects(self, rows: _Rows, key: ApiKey | None) -> Iterator[Limit]:
        """Limits with all that they refer to, so that nothing asks the database."""
        limits = unpacked(Limit, Table(self._limits.columns, rows))
        for limit in sorted(limits, key=lambda limit: limit.pk):
            limit.key = key if limit.key_id else None
            limit.team = self._teams[limit.team_id] if limit.team_id else None
            limit.end_user = self._end_users[limit.end_user_id] if limit.end_user_id else None
            limit.deployment = self._deployments[limit.deployment_id] if limit.deployment_id else None
            limit.model = self._models[limit.model_id] if limit.model_id else None
            yield limit


class _Limits:
    """Rows of limits by their holders."""

    def __init__(self, table: Table) -> None:
        self.columns = table.columns
        self.of_singles: _Rows = []  # of deployments and of end users by name
        self._of_keys: dict[int, _Rows] = defaultdict(list)
        self._of_teams: dict[int, _Rows] = defaultdict(list)
        self._of_everyone: _Rows = []
        at = [table.columns.index(name) for name in ("key_id", "team_id", "end_user_id", "deployment_id")]
        for row in table.rows:
            key, team, *single = (row[column] for column in at)
            if key is not None:
                self._of_keys[key].append(row)
            elif team is not None:
                self._of_teams[team].append(row)
            elif single == [None, None]:
                self._of_everyone.append(row)
            else:
                self.of_singles.append(row)

    def holding(self, key: ApiKey) -> _Rows:
        """The key's own limits, its team's and everyone's."""
        of_team = self._of_teams.get(key.team_id, []) if key.team_id else []
        return [*self._of_keys.get(key.pk, []), *of_team, *self._of_everyone]


def _grouped(table: Table, column: str) -> dict[Any, _Rows]:
    at = table.columns.index(column)
    found: dict[Any, _Rows] = defaultdict(list)
    for row in table.rows:
        found[row[at]].append(row)
    return found
