"""A request of the Responses API -> one of chat completions, field by field."""

from collections.abc import Collection
from dataclasses import dataclass, field

from providers.translation.reading import (
    Json,
    a_list,
    an_object,
    number,
    objects,
    optional_text,
    text,
    truth,
    whole,
)
from providers.translation.refusals import Refusals
from providers.translation.responses_items import Items
from providers.translation.responses_tools import NEEDS_RESPONSES, Tool, Tools
from providers.translation.tool_choices import can_choose, is_there

# What was said before, kept at a provider of its own: never left out.
_KEPT_ELSEWHERE = ("previous_response_id", "conversation", "prompt")
# What only a provider of its own can do, unless it says nothing.
_WIRE_ONLY = (
    "background",
    "max_tool_calls",
    "context_management",
)
# Hints, and what the gateway's answer echoes: without them the answer is the same.
_LEFT_OUT = frozenset(
    {
        "store",
        "metadata",
        "prompt_cache_key",
        "prompt_cache_retention",
        "stream_options",
        "client_metadata",
        "safety_identifier",
    }
)
_READ = frozenset(
    {
        "model", "input", "instructions", "max_output_tokens", "temperature", "top_p", "user", "service_tier",
        "tools", "tool_choice", "parallel_tool_calls", "text", "reasoning", "include", "truncation",
        "top_logprobs", "stream",
    }
)  # fmt: skip
# Chat's own words for what this API says otherwise. Limits were reserved by what this API calls them: these
# would ask the provider for more than that.
_CHATS_OWN = {
    "n": "A response is one answer.",
    "max_tokens": "It is max_output_tokens here.",
    "max_completion_tokens": "It is max_output_tokens here.",
}
# Of `include`: what may be missing in an answer.
_MAY_BE_MISSING = frozenset({"reasoning.encrypted_content", "message.output_text.logprobs"})


