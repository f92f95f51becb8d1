"""A LiteLLM config.yml: its text becomes records, and every key of it gets a verdict."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from providers.litellm_models import Catalogue, free_name, read_model_list
from providers.litellm_records import Config, Desk, KeyRecord, LimitRecord, Surroundings
from providers.litellm_tables import APPLIED, INERT, PUBLISHED_KEYS, UNSUPPORTED, USAGE_LIMIT, WINDOWS
from providers.litellm_values import (
    Reference,
    checked_reference,
    flag_of,
    integer_of,
    look_up,
    mapping_of,
    reference_in,
    text_of,
    wrong,
)
from providers.litellm_yaml import ConfigError, Node, load
from providers.spelling import nearest

__all__ = ["ConfigError", "read"]

_MASTER_VARIABLES = frozenset({"SWITCHYARD_MASTER_KEY", "LITELLM_MASTER_KEY"})
_SHORTEST_GOOD_KEY = 20
_LONGEST_KEY = 512
_LARGEST_AMOUNT = 10**15


@dataclass(slots=True)
class _Keys:
    """Keys and limits as they are found."""

    keys: dict[str, KeyRecord] = field(default_factory=dict)
    limits: dict[tuple[str, str, str], LimitRecord] = field(default_factory=dict)

    def called(self, text: str, wanted: str) -> str:
        """The name of the key with this text; a key that nobody defined is added."""
        if text not in self.keys:
            taken = (key.name for key in self.keys.values())
            self.keys[text] = KeyRecord(free_name(wanted, taken), text)
        return self.keys[text].name


def read(text: str, file: str, surroundings: Surroundings) -> Config:
    """Read a file and what it includes. Raises `ConfigError` with file, line and key."""
    desk = Desk(surroundings)
    root = load(text, file)
    roots = [root]
    top = _with_included(root, roots, desk)
    _note_sections(top, desk)
    settings = _general_settings(top, desk)
    drop_params = _drop_params(settings.get("drop_params"), desk)
    catalogue = Catalogue()
    models = top.get("model_list")
    if models is not None and models.value is not None:
        desk.note(models, "applied", "models and deployments")
        catalogue = read_model_list(models, drop_params, desk)
    keys = _Keys()
    _master_key(settings.get("master_key"), keys, desk)
    if limits := settings.get("usage_limits"):
        _usage_limits(limits, keys, desk)
    return Config(
        providers=tuple(catalogue.providers.values()),
        models=tuple(catalogue.models.values()),
        deployments=tuple(catalogue.deployments.values()),
        prices=tuple(catalogue.prices),
        keys=tuple(keys.keys.values()),
        limits=tuple(keys.limits.values()),
        verdicts=desk.verdicts(roots),
        resolved=desk.resolved,
    )


def _with_included(root: Node, roots: list[Node], desk: Desk) -> dict[str, Node]:
    """The top-level keys, with included files' lists added and their other values in front."""
    top = dict(mapping_of(root))
    include = top.pop("include", None)
    if include is None or include.value is None:
        if include is not None:
            desk.note(include, "inert", "has no value")
        return top
    names = include.value if isinstance(include.value, list) else [include]
    desk.note(include, "applied")
    for node in names:
        name = text_of(node, 1000)
        try:
            text = desk.surroundings.read_included(name)
        except OSError as error:
            raise node.error(f"{name}: {error.strerror or error}") from None
        except UnicodeDecodeError:
            raise node.error(f"{name}: not UTF-8 text") from None
        included = load(text, name, prefix=f"{name}:")
        roots.append(included)
        _overlay(top, included, desk)
    return top


def _overlay(top: dict[str, Node], included: Node, desk: Desk) -> None:
    for name, node in mapping_of(included).items():
        mine = top.get(name)
        if name == "include":
            desk.cover(node, "inert", "the include of an included file is not read")
        elif mine is not None and isinstance(mine.value, list) and isinstance(node.value, list):
            _extend(top, name, node, desk)
        else:
            if mine is not None:
                desk.cover(mine, "inert", f"overwritten by the included {included.file}")
            top[name] = node


def _extend(top: dict[str, Node], name: str, more: Node, desk: Desk) -> None:
    mine = top[name]
    if name != "model_list":
        _note_from_tables("", name, more, desk)
        return
    assert isinstance(mine.value, list)  # the caller extends lists
    assert isinstance(more.value, list)  # the caller extends lists
    for node in (mine, more):
        desk.note(node, "applied", "models and deployments, one list with the included files'")
    top["model_list"] = Node(mine.file, mine.path, mine.shown, mine.line, [*mine.value, *more.value])


def _note_sections(top: Mapping[str, Node], desk: Desk) -> None:
    """Give every key outside model_list the verdict of the tables."""
    for name, node in top.items():
        if name in APPLIED[""]:
            if node.value is None:
                desk.note(node, "inert", "has no value")
            continue
        _note_from_tables("", name, node, desk)
        if name in APPLIED and isinstance(node.value, dict):
            for key, below in node.value.items():
                _note_from_tables(name, key, below, desk)


def _note_from_tables(section: str, name: str, node: Node, desk: Desk) -> None:
    if node.value is None:
        desk.note(node, "inert", "has no value")
    elif name in INERT[section]:
        hint = INERT[section][name]
        desk.cover(node, "inert", f"LiteLLM never reads it{'; ' if hint else ''}{hint}")
    elif instead := UNSUPPORTED[section].get(name):
        desk.cover(node, "unsupported", instead)
    elif not section and name.startswith(("x-", "_", ".")):
        desk.cover(node, "inert", "a place for YAML anchors")
    else:
        known = UNSUPPORTED[section].keys() | INERT[section].keys() | APPLIED[section]
        desk.cover(node, "unsupported", f"not a known key{nearest(name, known)}")


