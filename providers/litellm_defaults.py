"""Parameters of an entry that go to its provider unless the client says otherwise."""

from collections.abc import Iterable, Mapping

from providers.litellm_records import Desk
from providers.litellm_tables import (
    ALL_PARAMS,
    INERT_PARAMS,
    NEVER_DEFAULT,
    OPENAI_PARAMS,
    READ_PARAMS,
    unsupported_param,
)
from providers.litellm_values import REFERENCE_NOTE, holds_reference, mapping_of
from providers.litellm_yaml import Node
from providers.price_sources import is_cost_key
from providers.spelling import nearest


def default_params(params: Mapping[str, Node], desk: Desk) -> dict[str, object]:
    """The request defaults among the parameters of an entry; notes all that nothing else reads."""
    defaults: dict[str, object] = {}
    for name, node in params.items():
        if name in INERT_PARAMS:
            desk.cover(node, "inert", INERT_PARAMS[name])
        elif name in READ_PARAMS or is_cost_key(name):
            continue
        elif instead := unsupported_param(name):
            desk.cover(node, "unsupported", instead)
        elif _is_default(name, node, desk):
            defaults[name] = node.plain()
            _note_default(name, node, desk)
    if body := params.get("extra_body"):
        desk.note(body, "applied", "request defaults: the client's value wins")
        for name, node in mapping_of(body).items():
            if _is_default(name, node, desk):
                defaults[name] = node.plain()
                desk.cover(node, "applied", "a request default")
    return defaults


# Read for all models of the file by who else reads `default_litellm_params`.
TIMEOUTS = ("timeout", "stream_timeout")


def params_of_everyone(node: Node | None, desk: Desk) -> dict[str, object]:
    """`default_litellm_params`: request defaults of every deployment, before those of its entry."""
    if node is None:
        return {}
    desk.note(node, "applied", "request defaults of all deployments of this file: the client's value wins")
    found: dict[str, object] = {}
    for name, below in mapping_of(node).items():
        if below.value is None:
            desk.note(below, "inert", "has no value")
        elif name in INERT_PARAMS:
            desk.cover(below, "inert", INERT_PARAMS[name])
        elif name in TIMEOUTS:
            continue
        elif name in READ_PARAMS or name == "metadata" or is_cost_key(name) or unsupported_param(name):
            desk.cover(below, "unsupported", unsupported_param(name) or "write it into each entry")
        elif _is_default(name, below, desk):
            found[name] = below.plain()
            _note_default(name, below, desk)
    return found


def _is_default(name: str, node: Node, desk: Desk) -> bool:
    if name in NEVER_DEFAULT:
        desk.cover(node, "unsupported", "each request says this itself")
        return False
    if holds_reference(node) or any(holds_reference(below) for below in _below(node)):
        desk.cover(node, "unsupported", REFERENCE_NOTE)
        return False
    return True


def _below(node: Node) -> Iterable[Node]:
    for child in node.children():
        yield child
        yield from _below(child)


def _note_default(name: str, node: Node, desk: Desk) -> None:
    if name in OPENAI_PARAMS:
        desk.cover(node, "applied", "a request default: the client's value wins")
    elif hint := nearest(name, ALL_PARAMS):
        desk.cover(node, "warning", f"not a known name{hint}; sent to the provider as a request default")
    else:
        desk.cover(node, "applied", "not a known name; sent to the provider as a request default")
