"""The configuration as the hot path sees it: one immutable, versioned object."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import structlog
from django.conf import settings

from providers import dialects
from providers.aliases import LONGEST_NAME
from providers.changes import ConfigVersion, one_moment
from providers.connection import Destination
from providers.destinations import host_key
from providers.dialects import Speech
from providers.fallbacks import Instead, On
from providers.health import FAILURES_IN_A_ROW, FIRST_PAUSE, USUAL, Ejection
from providers.models import Deployment, Fallback, Model, Price, Provider
from providers.patterns import best, filled, is_pattern
from providers.price_book import General, arranged, general_prices, prices_of
from providers.prices import PriceList, timeline
from providers.readiness import resolved_base_url, unconfigured, upstream_headers
from providers.retries import MOST_ATTEMPTS
from providers.routing import Share, Strategy
from providers.tables import Table, packed, unpacked
from providers.tags import NONE

log = structlog.get_logger(__name__)

# What a provider bills when a client leaves a stream: `Target.on_disconnect`, beside "estimate".
DRAIN, NOT_BILLED = Provider.Disconnect.DRAIN.value, Provider.Disconnect.NOT_BILLED.value


@dataclass(frozen=True, slots=True)
class Target:
    """A deployment that can be asked. `defaults` maps parameter -> JSON bytes; times in seconds.

    `prices` are in the order of time, those still to come as well. `queue_seconds`: how long a request may
    wait for a place there. `provider_key` outlives the provider's name.
    """

    id: int
    name: str
    provider: str
    upstream_model: str
    destination: Destination
    base_path: str
    headers: tuple[tuple[str, str], ...]
    share: Share
    slots: int | None
    timeout: float
    first_event_timeout: float
    defaults: Mapping[str, bytes]
    refused: frozenset[str]
    cap_param: str
    prices: tuple[PriceList, ...] = ()
    on_disconnect: str = "estimate"
    idle_timeout: float = inf
    connect_timeout: float | None = None
    queue_seconds: float = 0.0
    tags: frozenset[str] = NONE
    ejection: Ejection = USUAL
    kind: str = ""
    drops: bool = False
    speech: Speech = dialects.OPENAI
    provider_key: str = ""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A name that clients see and the deployments behind it; `created` in Unix seconds.

    `aliases`: further names that are listed beside it. `deadline`: seconds for a request with all its
    attempts; `instead`: models to ask when none of its deployments could answer; `tagged`: some have tags.
    """

    name: str
    hidden: bool
    created: int
    most_output: int | None
    targets: Mapping[int, Target]
    shares: tuple[Share, ...]
    strategy: Strategy = Strategy.WEIGHTED
    aliases: tuple[str, ...] = ()
    deadline: float = inf
    max_attempts: int = MOST_ATTEMPTS
    retries_by_error: Mapping[str, int] = MappingProxyType({})
    max_queue: int = 0
    instead: Instead = MappingProxyType({})
    tagged: bool = False


_MOST_FILLED = 2000


