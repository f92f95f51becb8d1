"""Whether deployments can answer, and which share of the requests each gets."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from providers.models import REFERENCE, Deployment, Provider
from providers.secrets import referred


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a deployment stands: one word, why, and its share of requests (0 to 1)."""

    word: str
    reason: str = ""
    share: float = 0.0

    @property
    def serves(self) -> bool:
        return self.word == "active"


def missing(provider: Provider) -> str:
    """Which variables a provider waits for, as a sentence, or ""."""
    names = [provider.secret_reference] if provider.secret_reference and not provider.secret_sealed else []
    if provider.base_url.startswith(REFERENCE):
        names.append(provider.base_url.removeprefix(REFERENCE))
    unset = [name for name in names if not referred(name)]
    if not unset:
        return ""
    return f"{' and '.join(unset)} {'is' if len(unset) == 1 else 'are'} not set"


def _standing(deployment: Deployment) -> Standing:
    provider = deployment.provider
    if deployment.state != Deployment.State.ACTIVE:
        return Standing(deployment.state)
    if not provider.enabled:
        return Standing("disabled", f"provider {provider.name} is disabled")
    if reason := missing(provider):
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
