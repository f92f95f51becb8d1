"""A request of the Messages API -> one of chat completions, field by field."""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, field

from providers.translation import thinking
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
from providers.translation.to_chat_turns import Messages
from providers.translation.tool_choices import can_choose

_LONGEST_USER = 64  # as OpenAI has it; Claude Code's ids are longer
_FORMAT_NAME = "answer"
_WIRE_ONLY = "Only Anthropic's own servers have it."


@dataclass(slots=True)
class ToChat:
    """One request. `cap_param` is what the wire's model calls the cap. Unknown fields are left out.

    `untaken`: what of chat's parameters the model is known to answer with an error.
    """

    cap_param: str
    keep_thoughts: bool
    refusals: Refusals
    untaken: Collection[str] = ()
    out: Json = field(default_factory=dict)

    def translated(self, body: Json) -> Json:
        given = {name: value for name, value in body.items() if value is not None}
        self.out["model"] = text(given.get("model"), "model")
        messages = Messages(self.refusals, self.keep_thoughts)
        messages.system(given.get("system"), "system")
        messages.read(given.get("messages"))
        self.out["messages"] = messages.out
        self._sampling(given)
        self._tools(given)
        self._reasoning(given)
        self._format(given)
        self._end_user(given)
        self._stream(given)
        self._servers_own(given)
        return self.out

    def _sampling(self, given: Json) -> None:
        if "max_tokens" in given:
            self.out[self.cap_param] = whole(given["max_tokens"], "max_tokens")
        for name in ("temperature", "top_p"):
            if name in given:
                self.out[name] = number(given[name], name)
        if "top_k" in given and "top_k" in self.untaken:
            self.refusals.refuse("top_k", "This model has no such parameter.")
        elif "top_k" in given:
            self.out["top_k"] = whole(given["top_k"], "top_k")
        sequences = a_list(given.get("stop_sequences", []), "stop_sequences")
        if sequences:
            self.out["stop"] = [text(each, "stop_sequences") for each in sequences]
        if given.get("service_tier") == "standard_only":
            self.out["service_tier"] = "default"

    def _tools(self, given: Json) -> None:
        tools = [
            _function(tool, where)
            for tool, where in objects(given.get("tools"), "tools")
            if self._is_function(tool, where)
        ]
        choice = an_object(given.get("tool_choice", {}), "tool_choice")
        chosen = self._choice(choice) if choice else None
        if chosen is not None and not can_choose(chosen, tools, self.refusals):
            chosen = None
        if not tools:
            return
        self.out["tools"] = tools
        if chosen is not None:
            self.out["tool_choice"] = chosen
        alone = choice.get("disable_parallel_tool_use")
        if alone is not None and truth(alone, "tool_choice.disable_parallel_tool_use"):
            self.out["parallel_tool_calls"] = False

    def _is_function(self, tool: Json, where: str) -> bool:
        """False for tools that the provider runs or knows itself, where these may be left out."""
        kind = optional_text(tool.get("type"), f"{where}.type")
        if kind in ("", "custom"):
            return True
        self.refusals.refuse(f"{where}.type", f"There is no tool '{kind[:50]}'. {_WIRE_ONLY}")
        return False

    def _choice(self, choice: Json) -> str | Json | None:
        match choice:
            case {"type": "auto" | "none" as word}:
                return str(word)
            case {"type": "any"}:
                return "required"
            case {"type": "tool", "name": str(name)}:
                return {"type": "function", "function": {"name": name}}
        self.refusals.refuse("tool_choice", "It can be auto, any, none, or a tool by its name.")
        return None

    def _reasoning(self, given: Json) -> None:
        """How much to think. Where it is off or up to the model nothing is said: few servers know that.

        Clients ask any model for it (Claude Code does): to one that cannot think nothing is said either.
        """
        config = an_object(given.get("thinking", {}), "thinking")
        effort = an_object(given.get("output_config", {}), "output_config").get("effort")
        match config.get("type"):
            case "disabled":
                return
            case "enabled":
                tokens = whole(config.get("budget_tokens"), "thinking.budget_tokens")
                self.out["reasoning_effort"] = thinking.effort_of(tokens)
        if effort is not None:
            if text(effort, "output_config.effort") in thinking.EFFORTS:
                self.out["reasoning_effort"] = effort
            else:
                self.refusals.refuse("output_config.effort", f"There is no effort '{effort[:50]}'.")
        if "reasoning_effort" in self.untaken:
            self.out.pop("reasoning_effort", None)

    def _format(self, given: Json) -> None:
        """`output_config.format`, or `output_format` as it was called first."""
        wanted, where = given.get("output_format"), "output_format"
        if (newer := an_object(given.get("output_config", {}), "output_config").get("format")) is not None:
            wanted, where = newer, "output_config.format"
        if wanted is None:
            return
        form = an_object(wanted, where)
        if form.get("type") != "json_schema":
            self.refusals.refuse(f"{where}.type", "It can be 'json_schema'.")
            return
        schema = an_object(form.get("schema"), f"{where}.schema")
        named = {"name": _FORMAT_NAME, "schema": schema, "strict": True}
        self.out["response_format"] = {"type": "json_schema", "json_schema": named}

    def _end_user(self, given: Json) -> None:
        metadata = an_object(given.get("metadata", {}), "metadata")
        if user := optional_text(metadata.get("user_id"), "metadata.user_id"):
            self.out["user"] = user if len(user) <= _LONGEST_USER else _digest(user)

    def _stream(self, given: Json) -> None:
        if "stream" not in given:
            return
        self.out["stream"] = truth(given["stream"], "stream")
        if self.out["stream"]:
            self.out["stream_options"] = {"include_usage": True}

    def _servers_own(self, given: Json) -> None:
        """What would change the answer and cannot be had. All other fields that are left are left out."""
        for name in ("mcp_servers", "container"):
            if given.get(name):
                self.refusals.refuse(name, _WIRE_ONLY)


def _function(tool: Json, where: str) -> Json:
    function: Json = {"name": text(tool.get("name"), f"{where}.name")}
    if described := optional_text(tool.get("description"), f"{where}.description"):
        function["description"] = described
    function["parameters"] = an_object(tool.get("input_schema"), f"{where}.input_schema")
    if tool.get("strict") is not None:
        function["strict"] = truth(tool["strict"], f"{where}.strict")
    return {"type": "function", "function": function}


def _digest(user: str) -> str:
    """The same short name each time for one that is too long; 64 characters."""
    return hashlib.sha256(user.encode()).hexdigest()
