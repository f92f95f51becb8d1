"""Chat's messages -> the system prompt and the alternating turns of the Messages API."""

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from providers.translation import data_urls
from providers.translation.reading import (
    Json,
    Malformed,
    a_list,
    an_object,
    objects,
    optional_text,
    parse_object,
    text,
)
from providers.translation.refusals import Refusals

_NOT_IN_IDS = re.compile(r"[^a-zA-Z0-9_-]")
_LISTEN = "The Messages API takes no audio."


@dataclass(slots=True)
class Turns:
    """What has been read of the messages so far: blocks of the system prompt, and turns."""

    refusals: Refusals
    system: list[Json] = field(default_factory=list)
    turns: list[Json] = field(default_factory=list)

    def read(self, messages: object) -> None:
        for message, where in objects(messages, "messages"):
            match message.get("role"):
                case "system" | "developer":
                    self.system += self._texts(message, where)
                case "user":
                    self._add("user", self._user_blocks(message, where))
                case "assistant":
                    self._add("assistant", self._assistant_blocks(message, where))
                case "tool":
                    self._add("user", [self._tool_result(message, where)])
                case str(role):
                    raise self.refusals.unsayable(
                        f"{where}.role", f"There is no role '{role[:50]}' for this model."
                    )
                case _:
                    raise Malformed(f"'{where}.role' must be text.", f"{where}.role")

    def _add(self, role: str, blocks: list[Json]) -> None:
        """One more turn, or more of the last: roles alternate, and all results of tools are in one turn."""
        if self.turns and self.turns[-1]["role"] == role:
            self.turns[-1]["content"] += blocks
        elif blocks:
            self.turns.append({"role": role, "content": blocks})

    def _texts(self, message: Json, where: str) -> list[Json]:
        """Blocks of text; the wire takes no empty ones."""
        blocks = []
        for each, place in _parts(message, where):
            if each.get("type") != "text":
                raise self.refusals.unsayable(f"{place}.type", "Only text can stand here.")
            blocks += _text_block(each, place)
        return blocks

    def _user_blocks(self, message: Json, where: str) -> list[Json]:
        parts = _parts(message, where)
        return [block for each, place in parts for block in self._block(each, place)]

    def _block(self, part: Json, where: str) -> list[Json]:
        match part.get("type"):
            case "text":
                return _text_block(part, where)
            case "image_url":
                source = self._image_source(part.get("image_url"), f"{where}.image_url")
                return [_marked({"type": "image", "source": source}, part)]
            case "file":
                return [_marked(self._document(an_object(part.get("file"), f"{where}.file"), where), part)]
            case "input_audio":
                raise self.refusals.unsayable(f"{where}.input_audio", _LISTEN)
            case str(kind):
                raise self.refusals.unsayable(
                    f"{where}.type", f"There is no content '{kind[:50]}' for this model."
                )
            case _:
                raise Malformed(f"'{where}.type' must be text.", f"{where}.type")

    def _image_source(self, image: object, where: str) -> Json:
        url = image if isinstance(image, str) else text(an_object(image, where).get("url"), f"{where}.url")
        if split := data_urls.split(url):
            return {"type": "base64", "media_type": split[0], "data": split[1]}
        if not url.startswith(("http://", "https://")):
            raise self.refusals.unsayable(
                f"{where}.url", "It must be an address (https) or a data URL in base64."
            )
        return {"type": "url", "url": url}

    def _document(self, file: Json, where: str) -> Json:
        where = f"{where}.file"
        title = {"title": name} if (name := optional_text(file.get("filename"), f"{where}.filename")) else {}
        if file_id := optional_text(file.get("file_id"), f"{where}.file_id"):
            return {"type": "document", "source": {"type": "file", "file_id": file_id}, **title}
        data = text(file.get("file_data"), f"{where}.file_data")
        media_type, encoded = data_urls.split(data) or ("application/pdf", data)
        if media_type == "application/pdf":
            source = {"type": "base64", "media_type": media_type, "data": encoded}
            return {"type": "document", "source": source, **title}
        plain = data_urls.as_text(encoded) if media_type.startswith("text/") else None
        if plain is None:
            raise self.refusals.unsayable(f"{where}.file_data", "Files can be PDF or text in UTF-8.")
        return {
            "type": "document",
            "source": {"type": "text", "media_type": "text/plain", "data": plain},
            **title,
        }

    def _tool_result(self, message: Json, where: str) -> Json:
        call = text(message.get("tool_call_id"), f"{where}.tool_call_id")
        result: Json = {"type": "tool_result", "tool_use_id": _wire_id(call)}
        content = message.get("content")
        if isinstance(content, str):
            result["content"] = content
        elif blocks := self._user_blocks(message, where):
            result["content"] = blocks
        return _marked(result, message)

    def _assistant_blocks(self, message: Json, where: str) -> list[Json]:
        for legacy in ("function_call", "audio"):
            if message.get(legacy) is not None:
                raise self.refusals.unsayable(f"{where}.{legacy}", "Use 'tool_calls' and text.")
        blocks = list(_thoughts(message.get("thinking_blocks"), f"{where}.thinking_blocks"))
        for part, place in _parts(message, where):
            if part.get("type") == "refusal":
                part = {"type": "text", "text": text(part.get("refusal"), f"{place}.refusal")}
            blocks += self._block(part, place)
        if refusal := optional_text(message.get("refusal"), f"{where}.refusal"):
            blocks.append({"type": "text", "text": refusal})
        for call, place in objects(message.get("tool_calls"), f"{where}.tool_calls"):
            blocks.append(self._tool_use(call, place))
        return blocks

    def _tool_use(self, call: Json, where: str) -> Json:
        if (kind := call.get("type", "function")) != "function":
            raise self.refusals.unsayable(
                f"{where}.type", f"Calls are of functions, not of '{str(kind)[:50]}'."
            )
        function = an_object(call.get("function"), f"{where}.function")
        block = {
            "type": "tool_use",
            "id": _wire_id(text(call.get("id"), f"{where}.id")),
            "name": text(function.get("name"), f"{where}.function.name"),
            "input": _arguments(function.get("arguments"), f"{where}.function.arguments"),
        }
        return _marked(block, call)


