"""YAML as a tree that knows its lines: what a message needs to point at the place in the file."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import yaml
from yaml.constructor import SafeConstructor
from yaml.nodes import MappingNode, ScalarNode, SequenceNode
from yaml.nodes import Node as YamlNode

type Scalar = str | int | float | bool | None

_TAG = "tag:yaml.org,2002:"
_MERGE = f"{_TAG}merge"
_PLAIN_SCALARS = frozenset(
    _TAG + name for name in ("str", "int", "float", "bool", "null", "timestamp", "value", "merge")
)
_DEEPEST = 50
# Aliases of aliases multiply: a file of a few lines can stand for more than a machine holds.
_MOST_NODES = 200_000
# The keys of these mappings are API keys themselves.
_SECRET_KEYS = frozenset({"general_settings.usage_limits"})


class ConfigError(Exception):
    """The file cannot be imported; the one-line message names file, line and key."""

    def __init__(self, message: str, file: str, line: int = 0, key: str = "") -> None:
        place = f"{file}:{line}" if line else file
        super().__init__(": ".join(part for part in (place, key, " ".join(message.split())) if part))


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A value of the file. `line` is that of its key, `shown` is `path` without API keys."""

    file: str
    path: str
    shown: str
    line: int
    value: "Scalar | list[Node] | dict[str, Node]"

    def error(self, message: str) -> ConfigError:
        return ConfigError(message, self.file, self.line, self.shown)

    def children(self) -> "list[Node]":
        if isinstance(self.value, dict):
            return list(self.value.values())
        return self.value if isinstance(self.value, list) else []

    def every_key(self) -> "Iterator[Node]":
        """Every key below, in the order of the file; items of lists are no keys."""
        for child in self.children():
            if isinstance(self.value, dict):
                yield child
            yield from child.every_key()

    def plain(self) -> object:
        """The value as `yaml.safe_load` gives it."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value


@dataclass(frozen=True, slots=True)
class _Place:
    path: str
    shown: str
    line: int
    depth: int

    def key(self, name: str, line: int, prefix: str) -> "_Place":
        hidden = self.path.removeprefix(prefix) in _SECRET_KEYS and not name.startswith(("os.environ/", "${"))
        visible = f"{name[:3]}…" if hidden else name
        dot = "." if self.path.removeprefix(prefix) else ""
        return _Place(f"{self.path}{dot}{name}", f"{self.shown}{dot}{visible}", line, self.depth + 1)

    def item(self, index: int, line: int) -> "_Place":
        return _Place(f"{self.path}[{index}]", f"{self.shown}[{index}]", line, self.depth + 1)


class _Tree:
    """Turns PyYAML's graph into `Node`s: merges applied, aliases written out, duplicates refused."""

    def __init__(self, file: str, prefix: str) -> None:
        self.file = file
        self.prefix = prefix
        self._constructor = SafeConstructor()
        self._made = 0

    def error(self, message: str, place: _Place) -> ConfigError:
        return ConfigError(message, self.file, place.line, place.shown)

    def node(self, source: YamlNode, place: _Place) -> Node:
        self._made += 1
        if place.depth > _DEEPEST or self._made > _MOST_NODES:
            raise self.error("nested too deep, or an anchor that contains itself", place)
        return Node(self.file, place.path, place.shown, place.line, self._value(source, place))

    def _value(self, source: YamlNode, place: _Place) -> Scalar | list[Node] | dict[str, Node]:
        if isinstance(source, MappingNode) and source.tag == f"{_TAG}map":
            return self._mapping(source, place)
        if isinstance(source, SequenceNode) and source.tag == f"{_TAG}seq":
            return [
                self.node(item, place.item(index, item.start_mark.line + 1))
                for index, item in enumerate(source.value)
            ]
        if isinstance(source, ScalarNode) and source.tag in _PLAIN_SCALARS:
            return self._scalar(source, place)
        raise self.error(f"the tag {source.tag} is not plain YAML", place)

    def _mapping(self, source: MappingNode, place: _Place) -> dict[str, Node]:
        return {
            name: self.node(value, place.key(name, line, self.prefix))
            for name, (line, value) in self._pairs(source, place).items()
        }

    def _pairs(self, source: MappingNode, place: _Place) -> dict[str, tuple[int, YamlNode]]:
        """Key -> (line, value); what `<<` brings in stands behind the mapping's own keys."""
        if place.depth > _DEEPEST:
            raise self.error("nested too deep, or an anchor that contains itself", place)
        pairs: dict[str, tuple[int, YamlNode]] = {}
        merged: list[YamlNode] = []
        for key, value in source.value:
            line = key.start_mark.line + 1
            if key.tag == _MERGE:
                merged.append(value)
                continue
            at = _Place(place.path, place.shown, line, place.depth)
            if not isinstance(key, ScalarNode) or key.tag not in _PLAIN_SCALARS:
                raise self.error("a key is plain text", at)
            name = self._text(key.value, at)
            if name in pairs:
                raise self.error(
                    f"duplicate key, also on line {pairs[name][0]}", place.key(name, line, self.prefix)
                )
            pairs[name] = (line, value)
        for value in merged:
            for name, pair in self._merged(value, place).items():
                pairs.setdefault(name, pair)
        return pairs

    def _merged(self, value: YamlNode, place: _Place) -> dict[str, tuple[int, YamlNode]]:
        deeper = _Place(place.path, place.shown, value.start_mark.line + 1, place.depth + 1)
        if isinstance(value, MappingNode):
            return self._pairs(value, deeper)
        if not isinstance(value, SequenceNode) or any(not isinstance(v, MappingNode) for v in value.value):
            raise self.error("<< takes a mapping or a list of mappings", deeper)
        pairs: dict[str, tuple[int, YamlNode]] = {}
        for item in value.value:
            for name, pair in self._pairs(item, deeper).items():
                pairs.setdefault(name, pair)
        return pairs

    def _scalar(self, source: ScalarNode, place: _Place) -> Scalar:
        kind = source.tag.removeprefix(_TAG)
        try:
            match kind:
                case "null":
                    return None
                case "bool":
                    return bool(self._constructor.construct_yaml_bool(source))
                case "int":
                    return int(self._constructor.construct_yaml_int(source))
                case "float":
                    return self._finite(float(self._constructor.construct_yaml_float(source)), place)
        except (ValueError, KeyError, IndexError, OverflowError):
            raise self.error(f"not a value of type {kind}", place) from None
        return self._text(source.value, place)

    def _finite(self, number: float, place: _Place) -> float:
        if not math.isfinite(number):
            raise self.error("a finite number is expected", place)
        return number

    def _text(self, text: str, place: _Place) -> str:
        """Text that a database and an HTTP body can hold."""
        if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
            raise self.error("holds a character that is no text", place)
        return text


def _compose(text: str, file: str) -> YamlNode | None:
    try:
        # SafeLoader resolves plain tags only, and composing builds no object at all.
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = error.problem or error.context or "not YAML"
        raise ConfigError(f"broken YAML: {reason}", file, mark.line + 1 if mark else 0) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(f"broken YAML: {error.reason}", file, line) from None
    except (RecursionError, ValueError, OverflowError):
        # ValueError: escapes beyond Unicode ("\UFFFFFFFF") pass PyYAML's scanner unchecked.
        raise ConfigError("broken YAML: nested too deep, or an impossible escape", file) from None


def load(text: str, file: str, prefix: str = "") -> Node:
    """The file's top-level mapping; paths begin with `prefix`. Raises `ConfigError`."""
    source = _compose(text, file)
    if source is None:
        raise ConfigError("the file is empty", file)
    root = _Tree(file, prefix).node(source, _Place(prefix, prefix, source.start_mark.line + 1, 0))
    if not isinstance(root.value, dict):
        raise ConfigError("a mapping is expected at the top, such as model_list: ...", file, root.line)
    return root
