"""What a config file would make of routing, without touching a row."""

from collections.abc import Mapping
from types import MappingProxyType

from providers.litellm_records import Config, DeploymentRecord, LimitRecord
from providers.prices import PriceList
from providers.routing import Allowance, Share, Strategy
from usage.replaying import Draft, DraftModel, DraftTarget, General, with_shares

_ACTIVE = "active"


def draft_of(config: Config, general: General = MappingProxyType({})) -> Draft:
    """The models of a file with their deployments that are switched on; `general`: prices of no deployment.

    Whether a provider's key is there is not looked at: a draft may be read where it is not.
    """
    prices = {
        record.deployment: (record.charges.price_list(number, 0),)
        for number, record in enumerate(config.prices, start=1)
    }
    kinds = {record.name: record.kind for record in config.providers}
    allowances = _allowances(config.limits)
    targets: dict[str, dict[int, DraftTarget]] = {}
    for id, record in enumerate(config.deployments, start=1):
        if record.state == _ACTIVE:
            target = _target(id, record, kinds[record.provider], prices, allowances)
            targets.setdefault(record.model, {})[id] = target
    models = {
        record.name: with_shares(
            DraftModel(record.name, Strategy(record.strategy or "weighted"), targets.get(record.name, {}))
        )
        for record in config.models
    }
    aliases: dict[str, str] = {}
    for model in config.models:
        for alias in (*model.aliases, *model.hidden_aliases):
            aliases.setdefault(alias, model.name)
    return Draft(models, aliases, general)


def _target(
    id: int,
    record: DeploymentRecord,
    kind: str,
    prices: Mapping[str, tuple[PriceList, ...]],
    allowances: Mapping[str, Allowance],
) -> DraftTarget:
    return DraftTarget(
        name=record.name,
        kind=kind,
        upstream_model=record.upstream_model,
        share=Share(id, record.priority, record.weight),
        tags=frozenset(record.tags),
        own=prices.get(record.name, ()),
        allowance=allowances.get(record.name),
    )


def _allowances(limits: tuple[LimitRecord, ...]) -> dict[str, Allowance]:
    """What deployments may take within a minute, by their names."""
    found: dict[str, dict[str, int]] = {}
    for limit in limits:
        if limit.deployment and limit.window == "minute" and not limit.each_end_user:
            of = found.setdefault(limit.deployment, {})
            of[limit.metric] = min(limit.amount, of.get(limit.metric, limit.amount))
    return {name: Allowance(of.get("requests"), of.get("tokens")) for name, of in found.items()}
