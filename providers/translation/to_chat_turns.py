"""System prompt and turns of the Messages API -> chat's messages."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from providers.translation import data_urls
from providers.translation.reading import (
    Json,
    Malformed,
    a_list,
    an_object,
    objects,
    optional_text,
    text,
    truth,
    write,
)
from providers.translation.refusals import Refusals

_APART = "The result is in the next message."


@dataclass(slots=True)
class Messages:
    """The messages read so far. `keep_thoughts`: servers of open models want `reasoning_content` back."""

    refusals: Refusals
    keep_thoughts: bool
    out: list[Json] = field(default_factory=list)

    def system(self, prompt: object, where: str) -> None:
        """One message in one text: many templates of chat know no other form."""
        if words := [each["text"] for each in self._texts(prompt, where) if each["text"]]:
            self.out.append({"role": "system", "content": "\n\n".join(words)})

    def read(self, messages: object) -> None:
        for message, where in objects(a_list(messages, "messages"), "messages"):
            content = message.get("content")
            match message.get("role"):
                case "user":
                    self._user(content, f"{where}.content")
                case "assistant":
                    self._assistant(content, f"{where}.content")
                case "system":
                    self.system(content, f"{where}.content")
                case str(role):
                    raise self.refusals.unsayable(f"{where}.role", f"There is no role '{role[:50]}'.")
                case _:
                    raise Malformed(f"'{where}.role' must be text.", f"{where}.role")

    def _texts(self, content: object, where: str) -> Iterator[Json]:
        for block, place in _blocks(content, where):
            if block.get("type") != "text":
                raise self.refusals.unsayable(f"{place}.type", "Only text can stand here.")
            yield _text_part(block, place)

    def _user(self, content: object, where: str) -> None:
        """Results of tools first, as chat wants them right after their calls; then all else at once."""
        apart: list[Json] = []
        parts: list[Json] = []
        before = len(self.out)
        for block, place in _blocks(content, where):
            if block.get("type") == "tool_result":
                apart += self._tool_result(block, place)
            else:
                parts += self._parts(block, place)
        match apart + parts:
            case []:
                if len(self.out) == before:
                    self.out.append({"role": "user", "content": ""})
            case [{"type": "text", "text": only}]:
                self.out.append({"role": "user", "content": only})
            case every:
                self.out.append({"role": "user", "content": every})

    def _tool_result(self, block: Json, where: str) -> list[Json]:
        """Add the result's text; gives what chat cannot say there, such as images, for a user's message."""
        call = text(block.get("tool_use_id"), f"{where}.tool_use_id")
        parts = [
            part
            for each, place in _blocks(block.get("content"), f"{where}.content")
            for part in self._parts(each, place)
        ]
        apart = [part for part in parts if part["type"] != "text"]
        said = "\n".join(part["text"] for part in parts if part["type"] == "text")
        if block.get("is_error") is not None and truth(block["is_error"], f"{where}.is_error"):
            said = _as_error(said)
        self.out.append({"role": "tool", "tool_call_id": call, "content": said or (_APART if apart else "")})
        return (
            [{"type": "text", "text": f"From the result of the tool call {call}:"}, *apart] if apart else []
        )

    def _parts(self, block: Json, where: str) -> list[Json]:
        match block.get("type"):
            case "text":
                part = _text_part(block, where)
                return [part] if part["text"] else []
            case "image":
                url = self._image(an_object(block.get("source"), f"{where}.source"), f"{where}.source")
                return [{"type": "image_url", "image_url": {"url": url}}]
            case "document":
                return self._document(block, f"{where}.source")
            case "search_result":
                return self._search_result(block, where)
            case str(kind):
                why = f"A provider of chat completions has no content '{kind[:50]}'."
                raise self.refusals.unsayable(f"{where}.type", why)
            case _:
                raise Malformed(f"'{where}.type' must be text.", f"{where}.type")

    def _image(self, source: Json, where: str) -> str:
        match source:
            case {"type": "base64", "media_type": str(media_type), "data": str(data)}:
                return data_urls.join(media_type, data)
            case {"type": "url", "url": str(url)}:
                return url
        raise self.refusals.unsayable(where, "Images can be base64 or an address.")

    def _document(self, block: Json, where: str) -> list[Json]:
        title = optional_text(block.get("title"), f"{where}.title")
        match an_object(block.get("source"), where):
            case {"type": "base64", "media_type": str(media_type), "data": str(data)}:
                file = {"filename": title or "document.pdf", "file_data": data_urls.join(media_type, data)}
                return [{"type": "file", "file": file}]
            case {"type": "file", "file_id": str(file_id)}:
                return [{"type": "file", "file": {"file_id": file_id}}]
            case {"type": "text", "data": str(data)}:
                return [{"type": "text", "text": f"{title}\n\n{data}" if title else data}]
            case {"type": "content", "content": content}:
                found = _blocks(content, f"{where}.content")
                return [part for each, place in found for part in self._parts(each, place)]
        raise self.refusals.unsayable(where, "Documents can be base64, text, or a file of the provider.")

    def _search_result(self, block: Json, where: str) -> list[Json]:
        head = [optional_text(block.get(name), f"{where}.{name}") for name in ("title", "source")]
        words = [each["text"] for each in self._texts(block.get("content"), f"{where}.content")]
        return [{"type": "text", "text": "\n".join(each for each in (*head, *words) if each)}]

    def _assistant(self, content: object, where: str) -> None:
        said: list[str] = []
        thoughts: list[Json] = []
        calls: list[Json] = []
        for block, place in _blocks(content, where):
            match block.get("type"):
                case "text":
                    said.append(_text_part(block, place)["text"])
                case "thinking" | "redacted_thinking":
                    thoughts.append(block)
                case "tool_use":
                    calls.append(_call(block, place))
                case str(kind):  # what a tool of another provider was asked, or found
                    self.refusals.refuse(f"{place}.type", f"There is no content '{kind[:50]}' in chat.")
                case _:
                    raise Malformed(f"'{place}.type' must be text.", f"{place}.type")
        message: Json = {"role": "assistant", "content": "".join(said) if said or not calls else None}
        if self.keep_thoughts:
            message |= _thoughts(thoughts, where)
        self.out.append(message | ({"tool_calls": calls} if calls else {}))


def _blocks(content: object, where: str) -> Iterator[tuple[Json, str]]:
    """Blocks of content: text is one of its own, null is none."""
    if isinstance(content, str):
        yield {"type": "text", "text": content}, where
    else:
        yield from objects(content, where)


def _text_part(block: Json, where: str) -> Json:
    return {"type": "text", "text": text(block.get("text"), f"{where}.text")}


def _call(block: Json, where: str) -> Json:
    given = write(an_object(block.get("input"), f"{where}.input")).decode()
    function = {"name": text(block.get("name"), f"{where}.name"), "arguments": given}
    return {"id": text(block.get("id"), f"{where}.id"), "type": "function", "function": function}


def _thoughts(blocks: list[Json], where: str) -> Json:
    """Fields for what the model thought: its text, and the blocks if any of them is signed or sealed."""
    words = [optional_text(block.get("thinking"), f"{where}.thinking") for block in blocks]
    fields: Json = {"reasoning_content": joined} if (joined := "".join(words)) else {}
    if any(block.get("signature") or block.get("data") for block in blocks):
        fields["thinking_blocks"] = blocks
    return fields


def _as_error(said: str) -> str:
    """Chat has no field for a tool that failed: its words must say so."""
    return said if said.lower().lstrip("<[").startswith(("error", "tool_use_error")) else f"Error: {said}"
