"""JSON of others, read with care: each value is of its type, or `Malformed` says where it is not."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from providers.translation import BadAnswer, Untranslatable

type Json = dict[str, Any]

_DECODER = msgspec.json.Decoder()
_ENCODER = msgspec.json.Encoder()


class Malformed(Exception):
    """A value of the wrong type; `where` is its place."""

    def __init__(self, message: str, where: str | None = None) -> None:
        super().__init__(message)
        self.where = where


def parse(data: bytes | str) -> object:
    """Any JSON. Raises `Malformed` for all that is none, too deep or too large a number."""
    try:
        return _DECODER.decode(data)
    except RecursionError:
        raise Malformed("It is nested too deeply.") from None
    except (msgspec.MsgspecError, ValueError) as error:
        raise Malformed(f"It is not valid JSON: {error}.") from None


def parse_object(data: bytes | str) -> Json:
    value = parse(data)
    if not isinstance(value, dict):
        raise Malformed("It is not a JSON object.")
    return value


def is_object(text: str) -> bool:
    """Whether this is one whole JSON object."""
    try:
        parse_object(text)
    except Malformed:
        return False
    return True


def write(value: object) -> bytes:
    """JSON. Raises `Malformed` for what cannot be written, such as half a surrogate pair."""
    try:
        return _ENCODER.encode(value)
    except RecursionError:
        raise Malformed("It is nested too deeply.") from None
    except (msgspec.MsgspecError, ValueError, TypeError) as error:
        raise Malformed(f"It cannot be written as JSON: {error}.") from None


def request_of(body: bytes, translated: Callable[[Json], Json]) -> bytes:
    """A request translated; what is malformed in it is told to the client as `Untranslatable`."""
    try:
        return write(translated(parse_object(body)))
    except Malformed as error:
        text = str(error) if error.where else f"The body cannot be used. {error}"
        raise Untranslatable(text, error.where) from None


def answer_of(data: bytes, translated: Callable[[Json], list[Json]]) -> list[bytes]:
    """Answers or events translated; what is malformed in them is a `BadAnswer`."""
    return written(lambda: translated(parse_object(data)))


def written(told: Callable[[], list[Json]]) -> list[bytes]:
    """What is told, as JSON; what is malformed in it is a `BadAnswer`."""
    try:
        return [write(each) for each in told()]
    except Malformed as error:
        raise BadAnswer(str(error)) from None


def text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise Malformed(f"'{where}' must be text.", where)
    return value


def optional_text(value: object, where: str) -> str:
    """Text; null and nothing are the empty one."""
    return "" if value is None else text(value, where)


def an_object(value: object, where: str) -> Json:
    if not isinstance(value, dict):
        raise Malformed(f"'{where}' must be an object.", where)
    return value


def a_list(value: object, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise Malformed(f"'{where}' must be a list.", where)
    return value


def objects(value: object, where: str) -> Iterator[tuple[Json, str]]:
    """The objects of a list (null: none), each with its place."""
    for index, each in enumerate(a_list([] if value is None else value, where)):
        place = f"{where}[{index}]"
        yield an_object(each, place), place


def number(value: object, where: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise Malformed(f"'{where}' must be a number.", where)
    return value


def whole(value: object, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise Malformed(f"'{where}' must be a whole number.", where)
    return value


def truth(value: object, where: str) -> bool:
    if not isinstance(value, bool):
        raise Malformed(f"'{where}' must be true or false.", where)
    return value


def count(value: object) -> int:
    """Tokens as an answer tells them; what is no count of any is 0."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def part(value: object) -> Json:
    """An object inside of an answer; what is none is an empty one."""
    return value if isinstance(value, dict) else {}
