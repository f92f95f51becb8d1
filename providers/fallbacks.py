"""Models to ask instead of another: which errors lead there, and loops among them."""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum


class On(StrEnum):
    """What a model failed with: a prompt too long for it, a refusal of content, or anything else."""

    ANY = "any"
    CONTEXT_WINDOW = "context_window"
    CONTENT_POLICY = "content_policy"


# How providers call it: codes and words in the bodies of their errors, in lower case.
_TOO_LONG = (
    b"context_length_exceeded",
    b"context length",
    b"context window",
    b"maximum context",
    b"maximum prompt length",
    b"prompt is too long",
    b"input is too long",
    b"too many tokens",
    b"exceeds the available context size",
    b"exceed context limit",
)
_REFUSED = (
    b"content_filter",
    b"content_policy",
    b"content management policy",
    b"content policy",
    b"responsibleaipolicyviolation",
    b"flagged by",
    b"safety system",
)


def cause_of(body: bytes) -> On:
    """What a provider's refusal of the request itself is about, by its words."""
    text = body.lower()
    if any(words in text for words in _TOO_LONG):
        return On.CONTEXT_WINDOW
    return On.CONTENT_POLICY if any(words in text for words in _REFUSED) else On.ANY


type Instead = Mapping[On, tuple[str, ...]]


def loop_through[Node](edges: Iterable[tuple[Node, Node]], start: Node) -> list[Node]:
    """A way along `edges` (from, to) from `start` back to it, both ends included; empty: there is none."""
    ways: dict[Node, list[Node]] = {}
    for model, to in edges:
        ways.setdefault(model, []).append(to)
    paths, seen = [[start]], {start}
    while paths:
        path = paths.pop()
        for to in ways.get(path[-1], ()):
            if to == start:
                return [*path, to]
            if to not in seen:
                seen.add(to)
                paths.append([*path, to])
    return []


def whom_instead(instead: Instead, on: On, asked: Sequence[str]) -> list[str]:
    """The models to ask after an error of this kind, in their order, without those that were `asked` already.

    Those for any error stand in where none are named for a kind.
    """
    names = instead.get(on) or instead.get(On.ANY, ())
    return [name for name in names if name not in asked]
