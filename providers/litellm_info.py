"""The `model_info` of an entry: what is known of its model, and the notes people keep there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from providers.dialects import OPTIONAL
from providers.litellm_own import own_settings
from providers.litellm_records import MODEL_SETTINGS, Desk, ModelRecord
from providers.litellm_tables import DISCONNECT, MODEL_INFO, MODES, STATES, STRATEGIES, UNREAD_INFO
from providers.litellm_values import (
    SHORTEST_TIME,
    flag_of,
    given,
    integer_of,
    items_of,
    mapping_of,
    name_of,
    number_of,
    text_of,
)
from providers.litellm_yaml import Node
from providers.price_sources import is_cost_key
from providers.spelling import nearest

OWN = "switchyard_model"
OWN_FALLBACKS = f"{OWN}.fallbacks"
_OWN_TIMES = {"queue_seconds": 0.0, "connect_timeout": SHORTEST_TIME, "idle_timeout": SHORTEST_TIME}


@dataclass(frozen=True, slots=True)
class Facts:
    """What one entry says about its model; names of deployment and provider are "" unless given.

    `nodes` are its keys, those of `switchyard_model` with that in front; `own` are fields of the deployment.
    """

    model: ModelRecord
    nodes: Mapping[str, Node] = field(default_factory=dict)
    deployment: str = ""
    provider: str = ""
    state: str = ""
    disconnect: str = ""
    also_speaks: tuple[str, ...] | None = None
    provider_enabled: bool | None = None
    own: Mapping[str, Any] = field(default_factory=dict)


def read_info(node: Node | None, name: str, desk: Desk) -> Facts:
    """The facts of one entry of the model `name`; None when it has no model_info."""
    if node is None or node.value is None:
        if node is not None:
            desk.note(node, "inert", "has no value")
        return Facts(ModelRecord(name))
    desk.note(node, "applied", "facts and notes on the model")
    fields = given(mapping_of(node), desk)
    for field_node in fields.values():
        desk.cover(field_node, "applied", "kept as a note on the model")
    info = {key: value.plain() for key, value in fields.items() if _is_note(key, value, desk)}
    most_output = _tokens(fields, "max_output_tokens", desk)
    legacy = _tokens(fields, "max_tokens", desk)
    if legacy is not None:
        told = "max_output_tokens says it already" if most_output is not None else "the most output tokens"
        desk.note(fields["max_tokens"], "applied" if most_output is None else "inert", told)
    settings, nodes = own_settings(fields.get(OWN), desk)
    model = ModelRecord(
        name=name,
        kind=_kind(fields.get("mode"), desk),
        max_input_tokens=_tokens(fields, "max_input_tokens", desk),
        max_output_tokens=legacy if most_output is None else most_output,
        info=info,
        strategy=_one_of(fields.get("switchyard_strategy"), "strategy", (*STRATEGIES.values(),), desk),
        **settings,
    )
    return Facts(
        model,
        {**fields, **{f"{OWN}.{name}": node for name, node in nodes.items()}},
        own=_own_times(fields, desk),
        provider_enabled=_switch(fields.get("switchyard_provider_enabled"), desk),
        deployment=_own_name(fields, "id", 280, desk),
        provider=_own_name(fields, "switchyard_provider", 110, desk),
        state=_one_of(fields.get("switchyard_state"), "state", STATES, desk),
        also_speaks=_also_speaks(fields.get("switchyard_also_speaks"), desk),
        disconnect=_one_of(fields.get("switchyard_disconnect"), "a client that leaves:", DISCONNECT, desk),
    )


def _also_speaks(node: Node | None, desk: Desk) -> tuple[str, ...] | None:
    """What the provider serves itself beside chat, as a list."""
    if node is None:
        return None
    said = [text_of(each, 40) for each in items_of(node)]
    wrong = next((name for name in said if name not in OPTIONAL), None)
    if wrong is not None:
        desk.cover(node, "warning", f"'{wrong}' is not one of {', '.join(OPTIONAL)}; the kind decides")
        return None
    desk.cover(node, "applied", "what the provider serves itself beside chat")
    return tuple(sorted(set(said)))


def _switch(node: Node | None, desk: Desk) -> bool | None:
    if node is None:
        return None
    on = flag_of(node)
    desk.note(node, "applied", f"the provider is switched {'on' if on else 'off'}")
    return on


def _own_times(fields: Mapping[str, Node], desk: Desk) -> dict[str, float]:
    """Times of the deployment that LiteLLM has no key for."""
    found = {}
    for key, least in _OWN_TIMES.items():
        if (node := fields.get(f"switchyard_{key}")) is not None:
            found[key] = number_of(node, least)
            desk.note(node, "applied", f"{found[key]:g} s, of the deployment")
    return found


def _is_note(key: str, node: Node, desk: Desk) -> bool:
    if is_cost_key(key):  # of the deployment, not of the model
        return False
    if key == "base_model":
        desk.note(node, "changed", "kept as a note on the model; no price follows it")
    elif key in UNREAD_INFO:
        desk.cover(node, "unsupported", f"kept as a note only; {UNREAD_INFO[key]}")
    elif key not in MODEL_INFO and not key.startswith("supports_") and (hint := nearest(key, MODEL_INFO)):
        desk.cover(node, "warning", f"not a known name{hint}; kept as a note on the model")
    return key == "base_model" or key not in MODEL_INFO


def _tokens(fields: Mapping[str, Node], key: str, desk: Desk) -> int | None:
    node = fields.get(key)
    if node is None:
        return None
    tokens = integer_of(node, 0)
    desk.note(node, "applied", f"{tokens} tokens")
    return tokens


def _kind(node: Node | None, desk: Desk) -> str:
    if node is None:
        return "chat"
    mode = name_of(node, 40)
    if mode not in MODES:
        desk.note(node, "unsupported", f"one of {', '.join(MODES)}; taken as chat")
        return "chat"
    desk.note(node, "applied", f"kind {MODES[mode]}")
    return MODES[mode]


def _own_name(fields: Mapping[str, Node], key: str, longest: int, desk: Desk) -> str:
    node = fields.get(key)
    if node is None:
        return ""
    desk.note(node, "applied", "the name of the deployment" if key == "id" else "the name of the provider")
    return name_of(node, longest)


def _one_of(node: Node | None, what: str, words: Sequence[str], desk: Desk) -> str:
    if node is None:
        return ""
    word = name_of(node, 10)
    if word not in words:
        raise node.error(f"one of {', '.join(words)} is expected")
    desk.note(node, "applied", f"{what} {word}")
    return word


def joined(entries: Sequence[Facts], desk: Desk) -> ModelRecord:
    """One model of all its entries: the first that says something is right."""
    model = entries[0].model
    for entry in entries[1:]:
        other = entry.model
        settings: dict[str, Any] = {
            name: _first(getattr(model, name), getattr(other, name)) for name in MODEL_SETTINGS
        }
        model = replace(
            model,
            kind=other.kind if model.kind == "chat" else model.kind,
            max_input_tokens=_first(model.max_input_tokens, other.max_input_tokens),
            max_output_tokens=_first(model.max_output_tokens, other.max_output_tokens),
            info={**other.info, **model.info},
            strategy=model.strategy or other.strategy,
            **settings,
        )
    for entry in entries:
        _note_differences(entry, model, desk)
    return model


def _first[T](one: T | None, other: T | None) -> T | None:
    return other if one is None else one


def _note_differences(entry: Facts, model: ModelRecord, desk: Desk) -> None:
    told: dict[str, tuple[object, object]] = {
        "mode": (entry.model.kind, model.kind),
        "max_input_tokens": (entry.model.max_input_tokens, model.max_input_tokens),
        "max_output_tokens": (entry.model.max_output_tokens, model.max_output_tokens),
        "switchyard_strategy": (entry.model.strategy, model.strategy),
        **{f"{OWN}.{name}": (getattr(entry.model, name), getattr(model, name)) for name in MODEL_SETTINGS},
        **{name: (value, model.info.get(name)) for name, value in entry.model.info.items()},
    }
    for name, (said, holds) in told.items():
        node = entry.nodes.get(name)
        if node is not None and said != holds and said is not None:
            desk.cover(node, "warning", "another entry of this model says otherwise, and holds")
