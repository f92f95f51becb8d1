"""Finding what somebody meant to write."""

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str:
    """`, did you mean X?` for a name close to a known one, else ""."""
    found = difflib.get_close_matches(name.lower()[:60], sorted(known), n=1, cutoff=0.75)
    return f"; did you mean {found[0]}?" if found else ""
