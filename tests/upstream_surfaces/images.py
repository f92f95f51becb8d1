"""Images: generations, edits, variations."""

import base64
import struct
import zlib
from collections.abc import Iterator

from tests.upstream_wire import Answer, Ask, Behaviour, Json, refused, typed, whole


def png(shade: int) -> bytes:
    """A real picture of one grey dot."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    dot = chunk(b"IDAT", zlib.compress(bytes((0, shade))))
    return b"\x89PNG\r\n\x1a\n" + head + dot + chunk(b"IEND", b"")


def answer(ask: Ask, behaviour: Behaviour) -> Answer:
    pictures = [part for part in ask.parts if part.name in ("image", "image[]")]
    if ask.endpoint != "images/generations" and not pictures:
        return refused(400, "an image is required", param="image")
    usage: Json = {"input_tokens": behaviour.prompt_tokens, "output_tokens": 20 * ask.n}
    usage["total_tokens"] = sum(usage.values())
    usage["input_tokens_details"] = {"text_tokens": behaviour.prompt_tokens, "image_tokens": 0}
    if ask.stream:
        return typed(_events(ask, behaviour, usage), behaviour, usage)
    if ask.body.get("response_format") == "url":
        rows = [{"url": f"https://images.invalid/{index}.png"} for index in range(ask.n)]
    else:
        rows = [{"b64_json": _text(index)} for index in range(ask.n)]
    return whole({"created": 1700000000, "data": rows, "usage": usage}, behaviour, usage)


def _text(shade: int) -> str:
    return base64.b64encode(png(shade)).decode()


def _events(ask: Ask, behaviour: Behaviour, usage: Json) -> Iterator[tuple[Json, int]]:
    kind = "image_generation" if ask.endpoint == "images/generations" else "image_edit"
    about = {"created_at": 1700000000, "size": "1024x1024", "quality": "low"}
    about |= {"background": "opaque", "output_format": "png"}
    for index in range(int(ask.body.get("partial_images") or 0)):
        part = {"partial_image_index": index, "b64_json": _text(index)}
        yield {"type": f"{kind}.partial_image", **about, **part}, 0
    if behaviour.finish is not None:
        yield {"type": f"{kind}.completed", **about, "b64_json": _text(255), "usage": usage}, 0
