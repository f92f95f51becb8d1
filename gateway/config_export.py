"""The rows as text: a config.yml that imports to the same rows, or an inventory of everything."""

import re
import textwrap
from collections.abc import Iterable
from typing import Any

import yaml
from django.utils import timezone

from keys.models import ApiKey, Limit
from providers.litellm_models import deployment_name, free_name
from providers.litellm_records import DeploymentRecord
from providers.litellm_tables import MODES, OPENAI_PARAMS
from providers.litellm_targets import provider_stem
from providers.models import REFERENCE, Deployment, Model, Price, Provider
from providers.price_sources import written_costs

_MASTER = f"{REFERENCE}SWITCHYARD_MASTER_KEY"
_COUNTED = (Limit.Metric.REQUESTS, Limit.Metric.TOKENS)
_HEAD = "# Secrets are references: set the variables that are named here before importing.\n"


def _block(value: object, indent: int, comments: Iterable[str] = ()) -> str:
    """Block YAML, with comment lines in front."""
    text = yaml.safe_dump(value, sort_keys=False, default_flow_style=False, allow_unicode=True, width=1000)
    lines = "".join(f"# {' '.join(comment.split())}\n" for comment in comments)
    return textwrap.indent(lines + text, " " * indent)


def variable_for(name: str) -> str:
    """The environment variable that stands for a secret kept under this name."""
    word = re.sub(r"[^A-Z0-9]+", "_", name.upper()).strip("_")[:100]
    return f"{'KEY_' if not word or word[0].isdigit() else ''}{word}_API_KEY"


def _api_key(provider: Provider) -> str:
    if provider.secret_sealed:
        return f"{REFERENCE}{variable_for(provider.name)}"
    return f"{REFERENCE}{provider.secret_reference}" if provider.secret_reference else "none"


class _LiteLLM:
    """Writes model_list; knows which names the importer would find by itself."""

    def __init__(self) -> None:
        self._providers: dict[Any, str] = {}
        self._deployments: set[str] = set()
        self._described: set[Any] = set()
        self._ordered = set(
            Deployment.objects.exclude(priority=0).order_by().values_list("model_id", flat=True)
        )
        self._prices = own_prices()

    def entry(self, row: Deployment) -> str:
        info = {**self._names(row), **self._about(row.model)}
        body: dict[str, object] = {"model_name": row.model.name, "litellm_params": self._params(row)}
        if info:
            body["model_info"] = info
        return _block([body], 2, self._comments(row))

    def _comments(self, row: Deployment) -> list[str]:
        comments = []
        if row.provider.secret_sealed:
            comments.append(
                f"{variable_for(row.provider.name)}: the key that is stored for {row.provider.name}"
            )
        if not row.provider.enabled:
            comments.append(f"provider {row.provider.name} is switched off here")
        if row.model.hidden:
            comments.append(f"model {row.model.name} is hidden here")
        return comments

    def _params(self, row: Deployment) -> dict[str, object]:
        named = row.upstream_model.startswith(REFERENCE)
        params: dict[str, object] = {
            "model": row.upstream_model if named else f"{row.provider.kind}/{row.upstream_model}",
            "api_base": row.provider.base_url,
            "api_key": _api_key(row.provider),
            "weight": row.weight,
        }
        if row.model_id in self._ordered:
            params["order"] = row.priority
        for name in ("max_parallel_requests", "timeout", "stream_timeout"):
            if getattr(row, name) is not None:
                params[name] = getattr(row, name)
        if row.drop_params:
            params["drop_params"] = True
        if row.provider.extra_headers:
            params["extra_headers"] = row.provider.extra_headers
        if row.pk in self._prices:
            params |= written_costs(self._prices[row.pk].charges())
        return params | self._defaults(row.default_params)

    def _defaults(self, defaults: dict[str, object]) -> dict[str, object]:
        """Well-known parameters as they are; what could be taken for something else in extra_body."""
        plain = {k: v for k, v in defaults.items() if k in OPENAI_PARAMS and v is not None}
        others = {k: v for k, v in defaults.items() if k not in plain}
        return {**plain, "extra_body": others} if others else plain

    def _names(self, row: Deployment) -> dict[str, object]:
        names: dict[str, object] = {}
        provider = row.provider
        if provider.pk not in self._providers:
            found = free_name(provider_stem(provider.kind, provider.base_url), self._providers.values())
            self._providers[provider.pk] = provider.name
            if found != provider.name:
                names["switchyard_provider"] = provider.name
            if provider.disconnect_policy != Provider.Disconnect.ESTIMATE:
                names["switchyard_disconnect"] = provider.disconnect_policy
        record = DeploymentRecord("", row.model.name, provider.name, row.upstream_model)
        if deployment_name(record, provider.name, self._deployments) != row.name:
            names = {"id": row.name, **names}
        self._deployments.add(row.name)
        if row.state != Deployment.State.ACTIVE:
            names["switchyard_state"] = row.state
        return names

    def _about(self, model: Model) -> dict[str, object]:
        if model.pk in self._described:
            return {}
        self._described.add(model.pk)
        mode = next(mode for mode, kind in MODES.items() if kind == model.kind)
        facts = {
            "mode": mode if model.kind != Model.Kind.CHAT else None,
            "max_input_tokens": model.max_input_tokens,
            "max_output_tokens": model.max_output_tokens,
            **model.info,
        }
        return {name: value for name, value in facts.items() if value is not None}


