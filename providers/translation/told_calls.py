"""Calls of tools as chat tells them: whole, or in pieces that a stream brings.

A number (`index`) says whose piece it is, but not every server numbers: an id or a name that is not the last
call's begins another one, and so does a name after arguments that were whole.
"""

from dataclasses import dataclass, field

from providers.translation.reading import (
    Json,
    Malformed,
    an_object,
    is_object,
    objects,
    optional_text,
    part,
)

_LEGACY = -1  # the number of what `function_call` tells, which has none


@dataclass(slots=True, eq=False)
class ToldCall:
    """As much of one call as has come; `place` is its own among the calls of the answer."""

    place: int
    number: int | None = None
    id: str = ""
    name: str = ""
    pieces: list[str] = field(default_factory=list)

    def is_whole(self) -> bool:
        """Whether its arguments can have no more pieces."""
        last = next((piece.rstrip() for piece in reversed(self.pieces) if piece.strip()), "")
        return last.endswith("}") and is_object("".join(self.pieces))


@dataclass(slots=True)
class ToldCalls:
    """All calls of one streamed answer."""

    calls: list[ToldCall] = field(default_factory=list)

    def take(self, delta: Json, where: str) -> list[tuple[ToldCall, str]]:
        """The pieces of arguments in a delta, each with the call that it was added to."""
        return [self._piece(call, place) for call, place in calls_of(delta, where)]

    def _piece(self, call: Json, where: str) -> tuple[ToldCall, str]:
        function = part(call.get("function"))
        id = optional_text(call.get("id"), f"{where}.id")
        name = optional_text(function.get("name"), f"{where}.function.name")
        piece = optional_text(function.get("arguments"), f"{where}.function.arguments")
        number = call.get("index")
        if number is not None and not isinstance(number, int):
            raise Malformed("The number of a tool call must be whole.")
        known = self._known(number, id)
        if known is None or _is_another(known, id, name, piece):
            known = ToldCall(len(self.calls), number)
            self.calls.append(known)
        known.id = known.id or id
        known.name = known.name or name
        if piece:
            known.pieces.append(piece)
        return known, piece

    def _known(self, number: int | None, id: str) -> ToldCall | None:
        """The call that has this id, else the last one of this number."""
        alike = [call for call in reversed(self.calls) if number is None or call.number == number]
        return next((call for call in alike if id and call.id == id), alike[0] if alike else None)


def calls_of(message: Json, where: str) -> list[tuple[Json, str]]:
    """The calls in a message or a delta, each with its place; that of older servers (`function_call`) too."""
    calls = list(objects(message.get("tool_calls"), f"{where}.tool_calls"))
    legacy = message.get("function_call")
    if calls or not legacy:
        return calls
    where = f"{where}.function_call"
    return [({"index": _LEGACY, "function": an_object(legacy, where)}, where)]


def _is_another(known: ToldCall, id: str, name: str, piece: str) -> bool:
    """Whether this begins a call of its own, though it has the number of a known one, or none."""
    if id and known.id:
        # without a name it can only go on: some servers make up an id for each piece
        return id != known.id and (bool(name) or known.number is None)
    if not name or not known.name:
        return False
    return name != known.name or (bool(piece) and known.is_whole())
