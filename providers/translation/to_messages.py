"""A request of chat completions -> one of the Messages API, field by field."""

from collections.abc import Callable
from dataclasses import dataclass, field

from providers.translation import thinking
from providers.translation.reading import (
    Json,
    Malformed,
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
from providers.translation.to_messages_turns import Turns
from providers.translation.tool_choices import is_there

# The wire's own fields, for clients that know whom they talk to.
_ITS_OWN = (
    "thinking",
    "top_k",
    "mcp_servers",
    "context_management",
    "container",
    "cache_control",
    "inference_geo",
    "speed",
    "diagnostics",
    "user_profile_id",
)
# What says nothing of the answer: how the client wants usage told, and hints for caches.
_NO_MATTER = frozenset(
    {"stream_options", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"}
)
# Values that ask for nothing; any other value of these fields cannot be said. Null asks for nothing anywhere.
_NEUTRAL: dict[str, tuple[object, ...]] = {
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "store": (False,),
    "verbosity": ("medium",),
    "modalities": (["text"],),
    "functions": ([],),
    "function_call": ("none", "auto"),
}
_TIERS = {"auto": "auto", "default": "standard_only", "standard_only": "standard_only"}
# A higher cap than any model's output is how clients say that they want none.
_HIGHEST_CAP = 1_000_000
_NO_PARAMETERS = {"type": "object", "properties": {}}


@dataclass(slots=True)
class ToMessages:
    """One request. `default_output` is the cap for a client that named none, as the wire wants one."""

    default_output: int
    adaptive: bool
    refusals: Refusals
    out: Json = field(default_factory=dict)

    def translated(self, body: Json) -> Json:
        given = {name: value for name, value in body.items() if value is not None}
        self.out["model"] = text(given.pop("model", None), "model")
        self._messages(given.pop("messages", None))
        self.out["max_tokens"] = self._cap(given)
        self._tools(given)
        self._reasoning(given)
        self._end_user(given)
        for name, value in given.items():
            self._field(name, value)
        self._free_of_thoughts()
        return self.out

    def _messages(self, messages: object) -> None:
        turns = Turns(self.refusals)
        turns.read(a_list(messages, "messages"))
        if not turns.turns:
            raise Malformed("'messages' must hold a message of a user.", "messages")
        match turns.system:
            case []:
                pass
            case [{"type": "text", "text": only, **rest}] if not rest:
                self.out["system"] = only
            case blocks:
                self.out["system"] = blocks
        self.out["messages"] = [_plain(turn) for turn in turns.turns]

    def _cap(self, given: Json) -> int:
        caps = [given.pop(name, None) for name in ("max_completion_tokens", "max_tokens")]
        cap = next((whole(cap, "max_tokens") for cap in caps if cap is not None), self.default_output)
        return cap if cap <= _HIGHEST_CAP else self.default_output

    def _reasoning(self, given: Json) -> None:
        """`reasoning_effort`, where the client does not say it in the wire's own words."""
        output = given.pop("output_config", None)
        if output is not None:
            self.out["output_config"] = dict(an_object(output, "output_config"))
        effort = given.pop("reasoning_effort", None)
        if effort is None or "thinking" in given:
            return
        if text(effort, "reasoning_effort") not in thinking.EFFORTS:
            self.refusals.refuse("reasoning_effort", f"There is no effort '{effort[:50]}'.")
        elif effort == "none":
            self.out["thinking"] = {"type": "disabled"}
        elif self.adaptive:
            how, word = thinking.adaptive(effort)
            self.out["output_config"] = {"effort": word, **self.out.get("output_config", {})}
            if not self._must_call():
                self.out["thinking"] = how
        elif not (self._must_call() or _lost_thoughts(self.out["messages"])):
            self._budget(effort)

    def _budget(self, effort: str) -> None:
        if tokens := thinking.budget(effort, self.out["max_tokens"]):
            self.out["thinking"] = {"type": "enabled", "budget_tokens": tokens}

    def _must_call(self) -> bool:
        """Whether the model has to call a tool: the wire lets none think that must."""
        return self.out.get("tool_choice", {}).get("type") in ("any", "tool")

    def _tools(self, given: Json) -> None:
        tools = [self._tool(tool, where) for tool, where in objects(given.pop("tools", None), "tools")]
        choice = given.pop("tool_choice", None)
        parallel = given.pop("parallel_tool_calls", None)
        alone = parallel is not None and not truth(parallel, "parallel_tool_calls")
        chosen = None if choice is None else self._choice(choice, [tool["name"] for tool in tools])
        if not tools:
            return
        self.out["tools"] = tools
        if alone and (chosen is None or chosen["type"] != "none"):
            chosen = {**(chosen or {"type": "auto"}), "disable_parallel_tool_use": True}
        if chosen is not None:
            self.out["tool_choice"] = chosen

    def _tool(self, tool: Json, where: str) -> Json:
        match tool:
            case {"type": "function"} | {"function": dict()}:
                return _function(tool, an_object(tool.get("function"), f"{where}.function"), where)
            case {"type": str(kind), "name": str()} if kind != "custom":
                return tool  # one of the provider's own, such as `web_search_20250305`
        raise self.refusals.unsayable(
            f"{where}.type", "Tools are functions, or the provider's own by type and name."
        )

    def _choice(self, choice: object, names: list[str]) -> Json | None:
        match choice:
            case "none" | "auto":
                return {"type": choice}
            case "required":
                return {"type": "any"} if is_there(None, names, self.refusals) else None
            case {"type": "function", "function": {"name": str(name)}}:
                return {"type": "tool", "name": name} if is_there(name, names, self.refusals) else None
            case str() | {"type": str()}:
                self.refusals.refuse("tool_choice", "It can be none, auto, required, or a function's name.")
                return None
        raise Malformed("'tool_choice' must be text or an object with a type.", "tool_choice")

    def _end_user(self, given: Json) -> None:
        """Whom it is for. All else in `metadata` is the client's own bookkeeping, and the wire refuses it."""
        metadata = an_object(given.pop("metadata", {}), "metadata")
        names = [given.pop("user", None), given.pop("safety_identifier", None), metadata.get("user_id")]
        if user := next((name for name in names if name is not None), None):
            self.out["metadata"] = {"user_id": text(user, "user")}

    def _field(self, name: str, value: object) -> None:
        if name in _ITS_OWN:
            self.out[name] = value
        elif reader := _READERS.get(name):
            reader(self, value)
        elif name not in _NO_MATTER and not _asks_for_nothing(name, value):
            self.refusals.refuse(name)

    def _stream(self, value: object) -> None:
        self.out["stream"] = truth(value, "stream")

    def _temperature(self, value: object) -> None:
        wanted = number(value, "temperature")
        if wanted > 1:
            self.refusals.refuse("temperature", "This provider takes 0 to 1.")
        self.out["temperature"] = min(wanted, 1)

    def _top_p(self, value: object) -> None:
        self.out["top_p"] = number(value, "top_p")

    def _stop(self, value: object) -> None:
        sequences = [value] if isinstance(value, str) else a_list(value, "stop")
        if sequences:
            self.out["stop_sequences"] = [text(each, "stop") for each in sequences]

    def _format(self, value: object) -> None:
        wanted = an_object(value, "response_format")
        match text(wanted.get("type"), "response_format.type"):
            case "text":
                pass
            case "json_schema":
                named = an_object(wanted.get("json_schema"), "response_format.json_schema")
                schema = an_object(named.get("schema"), "response_format.json_schema.schema")
                form = {"type": "json_schema", "schema": schema}
                self.out["output_config"] = {**self.out.get("output_config", {}), "format": form}
            case _:
                self.refusals.refuse("response_format", "This provider takes 'json_schema' (or tools).")

    def _tier(self, value: object) -> None:
        if tier := _TIERS.get(text(value, "service_tier")):
            self.out["service_tier"] = tier
        else:
            self.refusals.refuse("service_tier", "This provider knows 'auto' and 'default'.")

    def _free_of_thoughts(self) -> None:
        """A model that thinks takes no sampling: with `drop` that gives way, else the wire refuses it."""
        thinks = isinstance(self.out.get("thinking"), dict) and self.out["thinking"].get("type") != "disabled"
        if thinks and self.refusals.drop:
            for name in ("temperature", "top_k"):
                self.out.pop(name, None)


_READERS: dict[str, Callable[[ToMessages, object], None]] = {
    "stream": ToMessages._stream,
    "temperature": ToMessages._temperature,
    "top_p": ToMessages._top_p,
    "stop": ToMessages._stop,
    "response_format": ToMessages._format,
    "service_tier": ToMessages._tier,
}


def _function(tool: Json, function: Json, where: str) -> Json:
    where = f"{where}.function"
    schema = an_object(function.get("parameters") or _NO_PARAMETERS, f"{where}.parameters")
    made: Json = {"name": text(function.get("name"), f"{where}.name")}
    if described := optional_text(function.get("description"), f"{where}.description"):
        made["description"] = described
    made["input_schema"] = schema if "type" in schema else {"type": "object", **schema}
    if function.get("strict") is not None:
        made["strict"] = truth(function["strict"], f"{where}.strict")
    mark = tool.get("cache_control", function.get("cache_control"))
    return made if mark is None else {**made, "cache_control": mark}


def _asks_for_nothing(name: str, value: object) -> bool:
    # 0 is False to Python: `n: true` is no 1
    return any(
        value == each and isinstance(value, bool) == isinstance(each, bool) for each in _NEUTRAL.get(name, ())
    )


def _lost_thoughts(turns: list[Json]) -> bool:
    """Whether the model called tools last, and its client kept none of what it thought before.

    The wire refuses to go on thinking then; an effort is only a wish.
    """
    last: object = next((turn["content"] for turn in reversed(turns) if turn["role"] == "assistant"), [])
    kinds = {block["type"] for block in last} if isinstance(last, list) else set()
    return "tool_use" in kinds and not kinds & {"thinking", "redacted_thinking"}


def _plain(turn: Json) -> Json:
    """A turn that is one text and nothing else says so in the short form."""
    match turn["content"]:
        case [{"type": "text", "text": only, **rest}] if not rest:
            return {"role": turn["role"], "content": only}
    return turn
