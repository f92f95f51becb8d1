"""`router_settings`: how the deployments of models are chosen, and further names of models."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from providers.aliases import LONGEST_NAME, is_name
from providers.litellm_records import Desk, ModelRecord, Said
from providers.litellm_tables import STRATEGIES
from providers.litellm_values import flag_of, given, is_unread, items_of, mapping_of, name_of, text_of
from providers.litellm_yaml import Node
from providers.patterns import best, is_pattern
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
    node = settings.get("routing_strategy")
    strategy = "" if node is None else _strategy(node, "for all models of this file", desk)
    by_group = _strategies_of_groups(settings.get("routing_groups"), models, desk)
    aliases = _aliases(settings.get("model_group_alias"), models, desk)
    found = {}
    for name, model in models.items():
        names = aliases.get(name, Names())
        found[name] = replace(
            model,
            strategy=model.strategy or by_group.get(name) or strategy,
            aliases=tuple(names.listed),
            hidden_aliases=tuple(names.hidden),
        )
    return found


def _strategy(node: Node, whose: str, desk: Desk) -> str:
    """ "" when the file says nothing that is known here."""
    if is_unread(node, desk):
        return ""
    word = text_of(node, 80)
    strategy = STRATEGIES.get(word, "")
    if not strategy:
        desk.note(node, "unsupported", f"no known strategy{nearest(word, STRATEGIES)}; shared by weight")
        return ""
    told = f"{strategy}, {whose}"
    different = _DIFFERENT.get(strategy)
    said: Said = "changed" if different else "applied"
    desk.note(node, said, f"{told}: {different}" if different else told)
    return strategy


def _strategies_of_groups(node: Node | None, models: Mapping[str, ModelRecord], desk: Desk) -> dict[str, str]:
    """`routing_groups`: a strategy for some models; of two groups with one model the first holds."""
    found: dict[str, str] = {}
    if node is None:
        return found
    desk.note(node, "applied", "strategies of some models")
    for item in items_of(node):
        desk.cover(item, "applied", "of a group of models")
        fields = given(mapping_of(item), desk)
        strategy = fields.get("routing_strategy")
        word = "" if strategy is None else _strategy(strategy, "for the models of this group", desk)
        if (more := fields.get("routing_strategy_args")) is not None:
            desk.cover(more, "unsupported", "strategies take no arguments here")
        if (names := fields.get("models")) is None:
            continue
        named = [name_of(name, LONGEST_NAME) for name in items_of(names)]
        if unknown := [name for name in named if name not in models]:
            told = f"no model of this file is called {unknown[0]}{nearest(unknown[0], models)}"
            desk.note(names, "warning" if len(unknown) < len(named) else "unsupported", told)
        for name in named if word else ():
            found.setdefault(name, word)
    return found


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
    if is_pattern(alias):
        return "an alias is one name, without a *; a wildcard model stands for many"
    if not is_name(alias):
        return "this is no name of a model"
    if is_pattern(model):
        return f"an alias means one model, and {model} is a wildcard"
    if model in models:
        return ""
    if found := best((name for name in models if is_pattern(name)), model):
        return f"{model} is served by the wildcard {found[0]} alone: write an entry of that name"
    return f"no model of this file is called {model}{nearest(model, models)}"
