"""Values of a config.yml, typed: what is expected is read, anything else is an error with its place."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from providers.litellm_records import Desk
from providers.litellm_yaml import Node

LARGEST_INTEGER = 2_147_483_647
# The most that a limit holds; of cost in nano-dollars.
LARGEST_AMOUNT = 4 * 10**15
SHORTEST_TIME = 0.001
REFERENCE_NOTE = "references are read in model, api_base and api_key; write the value"
_REFERENCE = "os.environ/"
_SHELL = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::?-(.*))?\}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Reference:
    """An environment variable; `braced` when written as ${NAME}, which LiteLLM takes for plain text."""

    name: str
    fallback: str | None = None
    braced: bool = False

    @property
    def stored(self) -> str:
        return f"{_REFERENCE}{self.name}"


@dataclass(frozen=True, slots=True)
class Found:
    """What a reference stands for now; `problem` says why it is empty."""

    value: str
    problem: str


def kind_of(node: Node) -> str:
    match node.value:
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "a list"
        case dict():
            return "a mapping"


def wrong(node: Node, expected: str) -> Exception:
    return node.error(f"{expected} is expected, not {kind_of(node)}")


def mapping_of(node: Node) -> dict[str, Node]:
    if not isinstance(node.value, dict):
        raise wrong(node, "a mapping")
    return node.value


def items_of(node: Node) -> list[Node]:
    if not isinstance(node.value, list):
        raise wrong(node, "a list")
    return node.value


def text_of(node: Node, longest: int) -> str:
    if not isinstance(node.value, str):
        hint = "text in quotes" if isinstance(node.value, int | float) else "text"
        raise wrong(node, hint)
    if len(node.value) > longest:
        raise node.error(f"at most {longest} characters are expected")
    return node.value


def name_of(node: Node, longest: int) -> str:
    """Text on one line, without spaces at its ends."""
    text = text_of(node, longest)
    if not text or text != text.strip() or not text.isprintable():
        raise node.error("a name on one line, without spaces at its ends, is expected")
    return text


def number_of(node: Node, least: float) -> float | int:
    """A finite number, also when in quotes."""
    value = node.value
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            raise wrong(node, "a number") from None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong(node, "a number")
    if value < least or value > LARGEST_AMOUNT or math.isnan(value):
        raise node.error(f"a number from {least:g} on is expected")
    return value


def integer_of(node: Node, least: int, most: int = LARGEST_INTEGER) -> int:
    number = number_of(node, least)
    if number != int(number) or number > most:
        raise node.error(f"a whole number from {least} to {most} is expected")
    return int(number)


def flag_of(node: Node) -> bool:
    if isinstance(node.value, bool):
        return node.value
    if isinstance(node.value, str) and node.value.lower() in ("true", "false"):
        return node.value.lower() == "true"
    raise wrong(node, "true or false")


def reference_in(text: str) -> Reference | None:
    """The variable that this whole text refers to, if it does."""
    if text.startswith(_REFERENCE):
        return Reference(text.removeprefix(_REFERENCE))
    if match := _SHELL.fullmatch(text):
        return Reference(match[1], match[2], braced=True)
    return None


def holds_reference(node: Node) -> bool:
    """Whether a scalar refers to a variable, wholly or in parts."""
    return isinstance(node.value, str) and names_variable(node.value)


def names_variable(text: str) -> bool:
    return text.startswith(_REFERENCE) or bool(_SHELL.search(text))


def is_unread(node: Node, desk: Desk) -> bool:
    """Whether a value is a reference where none is read; if so, that is noted."""
    if holds_reference(node):
        desk.note(node, "unsupported", REFERENCE_NOTE)
        return True
    return False


def seconds_of(node: Node) -> float:
    """A time that is not nothing."""
    return number_of(node, SHORTEST_TIME)


def checked_reference(node: Node, text: str) -> Reference | None:
    """`reference_in`, refusing names that no variable can have."""
    reference = reference_in(text)
    if reference and (
        not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", reference.name) or len(reference.name) > 120
    ):
        raise node.error("os.environ/ is followed by the name of a variable")
    return reference


def look_up(reference: Reference, desk: Desk, also: frozenset[str] = frozenset()) -> Found:
    """The variable's value; `also` are names allowed here beside those of SECRET_REFERENCES."""
    if reference.name not in also and not desk.surroundings.may_refer_to(reference.name):
        return Found(
            "", f"{reference.name} is not among SECRET_REFERENCES, so it is not read: not configured"
        )
    value = desk.surroundings.environment.get(reference.name, "")
    if not value:
        return Found("", f"{reference.name} is unset or empty: not configured until it is set")
    return Found(value, "")


def given(fields: Mapping[str, Node], desk: Desk) -> dict[str, Node]:
    """The keys that have a value; the others are noted."""
    for node in fields.values():
        if node.value is None:
            desk.note(node, "inert", "has no value")
    return {name: node for name, node in fields.items() if node.value is not None}
