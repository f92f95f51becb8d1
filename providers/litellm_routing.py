"""`router_settings`: how the deployments of models are chosen, and further names of models."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from providers.aliases import LONGEST_NAME, is_name
from providers.litellm_records import Desk, ModelRecord, Said
from providers.litellm_tables import STRATEGIES
from providers.litellm_values import REFERENCE_NOTE, flag_of, holds_reference, mapping_of, name_of, text_of
from providers.litellm_yaml import Node
from providers.spelling import nearest

# What differs from what an operator of LiteLLM knows.
_DIFFERENT = {
    "latency": "the time to the first token, failures counted against it, as each worker sees it",
    "usage": "the part that is used of each deployment's own rpm and tpm, as each worker sees it",
    "cost": "whose price is not known is asked last",
    "least-busy": "requests in flight for the weight, as each worker sees it",
}


@dataclass(slots=True)
class Names:
    """The further names of one model, in the order of the file."""

    listed: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)


def with_routing(
    models: Mapping[str, ModelRecord], settings: Mapping[str, Node], desk: Desk
) -> dict[str, ModelRecord]:
    """The models with their strategy, where their own entries name none, and their aliases."""
    strategy = _strategy(settings.get("routing_strategy"), desk)
    aliases = _aliases(settings.get("model_group_alias"), models, desk)
    found = {}
    for name, model in models.items():
        names = aliases.get(name, Names())
        found[name] = replace(
            model,
            strategy=model.strategy or strategy,
            aliases=tuple(names.listed),
            hidden_aliases=tuple(names.hidden),
        )
    return found


def _strategy(node: Node | None, desk: Desk) -> str:
    """ "" when the file says nothing that is known here."""
    if node is None:
        return ""
    if holds_reference(node):
        desk.note(node, "unsupported", REFERENCE_NOTE)
        return ""
    word = text_of(node, 80)
    strategy = STRATEGIES.get(word, "")
    if not strategy:
        desk.note(node, "unsupported", f"no known strategy{nearest(word, STRATEGIES)}; shared by weight")
        return ""
    told = f"{strategy}, for all models of this file"
    different = _DIFFERENT.get(strategy)
    said: Said = "changed" if different else "applied"
    desk.note(node, said, f"{told}: {different}" if different else told)
    return strategy


def _aliases(node: Node | None, models: Mapping[str, ModelRecord], desk: Desk) -> dict[str, Names]:
    found: dict[str, Names] = {}
    if node is None:
        return found
    desk.note(node, "applied", "further names of models")
    for alias, below in mapping_of(node).items():
        if below.value is None:
            desk.note(below, "inert", "has no value")
            continue
        model, hidden = _meant(below, desk)
        if problem := _problem(alias, model, models):
            desk.cover(below, "unsupported", problem)
            continue
        desk.cover(below, "applied", f"another name of {model}{', not listed' if hidden else ''}")
        names = found.setdefault(model, Names())
        (names.hidden if hidden else names.listed).append(alias)
    return found


def _meant(node: Node, desk: Desk) -> tuple[str, bool]:
    """Which model an alias stands for, and whether it is hidden; both forms of LiteLLM."""
    if not isinstance(node.value, dict):
        return name_of(node, LONGEST_NAME), False
    fields = node.value
    model, hidden = fields.get("model"), fields.get("hidden")
    if model is None or model.value is None:
        raise node.error("model is missing")
    return name_of(model, LONGEST_NAME), hidden is not None and hidden.value is not None and flag_of(hidden)


def _problem(alias: str, model: str, models: Mapping[str, ModelRecord]) -> str:
    if alias in models:
        return f"a model of this file is called {alias}, and is asked"
    if "*" in alias:
        return "wildcard models are not available; write each name"
    if not is_name(alias):
        return "this is no name of a model"
    if model not in models:
        return f"no model of this file is called {model}{nearest(model, models)}"
    return ""