def own_prices() -> dict[int, Price]:
    """By deployment the price of its own that holds now."""
    begun = Price.objects.filter(deployment__isnull=False, effective_from__lte=timezone.now())
    return {row.deployment_id: row for row in begun.order_by("effective_from", "pk") if row.deployment_id}


def _limit_groups(limits: Iterable[Limit]) -> list[dict[str, object]]:
    """One mapping per window, as usage_limits takes them."""
    groups: dict[str, dict[str, object]] = {}
    for limit in limits:
        groups.setdefault(limit.window, {})[f"max_{limit.metric}"] = limit.amount
    return [{**group, "window": window} for window, group in groups.items()]


def _general_settings() -> str:
    limits = Limit.objects.select_related("key", "model", "team").order_by("pk")
    master = ApiKey.objects.filter(is_admin=True, enabled=True).order_by("-source", "pk")
    first = master.filter(name="master").first() or master.first()
    usage: dict[str, list[Limit]] = {}
    comments = [f"{_MASTER.removeprefix(REFERENCE)}: the text of key {first.name}"] if first else []
    for limit in limits:
        plain = limit.model is None and limit.mode == Limit.Mode.ENFORCE and limit.metric in _COUNTED
        if limit.key is None or not plain:
            owner = limit.key or limit.team
            comments.append(
                f"not in this format: {owner}: {limit}, {limit.mode}, model {limit.model or 'any'}"
            )
            continue
        reference = _MASTER if limit.key == first else f"{REFERENCE}{variable_for(limit.key.name)}"
        usage.setdefault(reference, []).append(limit)
        if limit.key != first:
            comments.append(f"{variable_for(limit.key.name)}: the text of key {limit.key.name}")
    settings: dict[str, object] = {"master_key": _MASTER} if first else {}
    if usage:
        groups = {reference: _limit_groups(found) for reference, found in usage.items()}
        settings["usage_limits"] = {
            ref: group[0] if len(group) == 1 else group for ref, group in groups.items()
        }
    if not settings:
        return ""
    return "\ngeneral_settings:\n" + _block(settings, 2, dict.fromkeys(comments))


def as_litellm() -> str:
    """A config.yml of all deployments, the master key and the limits of keys."""
    writer = _LiteLLM()
    rows = Deployment.objects.select_related("model", "provider").order_by("pk")
    entries = "\n".join(writer.entry(row) for row in rows)
    idle = Model.objects.filter(deployments__isnull=True).values_list("name", flat=True)
    comments = "".join(f"# model {name} has no deployment and is not in this file\n" for name in idle)
    listed = f"model_list:\n{entries}" if entries else "model_list: []\n"
    return f"{_HEAD}{comments}{listed}{_general_settings()}"


def as_switchyard() -> str:
    """An inventory of every row and field; keys and provider credentials only by name."""
    sections: dict[str, list[dict[str, object]]] = {
        "providers": [_provider(row) for row in Provider.objects.order_by("name")],
        "models": [
            _fields(row, "name", "kind", "hidden", "max_input_tokens", "max_output_tokens", "info")
            for row in Model.objects.order_by("name")
        ],
        "deployments": [_deployment(row) for row in Deployment.objects.select_related("model", "provider")],
        "prices": [_price(row) for row in Price.objects.select_related("deployment").order_by("pk")],
        "keys": [_key(row) for row in ApiKey.objects.select_related("team").order_by("name")],
        "limits": [
            _limit(row) for row in Limit.objects.select_related("key", "team", "model").order_by("pk")
        ],
    }
    return "# An inventory; import_config reads the litellm format.\n" + _block(sections, 0)


def _fields(row: Any, *names: str) -> dict[str, object]:
    return {name: getattr(row, name) for name in names}


def _provider(row: Provider) -> dict[str, object]:
    return {
        **_fields(row, "name", "kind", "base_url"),
        "api_key": _api_key(row),
        **_fields(row, "extra_headers", "confirmed_host", "disconnect_policy", "enabled", "notes", "source"),
    }


def _deployment(row: Deployment) -> dict[str, object]:
    return {
        "name": row.name,
        "model": row.model.name,
        "provider": row.provider.name,
        **_fields(row, "upstream_model", "weight", "priority", "max_parallel_requests", "timeout"),
        **_fields(row, "stream_timeout", "default_params", "drop_params", "state", "source"),
    }


def _price(row: Price) -> dict[str, object]:
    return {
        "deployment": row.deployment.name if row.deployment else None,
        **_fields(row, "kind", "upstream_model"),
        "effective_from": row.effective_from.isoformat(),
        **row.charges().as_text(),
        **_fields(row, "notes", "source"),
    }


def _key(row: ApiKey) -> dict[str, object]:
    return {
        "name": row.name,
        "team": row.team.name if row.team else None,
        **_fields(row, "enabled", "is_admin", "all_models"),
        "models": list(row.allowed_models.order_by("name").values_list("name", flat=True)),
        "expires_at": row.expires_at.isoformat() if row.expires_at else None,
        "source": row.source,
    }


def _limit(row: Limit) -> dict[str, object]:
    return {
        "key": row.key.name if row.key else None,
        "team": row.team.name if row.team else None,
        "model": row.model.name if row.model else None,
        **_fields(row, "metric", "amount", "window", "time_zone", "mode", "source"),
    }
