"""The items of a Responses input -> chat's messages."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from providers.translation.reading import (
    Json,
    Malformed,
    a_list,
    an_object,
    objects,
    optional_text,
    text,
    write,
)
from providers.translation.refusals import Refusals
from providers.translation.responses_tools import chats_name

# What a provider did with tools of its own, before an answer that is there too. All other items hold
# what somebody said or got.
_HISTORY = frozenset({"web_search_call", "file_search_call", "code_interpreter_call", "mcp_list_tools"})
_APART = "The result is in the next message."


@dataclass(slots=True)
class Items:
    """The messages read so far; what belongs to one turn of the assistant is one message.

    `keep_thoughts`: servers of open models want `reasoning_content` back.
    """

    refusals: Refusals
    keep_thoughts: bool
    out: list[Json] = field(default_factory=list)
    _turn: Json = field(default_factory=dict)
    _calls: set[str] = field(default_factory=set)
    _apart: list[Json] = field(default_factory=list)  # what a tool gave that chat cannot say as its result

    def read(self, given: object) -> None:
        """`input`: text of the user, or items."""
        if isinstance(given, str):
            self.out.append({"role": "user", "content": given})
            return
        for item, where in objects(a_list(given, "input"), "input"):
            self._item(item, where)
        self._end_results()
        self._end_turn()

    def system(self, words: str) -> None:
        """At the beginning all in one message: many templates of chat know no other form."""
        if not words:
            return
        if self.out and self.out[-1]["role"] == "system":
            self.out[-1]["content"] += f"\n\n{words}"
        else:
            self.out.append({"role": "system", "content": words})

    def _item(self, item: Json, where: str) -> None:
        kind = item.get("type", "message")
        if kind not in ("function_call_output", "custom_tool_call_output"):
            self._end_results()
        match kind:
            case "message":
                self._message(item, where)
            case "function_call":
                self._call(item, where, text(item.get("arguments"), f"{where}.arguments"))
            case "custom_tool_call":
                given = text(item.get("input"), f"{where}.input")
                self._call(item, where, write({"input": given}).decode())
            case "function_call_output" | "custom_tool_call_output":
                self._result(item, where)
            case "reasoning":
                self._thoughts(item, where)
            case "additional_tools":
                pass  # they are among the tools
            case str(other):
                why = f"A provider of chat completions has no item '{other[:50]}'."
                if other == "web_search_call":
                    self.refusals.leave_out(f"{where}.type", why)  # it tells only for what was searched
                    return
                if other not in _HISTORY:
                    raise self.refusals.unsayable(f"{where}.type", why)
                self.refusals.refuse(f"{where}.type", why)
            case _:
                raise Malformed(f"'{where}.type' must be text.", f"{where}.type")

    def _message(self, item: Json, where: str) -> None:
        match item.get("role"):
            case "assistant":
                self._said(item.get("content"), f"{where}.content")
                return
            case "system" | "developer":
                self._end_turn()
                self.system(self._words(item.get("content"), f"{where}.content"))
            case "user":
                self._end_turn()
                parts = list(self._parts(item.get("content"), f"{where}.content"))
                self.out.append({"role": "user", "content": _shortest(parts)})
            case str(role):
                raise self.refusals.unsayable(f"{where}.role", f"There is no role '{role[:50]}'.")
            case _:
                raise Malformed(f"'{where}.role' must be text.", f"{where}.role")

    # --- the assistant's turn ------------------------------------------------------------------

    def _said(self, content: object, where: str) -> None:
        """One more message of this turn; its parts are pieces of one text."""
        said: dict[str, str] = {}
        for part, place in _content(content, where):
            match part.get("type"):
                case "output_text" | "input_text" | "text":
                    name, words = "content", text(part.get("text"), f"{place}.text")
                case "refusal":
                    name, words = "refusal", text(part.get("refusal"), f"{place}.refusal")
                case _:
                    raise self.refusals.unsayable(f"{place}.type", "Here can be output_text and refusal.")
            said[name] = said.get(name, "") + words
        for name, words in said.items():
            self._add(name, words)
        self._turn.setdefault("content", "")

    def _add(self, name: str, words: str) -> None:
        before = self._turn.get(name)
        self._turn[name] = f"{before}\n{words}" if before else words

    def _call(self, item: Json, where: str, arguments: str) -> None:
        namespace = optional_text(item.get("namespace"), f"{where}.namespace")
        name = chats_name(text(item.get("name"), f"{where}.name"), namespace)
        function = {"name": name, "arguments": arguments}
        id = text(item.get("call_id"), f"{where}.call_id")
        self._calls.add(id)
        call = {"id": id, "type": "function", "function": function}
        self._turn.setdefault("tool_calls", []).append(call)

    def _thoughts(self, item: Json, where: str) -> None:
        """What is encrypted only its maker can read: it is left out."""
        said = [
            optional_text(part.get("text"), f"{place}.text")
            for name in ("content", "summary")
            for part, place in objects(item.get(name), f"{where}.{name}")
        ]
        words = "\n".join(each for each in said if each)
        if words and self.keep_thoughts:
            self._add("reasoning_content", words)

    def _end_turn(self) -> None:
        if not self._turn.keys() - {"reasoning_content"}:
            self._turn = {}
            return
        self.out.append({"role": "assistant", "content": None, **self._turn})
        self._turn = {}

    # --- results of tools ----------------------------------------------------------------------

    def _result(self, item: Json, where: str) -> None:
        self._end_turn()
        call = text(item.get("call_id"), f"{where}.call_id")
        if call not in self._calls:
            raise self.refusals.unsayable(f"{where}.call_id", "No call before it in the input has this id.")
        parts = list(self._parts(item.get("output"), f"{where}.output"))
        said = "\n".join(part["text"] for part in parts if part["type"] == "text")
        apart = [part for part in parts if part["type"] != "text"]
        self.out.append({"role": "tool", "tool_call_id": call, "content": said or (_APART if apart else "")})
        if apart:
            self._apart += [{"type": "text", "text": f"From the result of the tool call {call}:"}, *apart]

    def _end_results(self) -> None:
        if self._apart:
            self.out.append({"role": "user", "content": self._apart})
            self._apart = []

    # --- content -------------------------------------------------------------------------------

    def _words(self, content: object, where: str) -> str:
        parts = list(self._parts(content, where))
        if any(part["type"] != "text" for part in parts):
            raise self.refusals.unsayable(where, "Only text can stand here.")
        return "\n\n".join(part["text"] for part in parts if part["text"])

    def _parts(self, content: object, where: str) -> Iterator[Json]:
        for part, place in _content(content, where):
            match part.get("type"):
                case "input_text" | "output_text" | "text":
                    yield {"type": "text", "text": text(part.get("text"), f"{place}.text")}
                case "input_image":
                    yield self._image(part, place)
                case "input_file":
                    yield self._file(part, place)
                case "input_audio":
                    sound = an_object(part.get("input_audio"), f"{place}.input_audio")
                    yield {"type": "input_audio", "input_audio": sound}
                case str(kind):
                    why = f"A provider of chat completions has no content '{kind[:50]}'."
                    raise self.refusals.unsayable(f"{place}.type", why)
                case _:
                    raise Malformed(f"'{place}.type' must be text.", f"{place}.type")

    def _image(self, part: Json, where: str) -> Json:
        if part.get("file_id") is not None:
            raise self.refusals.unsayable(f"{where}.file_id", "Send the image itself, as a data URL.")
        image: Json = {"url": text(part.get("image_url"), f"{where}.image_url")}
        if detail := optional_text(part.get("detail"), f"{where}.detail"):
            image["detail"] = detail
        return {"type": "image_url", "image_url": image}

    def _file(self, part: Json, where: str) -> Json:
        for name in ("file_id", "file_url"):
            if part.get(name) is not None:
                raise self.refusals.unsayable(f"{where}.{name}", "Send the file itself, as file_data.")
        file: Json = {"file_data": text(part.get("file_data"), f"{where}.file_data")}
        if name := optional_text(part.get("filename"), f"{where}.filename"):
            file["filename"] = name
        return {"type": "file", "file": file}


def _content(content: object, where: str) -> Iterator[tuple[Json, str]]:
    if isinstance(content, str):
        return iter([({"type": "input_text", "text": content}, where)])
    return objects(a_list(content, where), where)


def _shortest(parts: list[Json]) -> str | list[Json]:
    """Many servers know content only as text."""
    match parts:
        case []:
            return ""
        case [{"type": "text", "text": str(only)}]:
            return only
    return parts
