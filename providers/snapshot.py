"""The configuration as the hot path sees it: one immutable, versioned object."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import urlsplit

import structlog
from django.conf import settings
from django.db import transaction

from providers import secrets
from providers.adapters import openai
from providers.changes import ConfigVersion
from providers.destinations import check_base_url, host_key
from providers.models import REFERENCE, Deployment, Model, Provider
from providers.routing import Share
from providers.transport import Destination, is_header

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Target:
    """A deployment that can be asked. `defaults` maps parameter -> JSON bytes; times in seconds."""

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


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A name that clients see and the deployments behind it; `created` in Unix seconds."""

    name: str
    hidden: bool
    created: int
    most_output: int | None
    targets: Mapping[int, Target]
    shares: tuple[Share, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    version: int
    models: Mapping[str, ServedModel]

    def target_ids(self) -> set[int]:
        return {id for model in self.models.values() for id in model.targets}


EMPTY = Snapshot(version=-1, models=MappingProxyType({}))


def load() -> Snapshot:
    """Read all of it in one transaction with its version."""
    with transaction.atomic():
        version = ConfigVersion.current()
        targets: dict[int, dict[int, Target]] = {}
        for deployment in Deployment.objects.select_related("provider"):
            if target := _target(deployment):
                targets.setdefault(deployment.model_id, {})[target.id] = target
        models = {row.name: _served(row, targets.get(row.pk, {})) for row in Model.objects.all()}
    return Snapshot(version, MappingProxyType(models))


def _served(row: Model, targets: dict[int, Target]) -> ServedModel:
    return ServedModel(
        name=row.name,
        hidden=row.hidden,
        created=int(row.created_at.timestamp()),
        most_output=row.max_output_tokens,
        targets=MappingProxyType(targets),
        shares=tuple(target.share for target in targets.values()),
    )


def _target(row: Deployment) -> Target | None:
    """None: switched off, or not configured (`unconfigured` says what is missing)."""
    if row.state != Deployment.State.ACTIVE or not row.provider.enabled:
        return None
    if problem := unconfigured(row.provider):
        log.warning("deployment_not_configured", deployment=row.name, problem=problem)
        return None
    provider = row.provider
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
        headers=_headers(provider),
        share=Share(row.pk, row.priority, row.weight),
        slots=row.max_parallel_requests,
        timeout=row.timeout or settings.TOTAL_TIMEOUT,
        first_event_timeout=row.stream_timeout or row.timeout or settings.FIRST_BYTE_TIMEOUT,
        defaults=MappingProxyType({k: json.dumps(v).encode() for k, v in row.default_params.items()}),
        refused=openai.refused_params(provider.kind, row.upstream_model) if row.drop_params else frozenset(),
        cap_param=openai.cap_param(provider.kind, row.upstream_model),
    )


def resolved_base_url(provider: Provider) -> str:
    """The base URL, read from the environment where it is a reference; "" when that is unset."""
    if provider.base_url.startswith(REFERENCE):
        return secrets.referred(provider.base_url.removeprefix(REFERENCE))
    return provider.base_url


def unconfigured(provider: Provider) -> str:
    """Why this provider cannot be asked yet, for people; "" when it can."""
    if provider.base_url.startswith(REFERENCE) and not resolved_base_url(provider):
        return f"{provider.base_url.removeprefix(REFERENCE)} is not set"
    if provider.secret_reference and not secrets.referred(provider.secret_reference):
        return f"{provider.secret_reference} is not set"
    if problem := check_base_url(resolved_base_url(provider), provider.confirmed_host):
        return problem
    try:
        headers = _headers(provider)
    except secrets.Unreadable as error:
        return f"the stored API key cannot be read: {error}"
    return "" if all(map(is_header, headers)) else "its API key or extra headers cannot be sent in a header"


def _confirmed(provider: Provider, base_url: str) -> bool:
    return provider.confirmed_host == host_key(base_url)


def _headers(provider: Provider) -> tuple[tuple[str, str], ...]:
    secret = provider.secret() or (
        secrets.referred(provider.secret_reference) if provider.secret_reference else ""
    )
    own = {"authorization": f"Bearer {secret}"} if secret else {}
    extra = {str(name).lower(): str(value) for name, value in provider.extra_headers.items()}
    return tuple((own | extra).items())
