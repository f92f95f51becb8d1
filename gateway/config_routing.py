"""How models are routed, as `router_settings` of a config.yml, and what only this gateway has a key for."""

from collections.abc import Iterable, Mapping
from typing import Any

from providers.litellm_fallbacks import KEYS as FALLBACK_KEYS
from providers.litellm_policies import POLICIES
from providers.litellm_records import MODEL_SETTINGS
from providers.litellm_tables import STRATEGIES
from providers.models import Deployment, Fallback, Model
from providers.retries import Kind
from providers.routing import Strategy

# In a list of fallbacks this stands for every model that has none.
_ALL = "*"
# The first policy that is about just these errors; not 5xx without failed connections, as LiteLLM's word
# for that is of 503 alone.
_POLICY_OF = {kinds: name for name, kinds in reversed([*POLICIES.items()]) if kinds != (Kind.SERVER_ERROR,)}


def _is_unset(value: object) -> bool:
    return value is None or value is False or value == {}


class WrittenRouting:
    """The routing of these models; where they differ, what is said of each stands in its `model_info`."""

    def __init__(self, models: Iterable[Model]) -> None:
        self._models = list(models)
        self._exported = {model.pk for model in self._models}
        self._strategy = self._common("strategy", Strategy.WEIGHTED.value)
        self._policies: dict[str, object] = {}
        self._own: dict[int, dict[str, object]] = {model.pk: {} for model in self._models}
        self._settings = self._for_all()
        self.comments: list[str] = []
        self._fallbacks()

    def own_strategy(self, model: Model) -> str | None:
        return model.strategy if model.strategy != self._strategy else None

    def own_settings(self, model: Model) -> dict[str, object] | None:
        """`model_info.switchyard_model`."""
        return self._own[model.pk] or None

    def section(self) -> dict[str, object]:
        """`router_settings`."""
        settings: dict[str, object] = {}
        if self._strategy != Strategy.WEIGHTED:
            words = {strategy: word for word, strategy in STRATEGIES.items()}
            settings["routing_strategy"] = words[self._strategy]
        settings |= self._settings
        if self._policies:
            settings["model_group_retry_policy"] = self._policies
        if Deployment.objects.exclude(tags=[]).exists():
            settings["enable_tag_filtering"] = True
        aliases: dict[str, object] = {}
        for model in self._models:
            aliases |= dict.fromkeys(model.aliases, model.name)
            aliases |= {alias: {"model": model.name, "hidden": True} for alias in model.hidden_aliases}
        if aliases:
            settings["model_group_alias"] = aliases
        return settings

    def _common(self, field: str, otherwise: Any) -> Any:
        """The one value that all models have."""
        first, *others = [getattr(model, field) for model in self._models] or [otherwise]
        return first if all(value == first for value in others) else otherwise

    def _for_all(self) -> dict[str, object]:
        """The settings that all models share and LiteLLM has a key for; the others become each model's."""
        settings: dict[str, object] = {}
        for field in MODEL_SETTINGS:
            common = self._common(field, None)
            said = {} if _is_unset(common) else _in_litellm(field, common)
            settings |= said
            if not said:
                for model in self._models:
                    self._add(model, field, getattr(model, field))
        return settings

    def _add(self, model: Model, field: str, value: object) -> None:
        if _is_unset(value):
            return
        policy = _policy(value) if isinstance(value, dict) else {}
        if policy:
            self._policies[model.name] = policy
        else:
            self._own[model.pk][field] = value

    def _fallbacks(self) -> None:
        lists: dict[str, list[dict[str, list[str]]]] = {}
        for key, on in FALLBACK_KEYS.items():
            by_model: dict[str, list[str]] = {}
            for row in (
                Fallback.objects.filter(on=on.value)
                .select_related("model", "to")
                .order_by("model_id", "position", "pk")
            ):
                if {row.model_id, row.to_id} <= self._exported:
                    by_model.setdefault(row.model.name, []).append(row.to.name)
                else:
                    self.comments.append(f"not in this file: {row}; one of them has no deployment")
            if own := by_model.pop(_ALL, None):
                model = next(model for model in self._models if model.name == _ALL)
                of_model = self._own[model.pk].setdefault("fallbacks", {})
                assert isinstance(of_model, dict)  # made so above
                of_model[on.value] = own
            if by_model:
                lists[key] = [{name: names} for name, names in by_model.items()]
        self._settings |= lists


def _in_litellm(field: str, value: Any) -> dict[str, object]:
    """A setting of all models in LiteLLM's words, empty where it has none."""
    match field:
        case "max_attempts":
            return {"num_retries": value - 1}
        case "retries_by_error":
            policy = _policy(value)
            return {"retry_policy": policy} if policy else {}
        case "timeout" | "stream_timeout":
            return {field: value}
        case "idle_timeout":
            return {"stream_idle_timeout": value}
        case "eject_after":
            return {"allowed_fails": value - 1} if value else {"disable_cooldowns": True}
        case "eject_seconds":
            return {"cooldown_time": value}
    return {}


def _policy(by_error: Mapping[str, int]) -> dict[str, int]:
    """Retries by kind of error in LiteLLM's words, empty where they cannot say it."""
    left = dict(by_error)
    policy: dict[str, int] = {}
    for kinds, name in _POLICY_OF.items():
        values = {left.get(kind) for kind in kinds}
        if len(values) == 1 and (value := values.pop()) is not None:
            policy[name] = value
            for kind in kinds:
                del left[kind]
    return {} if left else policy