@dataclass(frozen=True, slots=True, eq=False)
class Wildcard:
    """A model whose name has stars, with the `prices` of all models of its providers' kinds."""

    model: ServedModel
    prices: General
    _made: dict[tuple[str, ...], ServedModel] = field(default_factory=dict, init=False)

    def filled(self, stars: tuple[str, ...]) -> ServedModel:
        """The model as it serves one of the names that fit, under its own name."""
        found = self._made.get(stars)
        if found is None:
            if len(self._made) >= _MOST_FILLED:  # clients choose the names
                self._made.clear()
            targets = {id: self._target(target, stars) for id, target in self.model.targets.items()}
            found = self._made[stars] = replace(self.model, targets=MappingProxyType(targets))
        return found

    def _target(self, target: Target, stars: tuple[str, ...]) -> Target:
        if not is_pattern(target.upstream_model):
            return target
        name = filled(target.upstream_model, stars)
        return replace(
            target,
            upstream_model=name,
            refused=dialects.refused_params(target.kind, name) if target.drops else frozenset(),
            cap_param=dialects.cap_param(target.kind, name),
            prices=timeline(target.prices, self.prices.get((target.kind, name), ())),
        )


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`models` by their own names, `by_alias` by every other; `wildcards` are models that stand for many."""

    version: int
    models: Mapping[str, ServedModel]
    by_alias: Mapping[str, ServedModel] = MappingProxyType({})
    wildcards: Mapping[str, Wildcard] = MappingProxyType({})

    def find(self, name: str) -> ServedModel | None:
        """The model of this name or alias, else the closest wildcard that it fits.

        The name of a wildcard is nobody's: a star is no model of a provider.
        """
        if is_pattern(name):
            return None
        return self.models.get(name) or self.by_alias.get(name) or self._of_wildcard(name)

    def _of_wildcard(self, name: str) -> ServedModel | None:
        if not self.wildcards or len(name) > LONGEST_NAME:
            return None
        found = best(self.wildcards, name)
        return None if found is None else self.wildcards[found[0]].filled(found[1])

    def ejections(self) -> dict[int, Ejection]:
        """When each deployment is put aside."""
        return {id: target.ejection for model in self.models.values() for id, target in model.targets.items()}


EMPTY = Snapshot(version=-1, models=MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Rows:
    """The configuration as the database has it at one moment: secrets are sealed, references are names."""

    version: int
    providers: Sequence[Provider]
    models: Sequence[Model]
    deployments: Sequence[Deployment]
    fallbacks: Sequence[Fallback]
    prices: Sequence[Price]

    def tables(self) -> dict[str, Table]:
        """All of it as plain data, to be kept where no database is."""
        return {kind.__name__: packed(kind, getattr(self, name)) for name, kind in _KINDS.items()}

    @classmethod
    def of_tables(cls, version: int, tables: Mapping[str, Table]) -> "Rows":
        """What `tables` gave. Raises `KeyError`, `ValidationError` and the like if it is something else."""
        return cls(version, **{name: unpacked(kind, tables[kind.__name__]) for name, kind in _KINDS.items()})


_KINDS: Mapping[str, type[Any]] = {
    "providers": Provider,
    "models": Model,
    "deployments": Deployment,
    "fallbacks": Fallback,
    "prices": Price,
}


def load() -> Snapshot:
    """Read all of it at one moment, with its version."""
    return build(read_rows())


def read_rows() -> Rows:
    with one_moment():
        version = ConfigVersion.current()
        deployments = list(Deployment.objects.all())
        return Rows(
            version=version,
            providers=list(Provider.objects.all()),
            models=list(Model.objects.all()),
            deployments=deployments,
            fallbacks=list(Fallback.objects.order_by("position", "pk")),
            prices=prices_of(deployments),
        )


def build(rows: Rows) -> Snapshot:
    """From rows alone and the environment, without the database."""
    providers = {provider.pk: provider for provider in rows.providers}
    of_pk = {model.pk: model for model in rows.models}
    for deployment in rows.deployments:
        deployment.provider = providers[deployment.provider_id]
        deployment.model = of_pk[deployment.model_id]
    instead = _instead(rows.fallbacks, of_pk)
    prices = arranged(rows.deployments, rows.prices)
    targets: dict[int, dict[int, Target]] = {}
    for deployment in rows.deployments:
        if target := _target(deployment, prices[deployment.pk]):
            targets.setdefault(deployment.model_id, {})[target.id] = target
    models = {row.name: _served(row, targets.get(row.pk, {}), instead.get(row.pk, {})) for row in rows.models}
    return Snapshot(
        rows.version,
        MappingProxyType(models),
        MappingProxyType(_by_alias(rows.models, models)),
        MappingProxyType(_wildcards(models, rows.prices)),
    )


def _wildcards(models: Mapping[str, ServedModel], prices: Sequence[Price]) -> dict[str, Wildcard]:
    patterns = [name for name in models if is_pattern(name)]
    if not patterns:
        return {}
    general = general_prices(prices)
    return {name: Wildcard(models[name], general) for name in patterns}


def _by_alias(rows: Iterable[Model], models: Mapping[str, ServedModel]) -> dict[str, ServedModel]:
    """The first model that has it keeps a name, for rows that were written past the form."""
    found: dict[str, ServedModel] = {}
    for row in rows:
        for alias in (*row.aliases, *row.hidden_aliases):
            found.setdefault(alias, models[row.name])
    return found


def _instead(rows: Iterable[Fallback], models: Mapping[int, Model]) -> dict[int, dict[On, tuple[str, ...]]]:
    """For each model the names to ask instead of it."""
    found: dict[int, dict[On, tuple[str, ...]]] = {}
    for row in rows:
        of_model = found.setdefault(row.model_id, {})
        of_model[On(row.on)] = (*of_model.get(On(row.on), ()), models[row.to_id].name)
    return found


def _served(row: Model, targets: dict[int, Target], instead: Instead) -> ServedModel:
    return ServedModel(
        name=row.name,
        hidden=row.hidden,
        created=int(row.created_at.timestamp()),
        most_output=row.max_output_tokens,
        targets=MappingProxyType(targets),
        shares=tuple(target.share for target in targets.values()),
        strategy=Strategy(row.strategy),
        aliases=tuple(row.aliases),
        deadline=row.deadline or settings.DEADLINE,
        max_attempts=row.max_attempts or MOST_ATTEMPTS,
        retries_by_error=MappingProxyType(row.retries_by_error),
        max_queue=settings.QUEUE_LENGTH if row.max_queue is None else row.max_queue,
        instead=MappingProxyType(instead),
        tagged=any(target.tags for target in targets.values()),
    )


def _target(row: Deployment, prices: tuple[PriceList, ...]) -> Target | None:
    """None: switched off, or not configured (`unconfigured` says what is missing)."""
    if row.state != Deployment.State.ACTIVE or not row.provider.enabled:
        return None
    if problem := unconfigured(row.provider):
        log.warning("deployment_not_configured", deployment=row.name, problem=problem)
        return None
    provider, model = row.provider, row.model
    base_url = resolved_base_url(provider)
    parts = urlsplit(base_url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return Target(
        id=row.pk,
        name=row.name,
        provider=provider.name,
        upstream_model=row.upstream_model,
        destination=Destination(parts.scheme, parts.hostname or "", port, _confirmed(provider, base_url)),
        base_path=parts.path.rstrip("/"),
        headers=upstream_headers(provider),
        share=Share(row.pk, row.priority, row.weight),
        slots=row.max_parallel_requests,
        timeout=row.timeout or model.timeout or settings.TOTAL_TIMEOUT,
        first_event_timeout=row.stream_timeout
        or row.timeout
        or model.stream_timeout
        or model.timeout
        or settings.FIRST_BYTE_TIMEOUT,
        defaults=MappingProxyType({k: json.dumps(v).encode() for k, v in row.default_params.items()}),
        refused=dialects.refused_params(provider.kind, row.upstream_model)
        if row.drop_params
        else frozenset(),
        cap_param=dialects.cap_param(provider.kind, row.upstream_model),
        prices=prices,
        on_disconnect=provider.disconnect_policy,
        idle_timeout=row.idle_timeout or model.idle_timeout or settings.IDLE_TIMEOUT,
        connect_timeout=row.connect_timeout or model.connect_timeout or settings.CONNECT_TIMEOUT,
        queue_seconds=settings.QUEUE_SECONDS if row.queue_seconds is None else row.queue_seconds,
        tags=frozenset(row.tags),
        ejection=Ejection(
            FAILURES_IN_A_ROW if model.eject_after is None else model.eject_after,
            row.eject_seconds or model.eject_seconds or FIRST_PAUSE,
        ),
        kind=provider.kind,
        drops=row.drop_params,
        provider_key=str(provider.pk),
        speech=dialects.speech_of(provider.kind, parts.hostname or "", _said(row)),
    )


def _said(row: Deployment) -> list[str] | None:
    """What the operator says that it speaks beside chat; a model of kind `responses` speaks that."""
    said = row.provider.also_speaks
    if row.model.kind == Model.Kind.RESPONSES:
        return [*(said or ()), dialects.RESPONSES]
    return said


def _confirmed(provider: Provider, base_url: str) -> bool:
    return provider.confirmed_host == host_key(base_url)
