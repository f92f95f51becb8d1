"""What a model is told to call must be among its tools."""

from collections.abc import Collection

from providers.translation.reading import Json
from providers.translation.refusals import Refusals


def can_choose(choice: str | Json, tools: list[Json], refusals: Refusals) -> bool:
    """Whether chat's tools have what chat's `tool_choice` demands. Raises as `is_there` does."""
    if choice in ("auto", "none"):
        return True
    names = [tool["function"]["name"] for tool in tools]
    return is_there(None if isinstance(choice, str) else choice["function"]["name"], names, refusals)


def is_there(name: str | None, names: Collection[str], refusals: Refusals) -> bool:
    """Whether this tool (None: any) is among the tools; refused, or False where it may be left out."""
    if names and (name is None or name in names):
        return True
    refusals.refuse(
        "tool_choice", f"There is no tool '{name[:80]}' in 'tools'." if name else "There are no tools."
    )
    return False