def _parts(message: Json, where: str) -> Iterator[tuple[Json, str]]:
    """Parts of a message's content: text is one of its own, with the message's mark; null is none."""
    content = message.get("content")
    if isinstance(content, str):
        yield _marked({"type": "text", "text": content}, message), f"{where}.content"
    elif content is not None:
        yield from objects(a_list(content, f"{where}.content"), f"{where}.content")


def _text_block(part: Json, where: str) -> list[Json]:
    said = text(part.get("text"), f"{where}.text")
    return [_marked({"type": "text", "text": said}, part)] if said else []


def _thoughts(blocks: object, where: str) -> Iterator[Json]:
    """What the model thought, as an earlier answer gave it; without its signature the wire refuses it."""
    for block, place in objects(blocks, where):
        match block.get("type"):
            case "thinking" if block.get("signature"):
                yield {
                    "type": "thinking",
                    "thinking": optional_text(block.get("thinking"), f"{place}.thinking"),
                    "signature": text(block["signature"], f"{place}.signature"),
                }
            case "redacted_thinking":
                yield {"type": "redacted_thinking", "data": text(block.get("data"), f"{place}.data")}
            case _:
                pass


def _arguments(value: object, where: str) -> Any:
    """A call's arguments, every digit kept. Models write nothing where a function takes nothing."""
    given = optional_text(value, where)
    if not given.strip():
        return {}
    try:
        parse_object(given)
        return msgspec.Raw(given.encode())
    except (Malformed, UnicodeError):
        raise Malformed(f"'{where}' must be a JSON object, written as text.", where) from None


def _wire_id(call: str) -> str:
    """The id of a call in the letters that the wire takes; the same for the call and its result."""
    plain = _NOT_IN_IDS.sub("_", call)
    return plain if plain == call and plain else f"{plain}_{zlib.crc32(call.encode(errors='replace')):08x}"


def _marked(block: Json, given: Json) -> Json:
    """The block with the cache mark that the client set on what it was made of."""
    mark = given.get("cache_control")
    return block if mark is None else {**block, "cache_control": mark}
