"""Models to ask instead of another: the lists of a config.yml as rows, and loops among them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter

from providers.fallbacks import On
from providers.litellm_own import own_fallbacks
from providers.litellm_records import Desk, FallbackRecord, ModelRecord, Said
from providers.litellm_reliability import Sections
from providers.litellm_values import holds_reference, integer_of, is_unread, items_of, wrong
from providers.litellm_yaml import Node
from providers.patterns import best, is_pattern
from providers.spelling import nearest

KEYS: Mapping[str, On] = {
    "fallbacks": On.ANY,
    "context_window_fallbacks": On.CONTEXT_WINDOW,
    "content_policy_fallbacks": On.CONTENT_POLICY,
}
_DEFAULT = "default_fallbacks"
_ALL = "*"
_AFTER = {
    On.ANY: "when none of its deployments could answer",
    On.CONTEXT_WINDOW: "after a prompt that is too long",
    On.CONTENT_POLICY: "after content that was refused",
}
_SHAPE = "a mapping such as {llm: [other]}"


@dataclass(slots=True)
class _Lists:
    """The names to ask after one kind of error: of models, and of every model without a list (`others`)."""

    of: dict[str, list[str]] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)
    others_node: Node | None = None


class _Names:
    """What a name in a list stands for, among the models of the file."""

    def __init__(self, models: Mapping[str, ModelRecord]) -> None:
        self.models = models
        self._by_alias = {
            alias: name for name, model in models.items() for alias in (*model.aliases, *model.hidden_aliases)
        }

    def meant(self, name: str) -> tuple[str, str]:
        """The model, or "" and why there is none."""
        if name in self.models:
            return name, ""
        if name in self._by_alias:
            return self._by_alias[name], ""
        if found := best((known for known in self.models if is_pattern(known)), name):
            return "", f"{name} is served by {found[0]} alone: write an entry of that name"
        return "", f"no model of this file is called {name}{nearest(name, self.models)}"


def read_fallbacks(
    sections: Sections,
    models: Mapping[str, ModelRecord],
    own: Mapping[str, Node],
    desk: Desk,
) -> tuple[FallbackRecord, ...]:
    """The rows that all lists ask for; `own` are those of models in this gateway's own form."""
    off = _is_off(sections.said("max_fallbacks", desk), desk)
    names = _Names(models)
    lists = {on: _Lists() for on in On}
    written = {on: node for key, on in KEYS.items() if (node := sections.said(key, desk)) is not None}
    default = sections.said(_DEFAULT, desk)
    if off:
        for node in (*written.values(), *([] if default is None else [default]), *own.values()):
            desk.cover(node, "inert", "max_fallbacks is 0")
        return ()
    for on, node in written.items():
        desk.note(node, "applied", f"models to ask instead, {_AFTER[on]}")
        _read_list(node, lists[on], names, desk)
    if default is not None:
        _for_others(default, lists[On.ANY], names, desk)
    for model, node in own.items():
        for on, below in own_fallbacks(node).items():
            _own_list(model, below, lists[on], names, desk)
    _leave_out_loops(lists, desk)
    rows = tuple(_rows(lists, models))
    _note_other_kinds(written, rows, desk)
    return rows


def _own_list(model: str, node: Node, lists: _Lists, names: _Names, desk: Desk) -> None:
    found, problems = _targets(_written(node), model, names)
    lists.of[model], lists.nodes[model] = found, node
    _note(node, found, problems, desk, "applied", "")


def _note_other_kinds(written: Mapping[On, Node], rows: Iterable[FallbackRecord], desk: Desk) -> None:
    """Tell where LiteLLM asks nobody: it has lists for a kind of error, and none of this model."""
    having = {on: {row.model for row in rows if row.on == on} for on in On}
    for on, node in written.items():
        if having[on] and having[On.ANY] - having[on]:
            told = "a model without a list here goes to its fallbacks, to nobody in LiteLLM"
            desk.more(node, "changed", told)


def _is_off(node: Node | None, desk: Desk) -> bool:
    if node is None or is_unread(node, desk):
        return False
    most = integer_of(node, 0)
    if most:
        desk.note(node, "unsupported", "each model of a list is asked once, at most; shorten the lists")
    else:
        desk.note(node, "applied", "no other model is asked")
    return not most


def _read_list(node: Node, lists: _Lists, names: _Names, desk: Desk) -> None:
    items = items_of(node)
    if not items:
        desk.note(node, "inert", "an empty list")
    for item in items:
        if not isinstance(item.value, dict):
            raise wrong(item, _SHAPE)
        for key, below in item.value.items():
            if below.value is None:
                desk.note(below, "inert", "has no value")
            elif key == _ALL:
                _for_others(below, lists, names, desk)
            else:
                _of_model(key, below, lists, names, desk)


def _of_model(key: str, node: Node, lists: _Lists, names: _Names, desk: Desk) -> None:
    model, problem = names.meant(key)
    if not model:
        desk.cover(node, "unsupported", problem)
    elif model in lists.of:
        desk.cover(node, "inert", f"an earlier item says it of {model} already")
    else:
        found, problems = _targets(_written(node), model, names)
        lists.of[model], lists.nodes[model] = found, node
        other = key != model
        told = f"of {model} by any of its names: " if other else ""
        _note(node, found, problems, desk, "changed" if other else "applied", told)


