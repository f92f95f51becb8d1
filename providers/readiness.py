"""Whether deployments can answer, and which share of the requests each gets."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from providers import secrets
from providers.connection import is_header
from providers.destinations import check_base_url
from providers.dialects import key_headers
from providers.models import REFERENCE, Deployment, Provider


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a deployment stands: one word, why, and its share of requests (0 to 1)."""

    word: str
    reason: str = ""
    share: float = 0.0

    @property
    def serves(self) -> bool:
        return self.word == "active"


def unconfigured(provider: Provider) -> str:
    """Why this provider cannot be asked yet, for people; "" when it can."""
    if reason := _unset(provider):
        return reason
    if problem := check_base_url(resolved_base_url(provider), provider.confirmed_host):
        return problem
    try:
        headers = upstream_headers(provider)
    except secrets.Unreadable as error:
        return f"the stored API key cannot be read: {error}"
    return "" if all(map(is_header, headers)) else "its API key or extra headers cannot be sent in a header"


def resolved_base_url(provider: Provider) -> str:
    """The base URL, read from the environment where it is a reference; "" when that is unset."""
    if provider.base_url.startswith(REFERENCE):
        return secrets.referred(provider.base_url.removeprefix(REFERENCE))
    return provider.base_url


def upstream_headers(provider: Provider) -> tuple[tuple[str, str], ...]:
    """What every request to this provider carries. Raises `secrets.Unreadable`."""
    reference = provider.secret_reference
    secret = provider.secret() or (secrets.referred(reference) if reference else "")
    own = key_headers(provider.kind, secret) if secret else {}
    extra = {str(name).lower(): str(value) for name, value in provider.extra_headers.items()}
    return tuple((own | extra).items())


def _unset(provider: Provider) -> str:
    names = [provider.secret_reference] if provider.secret_reference and not provider.secret_sealed else []
    if provider.base_url.startswith(REFERENCE):
        names.append(provider.base_url.removeprefix(REFERENCE))
    unset = [name for name in names if not secrets.referred(name)]
    if not unset:
        return ""
    return f"{' and '.join(unset)} {'is' if len(unset) == 1 else 'are'} not set"


def _standing(deployment: Deployment) -> Standing:
    provider = deployment.provider
    if deployment.state != Deployment.State.ACTIVE:
        return Standing(deployment.state)
    if not provider.enabled:
        return Standing("disabled", f"provider {provider.name} is disabled")
    if reason := unconfigured(provider):
        return Standing("not configured", reason)
    return Standing("active")


def standings(deployments: Iterable[Deployment]) -> dict[int, Standing]:
    """Standing by deployment id; shares are right when all deployments of a model are given.

    The first tier (lowest priority) that can answer shares the requests by weight; the others stand by.
    """
    rows = sorted(deployments, key=lambda row: (row.model_id, row.priority))
    found = {row.pk: _standing(row) for row in rows}
    for _, group in groupby(rows, key=lambda row: row.model_id):
        serving = [row for row in group if found[row.pk].serves]
        first = [row for row in serving if row.priority == serving[0].priority]
        total = sum(row.weight for row in first)
        for row in first:
            found[row.pk] = Standing("active", share=row.weight / total if total else 1 / len(first))
    return found
