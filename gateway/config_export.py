"""The rows as text: a config.yml that imports to the same rows, or an inventory of everything."""

import re
import textwrap
from collections.abc import Iterable
from typing import Any

import yaml
from django.utils import timezone

from gateway.config_limits import WrittenLimits, written_limits
from gateway.config_routing import WrittenRouting
from keys.models import ApiKey, Limit, Team
from providers.litellm_models import deployment_name, free_name
from providers.litellm_records import MODEL_SETTINGS, DeploymentRecord
from providers.litellm_tables import MODES, OPENAI_PARAMS
from providers.litellm_targets import provider_stem
from providers.models import REFERENCE, Deployment, Fallback, Model, Price, Provider
from providers.price_sources import written_costs

_MASTER = f"{REFERENCE}SWITCHYARD_MASTER_KEY"
_NAMED_IN_LIMITS = ("key", "team", "end_user", "deployment", "model")
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

    def __init__(self, limits: WrittenLimits) -> None:
        self._limits = limits.params
        self._providers: dict[Any, str] = {}
        self._deployments: set[str] = set()
        self._described: set[Any] = set()
        self._ordered = set(
            Deployment.objects.exclude(priority=0).order_by().values_list("model_id", flat=True)
        )
        self._prices = own_prices()
        exported = Model.objects.filter(deployments__isnull=False).distinct().order_by("pk")
        self._routing = WrittenRouting(exported)

    def router_settings(self) -> str:
        return _settings("router_settings", self._routing.section(), self._routing.comments)

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
        if row.eject_seconds is not None:
            params["cooldown_time"] = row.eject_seconds
        if row.tags:
            params["tags"] = row.tags
        params |= self._limits.get(row.pk, {})
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
            if provider.also_speaks is not None:
                names["switchyard_also_speaks"] = provider.also_speaks
            if not provider.enabled:
                names["switchyard_provider_enabled"] = False
        record = DeploymentRecord("", row.model.name, provider.name, row.upstream_model)
        if deployment_name(record, provider.name, self._deployments) != row.name:
            names = {"id": row.name, **names}
        self._deployments.add(row.name)
        if row.state != Deployment.State.ACTIVE:
            names["switchyard_state"] = row.state
        for field in ("queue_seconds", "connect_timeout", "idle_timeout"):
            if (value := getattr(row, field)) is not None:
                names[f"switchyard_{field}"] = value
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
            "switchyard_strategy": self._routing.own_strategy(model),
            "switchyard_model": self._routing.own_settings(model),
            **model.info,
        }
        return {name: value for name, value in facts.items() if value is not None}


def own_prices() -> dict[int, Price]:
    """By deployment the price of its own that holds now."""
    begun = Price.objects.filter(deployment__isnull=False, effective_from__lte=timezone.now())
    return {row.deployment_id: row for row in begun.order_by("effective_from", "pk") if row.deployment_id}


def _settings(section: str, settings: dict[str, object], comments: Iterable[str]) -> str:
    """A section of the file; its comments stand also where it has no keys."""
    told = dict.fromkeys(comments)
    if settings:
        return f"\n{section}:\n{_block(settings, 2, told)}"
    return "".join(f"# {' '.join(comment.split())}\n" for comment in told)


def _general_settings(limits: WrittenLimits) -> str:
    master = ApiKey.objects.filter(is_admin=True, enabled=True).order_by("-source", "pk")
    first = master.filter(name="master").first() or master.first()
    comments = [f"{_MASTER.removeprefix(REFERENCE)}: the text of key {first.name}"] if first else []
    usage: dict[str, object] = {}
    for pk, windows in limits.usage.items():
        key = limits.keys[pk]
        groups = [{**group, "window": window} for window, group in windows.items()]
        reference = _MASTER if key == first else f"{REFERENCE}{variable_for(key.name)}"
        usage[reference] = groups[0] if len(groups) == 1 else groups
        if key != first:
            comments.append(f"{variable_for(key.name)}: the text of key {key.name}")
    settings: dict[str, object] = {"master_key": _MASTER} if first else {}
    exported = {**({first.pk: first} if first else {}), **limits.keys}
    header, untold = _end_user_header(exported.values())
    settings |= {"user_header_name": header} if header else {}
    settings |= limits.general
    settings |= {"usage_limits": usage} if usage else {}
    return _settings("general_settings", settings, [*comments, *untold, *_tags(), *limits.comments])


