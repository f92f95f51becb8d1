"""Models to ask instead of another: which errors lead there, and loops among them."""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum


class On(StrEnum):
    """What a model failed with: a prompt too long for it, a refusal of content, or anything else."""

    ANY = "any"
    CONTEXT_WINDOW = "context_window"
    CONTENT_POLICY = "content_policy"


type Instead = Mapping[On, tuple[str, ...]]


def loop_through(edges: Iterable[tuple[str, str]], start: str) -> list[str]:
    """A way along `edges` (from, to) from `start` back to it, both ends included; empty: there is none."""
    ways: dict[str, list[str]] = {}
    for model, to in edges:
        ways.setdefault(model, []).append(to)
    paths, seen = [[start]], set()
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
