"""What a model may be called beside its name: every name stands for one model."""

from collections.abc import Mapping

from providers.patterns import is_pattern

LONGEST_NAME = 200


def is_name(text: str) -> bool:
    """Whether clients can ask for it: one line without spaces at its ends."""
    return bool(text) and text == text.strip() and text.isprintable() and len(text) <= LONGEST_NAME


def problems_of(name: str, lists: Mapping[str, object], others: Mapping[str, str]) -> dict[str, str]:
    """What is wrong with a model's name and its lists of aliases, by field.

    `others` are the names and aliases of the other models, and which model each means.
    """
    owner = others.get(name, name)
    found = {} if owner == name else {"name": f"'{name}' is an alias of the model '{owner}'."}
    seen = {name}
    for field, names in lists.items():
        if problem := _problem(names, seen, others):
            found[field] = problem
    return found


def _problem(names: object, seen: set[str], others: Mapping[str, str]) -> str:
    """What is wrong with a list, or ""; its names are added to those `seen`."""
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return 'This is a list of names, such as ["small"].'
    for name in names:
        if not is_name(name):
            return f"'{name[:40]}' is no name: one line of at most {LONGEST_NAME} characters is expected."
        if is_pattern(name):
            return f"'{name}' has a star: only the name of a model itself may be a wildcard."
        if name in seen:
            return f"'{name}' is among the names of this model twice."
        if owner := others.get(name):
            what = "another model" if owner == name else f"an alias of the model '{owner}'"
            return f"'{name}' is {what} already."
        seen.add(name)
    return ""