def _for_others(node: Node, lists: _Lists, names: _Names, desk: Desk) -> None:
    """The list of models that have none; a later one replaces an earlier one, as in LiteLLM."""
    if lists.others_node is not None:
        desk.cover(lists.others_node, "inert", f"{node.shown} says it, and holds")
    lists.others, problems = _targets(_written(node), "", names)
    lists.others_node = node
    _note(node, lists.others, problems, desk, "applied", "for models that have no list: ")


def _written(node: Node) -> list[Node]:
    """The items of a list of names; a name alone is taken for a list of one."""
    return [node] if isinstance(node.value, str) else items_of(node)


def _targets(items: Sequence[Node], model: str, names: _Names) -> tuple[list[str], list[str]]:
    """The models that these items name, each once, and what is wrong with the others."""
    found: list[str] = []
    problems: list[str] = []
    for item in items:
        to, problem = _target(item, names)
        if to and is_pattern(to):
            to, problem = "", f"{to} is no single model"
        if problem:
            problems.append(problem)
        elif to == model:
            problems.append(f"{to} is not asked instead of itself")
        elif to not in found:
            found.append(to)
    return found, problems


def _target(item: Node, names: _Names) -> tuple[str, str]:
    if isinstance(item.value, dict):
        name = item.value.get("model")
        if name is None or not isinstance(name.value, str):
            raise item.error("model is missing")
        if len(item.value) > 1:
            told = "with parameters of its own is not available: write an entry for it and name that"
            return "", f"{name.value} {told}"
        return names.meant(name.value)
    if not isinstance(item.value, str):
        raise wrong(item, "the name of a model")
    if holds_reference(item):
        return "", f"{item.value} is a reference, and none is read here; write the name"
    return names.meant(item.value)


def _note(
    node: Node, found: Sequence[str], problems: Sequence[str], desk: Desk, said: Said, told: str
) -> None:
    """The verdict on one list: whom it names, and what is wrong with the rest of it."""
    letters = isinstance(node.value, str)
    words = [f"{told}{', then '.join(found)}"] if found else []
    words += [*problems, *(["LiteLLM takes a text for a list of letters"] if letters else [])]
    if not found:
        desk.cover(node, "unsupported" if problems else "inert", "; ".join(words) or "an empty list")
    else:
        desk.cover(node, "warning" if problems or letters else said, "; ".join(words))


def _leave_out_loops(lists: Mapping[On, _Lists], desk: Desk) -> None:
    """Leave out each step that leads back to its own model: of two that ask each other, the later one."""
    ways: dict[str, list[str]] = {}
    each = [(found, model, to) for found in lists.values() for model, to in _edges(found)]
    left_out: dict[Node, list[str]] = {}
    for found, model, to in sorted(each, key=lambda one: one[0].nodes[one[1]].line):
        if model in _reach(to, ways):
            found.of[model].remove(to)
            left_out.setdefault(found.nodes[model], []).append(to)
        else:
            ways.setdefault(model, []).append(to)
    for node, names in left_out.items():
        back = "it leads back" if len(names) == 1 else "they lead back"
        told = f"{', '.join(names)} left out: {back} here, and loops are refused"
        desk.more(node, "warning", told)


def _edges(lists: _Lists) -> Iterator[tuple[str, str]]:
    return ((model, to) for model, found in lists.of.items() for to in found)


def loop_in(edges: Iterable[tuple[str, str]]) -> list[str]:
    """A way along these (from, to) back to its start, both ends included; empty: there is none."""
    graph: TopologicalSorter[str] = TopologicalSorter()
    for model, to in edges:
        graph.add(to, model)
    try:
        graph.prepare()
    except CycleError as error:
        return [str(name) for name in error.args[1]]
    return []


def _rows(lists: Mapping[On, _Lists], models: Mapping[str, ModelRecord]) -> Iterator[FallbackRecord]:
    edges: dict[str, list[str]] = {}
    for found in lists.values():
        for model, to in _edges(found):
            edges.setdefault(model, []).append(to)
    for on, found in lists.items():
        for model, names in {**found.of, **_of_others(found, models, edges)}.items():
            node = found.nodes.get(model) or found.others_node
            assert node is not None  # one of them gave the names
            where = str(node.error("").args[0])
            for position, to in enumerate(names):
                yield FallbackRecord(model, to, on.value, position, where)


def _of_others(
    lists: _Lists, models: Mapping[str, ModelRecord], edges: dict[str, list[str]]
) -> dict[str, list[str]]:
    """The lists of the models that have none: a model of the common list asks those behind it, and nobody
    whom it would hear from again. Adds to `edges`."""
    found: dict[str, list[str]] = {}
    common = lists.others
    reached = {to for names in edges.values() for to in names}
    for model in (*common, *models):
        if model in found or model in lists.of:
            continue
        names = common[common.index(model) + 1 :] if model in common else common
        if model in reached or model in common:
            names = [to for to in names if model not in _reach(to, edges)]
        found[model] = list(names)
        edges.setdefault(model, []).extend(names)
    return {model: names for model, names in found.items() if names}


def _reach(start: str, edges: Mapping[str, Sequence[str]]) -> set[str]:
    """All that a way along the edges leads to."""
    seen: set[str] = set()
    open_ends = [start]
    while open_ends:
        for to in edges.get(open_ends.pop(), ()):
            if to not in seen:
                seen.add(to)
                open_ends.append(to)
    return seen
