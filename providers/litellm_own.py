"""`model_info.switchyard_model`: what this gateway lets one say of a model and LiteLLM has no key for."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from providers.fallbacks import On
from providers.litellm_records import Desk
from providers.litellm_values import flag_of, given, integer_of, items_of, mapping_of, name_of, seconds_of
from providers.litellm_yaml import Node
from providers.retries import problem_of_retries
from providers.spelling import nearest

MOST_ATTEMPTS = 10
MOST_FAILURES = 32_767


def _retries(node: Node) -> dict[str, Any]:
    found: object = node.plain()
    if problem := problem_of_retries(found):
        raise node.error(problem)
    assert isinstance(found, dict)  # else there is a problem
    return found


_READERS: Mapping[str, Callable[[Node], Any]] = {
    "hidden": flag_of,
    "max_attempts": partial(integer_of, least=1, most=MOST_ATTEMPTS),
    "retries_by_error": _retries,
    "deadline": seconds_of,
    "connect_timeout": seconds_of,
    "timeout": seconds_of,
    "stream_timeout": seconds_of,
    "idle_timeout": seconds_of,
    "max_queue": partial(integer_of, least=0),
    "eject_after": partial(integer_of, least=0, most=MOST_FAILURES),
    "eject_seconds": seconds_of,
}
FALLBACKS = "fallbacks"


def own_settings(node: Node | None, desk: Desk) -> tuple[dict[str, Any], dict[str, Node]]:
    """Fields of the model record, and where each stands."""
    if node is None:
        return {}, {}
    desk.note(node, "applied", "this gateway's own settings of the model")
    found: dict[str, Any] = {}
    nodes: dict[str, Node] = {}
    for name, below in given(mapping_of(node), desk).items():
        if name == FALLBACKS:
            nodes[name] = below
            desk.cover(below, "applied", "models to ask instead")
        elif name not in _READERS:
            desk.cover(below, "unsupported", f"not a known key{nearest(name, (*_READERS, FALLBACKS))}")
        else:
            found[name], nodes[name] = _READERS[name](below), below
            desk.cover(below, "applied", "a setting of the model")
    return found, nodes


def own_fallbacks(node: Node) -> dict[On, Node]:
    """The lists of names to ask instead by kind of error, such as {any: [other]}."""
    found = {}
    for kind, names in mapping_of(node).items():
        if kind not in set(On):
            raise names.error(f"one of {', '.join(On)} is expected")
        for name in items_of(names):
            name_of(name, 200)
        found[On(kind)] = names
    return found