@dataclass(slots=True)
class ToChat:
    """One request. `cap_param` is what the wire's model calls the cap; `tools` gets its tools.

    `untaken`: what of chat's parameters the model is known to answer with an error. `asked` is what of the
    request holds: the fields that it gave without those that were left out.

    Fields that nobody knows pass: they may be the provider's own.
    """

    cap_param: str
    keep_thoughts: bool
    refusals: Refusals
    tools: dict[str, Tool]
    untaken: Collection[str] = ()
    out: Json = field(default_factory=dict)
    asked: Json = field(default_factory=dict)

    def translated(self, body: Json) -> Json:
        given = {name: value for name, value in body.items() if value is not None}
        self.asked = dict(given)
        self.out["model"] = text(given.get("model"), "model")
        items = Items(self.refusals, self.keep_thoughts)
        items.system(optional_text(given.get("instructions"), "instructions"))
        items.read(given.get("input", []))
        self.out["messages"] = items.out
        self._sampling(given)
        self._tools(given)
        self._format(an_object(given.get("text", {}), "text"))
        self._reasoning(an_object(given.get("reasoning", {}), "reasoning"))
        self._end_user(given)
        self._stream(given)
        self._only_elsewhere(given)
        self._not_chat(given)
        known = _READ | _LEFT_OUT | {*_WIRE_ONLY, *_KEPT_ELSEWHERE, *_CHATS_OWN}
        passed = {name: value for name, value in given.items() if name not in known}
        return passed | self.out  # what was translated is never replaced by a field that merely has its name

    def _sampling(self, given: Json) -> None:
        if "max_output_tokens" in given:
            self.out[self.cap_param] = whole(given["max_output_tokens"], "max_output_tokens")
        for name in ("temperature", "top_p"):
            if name in given:
                self.out[name] = number(given[name], name)
        if tier := optional_text(given.get("service_tier"), "service_tier"):
            self.out["service_tier"] = tier
        wants = "message.output_text.logprobs" in self._includes(given)
        most = whole(given.get("top_logprobs", 0), "top_logprobs")
        if wants or most:
            self.out["logprobs"] = True
        if most:
            self.out["top_logprobs"] = most

    def _includes(self, given: Json) -> list[str]:
        wanted = [text(each, "include") for each in a_list(given.get("include", []), "include")]
        for name in wanted:
            if name not in _MAY_BE_MISSING:
                self.refusals.refuse("include", f"'{name[:80]}' cannot be had. {NEEDS_RESPONSES}")
        return wanted

    # --- tools ---------------------------------------------------------------------------------

    def _tools(self, given: Json) -> None:
        read = Tools(self.refusals, self.tools)
        read.read(given.get("tools"), given.get("input"))
        self.asked["tools"] = read.given
        tools = list(read.functions.values())
        choice, allowed = self._choice(given.get("tool_choice"))
        if allowed is not None:
            for name in sorted(allowed):
                is_there(name, read.functions, self.refusals)
            tools = [tool for tool in tools if tool["function"]["name"] in allowed]
        if choice is not None and not can_choose(choice, tools, self.refusals):
            choice = None
        if choice is None or not tools:
            self.asked.pop("tool_choice", None)
        if not tools:
            return
        self.out["tools"] = tools
        if choice is not None:
            self.out["tool_choice"] = choice
        if "parallel_tool_calls" in given:
            self.out["parallel_tool_calls"] = truth(given["parallel_tool_calls"], "parallel_tool_calls")

    def _choice(self, value: object) -> tuple[str | Json | None, set[str] | None]:
        """What to choose, and of which tools if not of all."""
        if value is None:
            return None, None
        if isinstance(value, str) and value in ("auto", "none", "required"):
            return value, None
        choice = an_object(value, "tool_choice")
        match choice:
            case {"type": "function" | "custom", "name": str(name)}:
                return {"type": "function", "function": {"name": name}}, None
            case {"type": "allowed_tools", "tools": list(tools)}:
                allowed = [pair for pair in objects(tools, "tool_choice.tools") if self._has_name(*pair)]
                names = {text(tool.get("name"), f"{place}.name") for tool, place in allowed}
                self.asked["tool_choice"] = choice | {"tools": [tool for tool, _ in allowed]}
                mode = optional_text(choice.get("mode"), "tool_choice.mode")
                return mode or "auto", names
        self.refusals.refuse("tool_choice", "It can be auto, none, required, or tools by their names.")
        return None, None

    def _has_name(self, tool: Json, where: str) -> bool:
        """Whether this is a tool that chat knows, too: others (of an MCP server) may have no name."""
        kind = optional_text(tool.get("type", "function"), f"{where}.type")
        if kind in ("function", "custom"):
            return True
        self.refusals.refuse(f"{where}.type", f"There is no tool '{kind[:50]}'. {NEEDS_RESPONSES}")
        return False

    # --- the answer's form ---------------------------------------------------------------------

    def _format(self, config: Json) -> None:
        if verbosity := optional_text(config.get("verbosity"), "text.verbosity"):
            self.out["verbosity"] = verbosity
        form = an_object(config.get("format") or {}, "text.format")
        match form.get("type", "text"):
            case "text":
                return
            case "json_object":
                self.out["response_format"] = {"type": "json_object"}
            case "json_schema":
                named: Json = {"name": text(form.get("name"), "text.format.name")}
                if described := optional_text(form.get("description"), "text.format.description"):
                    named["description"] = described
                named["schema"] = an_object(form.get("schema"), "text.format.schema")
                if form.get("strict") is not None:
                    named["strict"] = truth(form["strict"], "text.format.strict")
                self.out["response_format"] = {"type": "json_schema", "json_schema": named}
            case _:
                self.refusals.refuse("text.format.type", "It can be text, json_object or json_schema.")
                self.asked["text"] = {**config, "format": {"type": "text"}}

    def _reasoning(self, config: Json) -> None:
        effort = optional_text(config.get("effort"), "reasoning.effort")
        if effort and "reasoning_effort" in self.untaken:
            if effort != "none":
                self.refusals.refuse("reasoning.effort", "This model knows no effort.")
            effort = ""
        if effort:
            self.out["reasoning_effort"] = effort
        if config:
            self.asked["reasoning"] = {"effort": effort or None, "summary": None}

    def _end_user(self, given: Json) -> None:
        for name in ("user", "safety_identifier"):
            if user := optional_text(given.get(name), name):
                self.out["user"] = user
                return

    def _stream(self, given: Json) -> None:
        if "stream" in given and truth(given["stream"], "stream"):
            self.out["stream"] = True
            self.out["stream_options"] = {"include_usage": True}

    def _only_elsewhere(self, given: Json) -> None:
        for name in _KEPT_ELSEWHERE:
            if given.get(name):
                raise self.refusals.unsayable(name, NEEDS_RESPONSES)
        for name in _WIRE_ONLY:
            if given.get(name):
                self.refusals.refuse(name, NEEDS_RESPONSES)
                del self.asked[name]
        if optional_text(given.get("truncation"), "truncation") not in ("", "disabled"):
            self.refusals.refuse("truncation", NEEDS_RESPONSES)
            del self.asked["truncation"]

    def _not_chat(self, given: Json) -> None:
        if "messages" in given:
            raise self.refusals.unsayable("messages", "It is input here.")
        for name, why in _CHATS_OWN.items():
            if name in given and (name != "n" or given[name] != 1):
                self.refusals.refuse(name, why)
