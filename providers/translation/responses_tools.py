"""The tools of a Responses request -> chat's functions, and by what names their calls go back."""

import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from providers.translation.reading import Json, an_object, objects, optional_text, text, truth
from providers.translation.refusals import Refusals

NEEDS_RESPONSES = "It needs a provider that serves /v1/responses itself."
ADDITIONAL_TOOLS = "additional_tools"  # an item of the input
_ITS_CLIENTS = ("function", "custom", "namespace")  # kinds of tools that the client runs
# What a provider may do by itself and Codex offers to every model: beside tools of the client's own these are
# offers that a model without them does not take. A request of nothing else wants exactly these.
_OFFERS = re.compile(r"(web_search|image_generation|tool_search)(_|$)")
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_-]")
_LONGEST_NAME = 64


@dataclass(frozen=True, slots=True)
class Tool:
    """What the client calls a tool. `custom`: it takes any text."""

    name: str
    namespace: str = ""
    custom: bool = False


@dataclass(slots=True)
class Tools:
    """The tools of one request, and chat's `functions` for them; both by the names of the functions."""

    refusals: Refusals
    known: dict[str, Tool]
    given: list[Json] = field(default_factory=list)  # those that were not left out
    functions: dict[str, Json] = field(default_factory=dict)

    def read(self, value: object, items: object) -> None:
        """`tools`, and those that items of the input add to them."""
        given, added = list(objects(value, "tools")), list(_added(items))
        beside = any(tool.get("type") in _ITS_CLIENTS for tool, _ in given + added)
        for place, (tool, where) in enumerate(given + added):
            made = list(self._functions(tool, where, beside))
            # one that is offered again is the newer one
            self.functions |= {function["function"]["name"]: function for function in made}
            if made and place < len(given):
                self.given.append(tool)

    def _functions(self, tool: Json, where: str, beside: bool) -> Iterator[Json]:
        kind = optional_text(tool.get("type"), f"{where}.type")
        if kind == "namespace":
            space = text(tool.get("name"), f"{where}.name")
            for each, place in objects(tool.get("tools"), f"{where}.tools"):
                if each.get("type") not in ("function", "custom"):
                    raise self.refusals.unsayable(f"{place}.type", "Here can be function and custom.")
                yield self._function(each, place, space)
        elif kind in ("function", "custom"):
            yield self._function(tool, where)
        elif beside and _OFFERS.match(kind):
            self.refusals.leave_out(f"{where}.type", f"The provider has no tool '{kind[:50]}'.")
        else:
            self.refusals.refuse(f"{where}.type", f"There is no tool '{kind[:50]}'. {NEEDS_RESPONSES}")

    def _function(self, tool: Json, where: str, namespace: str = "") -> Json:
        name = text(tool.get("name"), f"{where}.name")
        custom = tool["type"] == "custom"
        flat = chats_name(name, namespace)
        named = Tool(name, namespace, custom)
        if self.known.setdefault(flat, named) != named:
            raise self.refusals.unsayable(f"{where}.name", f"There are two tools '{flat}'.")
        return _free_form(tool, flat, where) if custom else _plain(tool, flat, where)


def called(known: Mapping[str, Tool], name: str) -> Tool:
    """The tool that a model calls by this name; some leave its namespace out."""
    if name in known:
        return known[name]
    same = [tool for tool in known.values() if tool.name == name]
    return same[0] if len(same) == 1 else Tool(name)


def _added(items: object) -> Iterator[tuple[Json, str]]:
    if isinstance(items, list):
        for item, where in objects(items, "input"):
            if item.get("type") == ADDITIONAL_TOOLS:
                yield from objects(item.get("tools"), f"{where}.tools")


def chats_name(name: str, namespace: str) -> str:
    """The name of the function that stands for a tool; chat knows no namespaces."""
    if not namespace:
        return name
    whole = f"{namespace}{'' if namespace.endswith('__') else '__'}{name}"
    flat = _NOT_IN_NAMES.sub("_", whole)
    if flat == whole and len(flat) <= _LONGEST_NAME:
        return flat
    return f"{flat[: _LONGEST_NAME - 9]}_{zlib.crc32(whole.encode(errors='replace')):08x}"


def _plain(tool: Json, name: str, where: str) -> Json:
    function: Json = {"name": name}
    if described := optional_text(tool.get("description"), f"{where}.description"):
        function["description"] = described
    function["parameters"] = an_object(
        tool.get("parameters") or {"type": "object", "properties": {}}, f"{where}.parameters"
    )
    if tool.get("strict") is not None:
        function["strict"] = truth(tool["strict"], f"{where}.strict")
    return {"type": "function", "function": function}


def _free_form(tool: Json, name: str, where: str) -> Json:
    """A tool that takes any text, as a function of one text; its grammar is told in words."""
    described = optional_text(tool.get("description"), f"{where}.description")
    form = an_object(tool.get("format") or {}, f"{where}.format")
    if form.get("type") == "grammar":
        syntax = text(form.get("syntax"), f"{where}.format.syntax")
        rules = text(form.get("definition"), f"{where}.format.definition")
        described = f"{described}\n\nThe input follows this grammar ({syntax}):\n{rules}".strip()
    schema = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
    function = {"name": name, "description": described, "parameters": schema}
    return {"type": "function", "function": {name: value for name, value in function.items() if value}}