def _tags() -> list[str]:
    """A comment for each key and team that has tags."""
    rows: dict[str, Iterable[ApiKey | Team]] = {
        "key": ApiKey.objects.exclude(tags=[]).order_by("name"),
        "team": Team.objects.exclude(tags=[]).order_by("name"),
    }
    return [
        f"not in this format: {what} {row.name} has the tags {', '.join(row.tags)}"
        for what, found in rows.items()
        for row in found
    ]


def _end_user_header(keys: Iterable[ApiKey]) -> tuple[str, list[str]]:
    """The header that all these keys name the end user in, else "" and a comment for each that has one."""
    headers = {key.name: key.end_user_header for key in keys}
    if len(set(headers.values())) == 1:
        return next(iter(headers.values())), []
    told = [
        f"not in this format: key {name} names the end user in {header}"
        for name, header in headers.items()
        if header
    ]
    return "", told


def as_litellm() -> str:
    """A config.yml of all deployments, the master key and the limits that the format can say."""
    limits = written_limits()
    writer = _LiteLLM(limits)
    rows = Deployment.objects.select_related("model", "provider").order_by("pk")
    entries = "\n".join(writer.entry(row) for row in rows)
    idle = Model.objects.filter(deployments__isnull=True).values_list("name", flat=True)
    comments = "".join(f"# model {name} has no deployment and is not in this file\n" for name in idle)
    listed = f"model_list:\n{entries}" if entries else "model_list: []\n"
    everyone = _settings("litellm_settings", limits.everyone, [])
    routing = writer.router_settings()
    return f"{_HEAD}{comments}{listed}{routing}{everyone}{_general_settings(limits)}"


def as_switchyard() -> str:
    """An inventory of every row and field; keys and provider credentials only by name."""
    sections: dict[str, list[dict[str, object]]] = {
        "providers": [_provider(row) for row in Provider.objects.order_by("name")],
        "models": [
            {
                **_fields(row, "name", "aliases", "hidden_aliases", "kind", "strategy", *MODEL_SETTINGS),
                **_fields(row, "max_input_tokens", "max_output_tokens", "info", "source"),
            }
            for row in Model.objects.order_by("name")
        ],
        "deployments": [_deployment(row) for row in Deployment.objects.select_related("model", "provider")],
        "fallbacks": [
            {"model": row.model.name, "to": row.to.name, **_fields(row, "on", "position", "source")}
            for row in Fallback.objects.select_related("model", "to")
        ],
        "prices": [_price(row) for row in Price.objects.select_related("deployment").order_by("pk")],
        "teams": [_fields(row, "name", "tags", "notes") for row in Team.objects.order_by("name")],
        "keys": [_key(row) for row in ApiKey.objects.select_related("team", "member").order_by("name")],
        "limits": [_limit(row) for row in Limit.objects.select_related(*_NAMED_IN_LIMITS).order_by("pk")],
    }
    return "# An inventory; import_config reads the litellm format.\n" + _block(sections, 0)


def _fields(row: Any, *names: str) -> dict[str, object]:
    return {name: getattr(row, name) for name in names}


def _provider(row: Provider) -> dict[str, object]:
    return {
        **_fields(row, "name", "kind", "base_url"),
        "api_key": _api_key(row),
        **_fields(row, "extra_headers", "confirmed_host", "disconnect_policy", "also_speaks", "enabled"),
        **_fields(row, "notes", "source"),
    }


def _deployment(row: Deployment) -> dict[str, object]:
    return {
        "name": row.name,
        "model": row.model.name,
        "provider": row.provider.name,
        **_fields(row, "upstream_model", "weight", "priority", "max_parallel_requests", "timeout"),
        **_fields(row, "stream_timeout", "connect_timeout", "idle_timeout", "queue_seconds", "eject_seconds"),
        **_fields(row, "tags", "default_params", "drop_params", "state", "source"),
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
        "member": row.member.name if row.member else None,
        **_fields(row, "enabled", "is_admin", "all_models"),
        **_fields(row, "tags", "end_user_header", "max_end_users", "without_redis"),
        "models": list(row.allowed_models.order_by("name").values_list("name", flat=True)),
        "expires_at": row.expires_at.isoformat() if row.expires_at else None,
        "source": row.source,
    }


def _limit(row: Limit) -> dict[str, object]:
    named = {name: getattr(row, name) for name in _NAMED_IN_LIMITS}
    return {
        **{name: other.name if other else None for name, other in named.items()},
        **_fields(row, "each_end_user", "metric", "amount", "window", "time_zone", "mode", "alerts"),
        "reset_at": row.reset_at.isoformat() if row.reset_at else None,
        "source": row.source,
    }
