"""A key as the hot path knows it: who, what it may use, and every limit that holds for its requests."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django.conf import settings

from keys.limits import Rule
from keys.models import ApiKey, Limit
from keys.scopes import holder_of, scope_of
from providers.tags import NONE as NO_TAGS


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
    tags: frozenset[str] = NO_TAGS

    @property
    def owner(self) -> str:
        """Whose the things are that it makes at a provider: its team's, else its own."""
        return f"team {self.team_pk}" if self.team_pk is not None else f"key {self.public_id}"

    def may_use(self, model: str) -> bool:
        return self.models is None or model in self.models


@dataclass(frozen=True, slots=True)
class Standing:
    """The limits that belong to no key: of deployments by their id, of single end users by their name."""

    deployments: Mapping[int, tuple[Rule, ...]]
    end_users: Mapping[str, tuple[Rule, ...]]


NOBODY = Standing({}, {})


def entry_of(key: ApiKey, models: Iterable[str], limits: Iterable[Limit]) -> Entry:
    """`models`: the names of those it may use, unless all; `limits`: its own, its team's and everyone's."""
    return Entry(
        pk=key.pk,
        team_pk=key.team_id,
        public_id=key.public_id,
        name=key.name,
        team=key.team.name if key.team else "",
        enabled=key.enabled,
        expires_at=key.expires_at.timestamp() if key.expires_at else None,
        is_admin=key.is_admin,
        models=None if key.all_models else frozenset(models),
        rules=rules_of(limits),
        keeps=_keeps(key),
        end_user_header=key.end_user_header.lower(),
        max_end_users=settings.MAX_END_USERS if key.max_end_users is None else key.max_end_users,
        closed_without_redis=key.without_redis == ApiKey.WithoutRedis.CLOSED,
        tags=frozenset([*key.tags, *(key.team.tags if key.team else ())]),
    )


def _keeps(key: ApiKey) -> Keeps | None:
    """A key's own number of days goes before its team's, whichever of the two keeps."""
    team = key.team
    if not (key.keep_exchanges or (team is not None and team.keep_exchanges)):
        return None
    return Keeps(key.exchange_days or (team.exchange_days if team is not None else None))


def standing_of(limits: Iterable[Limit]) -> Standing:
    """From the limits of deployments and of single end users."""
    deployments: dict[int, list[Rule]] = {}
    end_users: dict[str, list[Rule]] = {}
    for limit in limits:
        if limit.deployment is not None:
            deployments.setdefault(limit.deployment.pk, []).append(rule_of(limit))
        elif limit.end_user is not None:
            end_users.setdefault(limit.end_user.name, []).append(rule_of(limit))
    return Standing(
        {id: tuple(rules) for id, rules in deployments.items()},
        {name: tuple(rules) for name, rules in end_users.items()},
    )


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