def _general_settings(top: Mapping[str, Node], desk: Desk) -> dict[str, Node]:
    """The keys of general_settings that are applied; the others are noted."""
    node = top.get("general_settings")
    if node is None or node.value is None:
        return {}
    desk.note(node, "applied", "see each of its keys")
    settings = mapping_of(node)
    for name, below in settings.items():
        if name not in APPLIED["general_settings"] or below.value is None:
            _note_from_tables("general_settings", name, below, desk)
    return {name: below for name, below in settings.items() if below.value is not None}


def _drop_params(node: Node | None, desk: Desk) -> bool:
    if node is None:
        return False
    desk.note(
        node, "changed", "LiteLLM never reads it here; applied to every entry that does not say otherwise"
    )
    return flag_of(node)


def _master_key(node: Node | None, keys: _Keys, desk: Desk) -> None:
    if node is None:
        return
    desk.note(node, "applied", "an admin key named master")
    text = _key_text(node, text_of(node, _LONGEST_KEY), desk)
    if not text:
        return
    if weakness := _weakness(text):
        desk.note(
            node, "warning", f"WEAK MASTER KEY: it {weakness}; set a random one before anybody can reach this"
        )
    keys.keys[text] = KeyRecord("master", text, is_admin=True)


def _weakness(text: str) -> str:
    if text in PUBLISHED_KEYS:
        return "is published in examples, so anybody knows it"
    if len(text) < _SHORTEST_GOOD_KEY:
        return f"is shorter than {_SHORTEST_GOOD_KEY} characters"
    return "repeats a few letters" if len(set(text)) < 8 else ""


def _key_text(node: Node, text: str, desk: Desk) -> str:
    """The key itself, references resolved; "" with a warning when there is none."""
    reference = checked_reference(node, text)
    if reference is not None:
        text = _resolved(node, reference, desk)
        if not text:
            return ""
    elif not text:
        desk.note(node, "warning", "empty, so no key is made")
    if text and (not text.isascii() or not text.isprintable() or len(text) > _LONGEST_KEY or " " in text):
        raise node.error("a key of printable ASCII characters without spaces is expected")
    return text


def _resolved(node: Node, reference: Reference, desk: Desk) -> str:
    found = look_up(reference, desk, also=_MASTER_VARIABLES)
    desk.resolved[reference.name] = found.value
    if not found.value and reference.fallback:
        desk.note(node, "warning", f"{reference.name} is unset: the value behind :- is used")
        return reference.fallback
    if not found.value:
        desk.note(node, "warning", found.problem.replace("not configured", "no key is made"))
    elif reference.braced:
        desk.note(
            node,
            "warning",
            f"LiteLLM takes ${{...}} for plain text; here it reads os.environ/{reference.name}",
        )
    return found.value


def _usage_limits(node: Node, keys: _Keys, desk: Desk) -> None:
    desk.note(node, "changed", "LiteLLM never reads it; limits on these keys here")
    for number, (written, below) in enumerate(mapping_of(node).items(), start=1):
        if below.value is None:
            desk.note(below, "inert", "has no value")
            continue
        desk.note(below, "changed", "limits on this key")
        text = _key_text(below, written, desk)
        if not text:
            desk.cover(below, "warning", _why_no_key(below, desk))
            continue
        name = keys.called(text, _key_name(written, number))
        groups = below.value if isinstance(below.value, list) else [below]
        for group in groups:
            _limits(group, name, keys, desk)


def _why_no_key(node: Node, desk: Desk) -> str:
    verdict = desk.verdict(node)
    assert verdict is not None  # noted as a key before it was looked up
    return verdict.note


def _key_name(written: str, number: int) -> str:
    """A name that gives nothing of the key away: that of its variable, else a number."""
    reference = reference_in(written)
    if reference is None:
        return f"usage-limits-{number}"
    return reference.name.lower().removesuffix("_api_key").replace("_", "-")


def _limits(node: Node, key: str, keys: _Keys, desk: Desk) -> None:
    fields = mapping_of(node)
    window = _window(fields.get("window"), desk)
    for name, below in fields.items():
        if name not in USAGE_LIMIT:
            desk.cover(below, "unsupported", f"not a known key{nearest(name, USAGE_LIMIT)}")
        elif name != "window" and below.value is None:
            desk.note(below, "inert", "has no value")
    if cost := fields.get("max_cost"):
        desk.note(cost, "unsupported", "costs are counted but not limited yet; limit max_tokens")
    for name, metric in (("max_requests", "requests"), ("max_tokens", "tokens")):
        if name not in fields or fields[name].value is None:
            continue
        below = fields[name]
        amount = integer_of(below, 0, _LARGEST_AMOUNT)
        known = keys.limits.get((key, metric, window))
        desk.note(
            below,
            "changed",
            f"at most {amount} {metric} per {window}" if window != "total" else f"{amount} {metric} in total",
        )
        if known is not None and known.amount != amount:
            desk.note(
                below,
                "warning",
                "the file gives this key another limit of the same window; the smaller holds",
            )
            amount = min(amount, known.amount)
        keys.limits[key, metric, window] = LimitRecord(key, metric, amount, window)


def _window(node: Node | None, desk: Desk) -> str:
    if node is None:
        return "minute"
    if node.value is None:
        desk.note(node, "inert", "has no value; minute")
        return "minute"
    if not isinstance(node.value, str):
        raise wrong(node, "text")
    if node.value not in WINDOWS:
        raise node.error(f"one of {', '.join(WINDOWS)} is expected")
    desk.note(node, "changed", "")
    return node.value
