"""Forms with files, as the fake provider reads them: strictly, so that a broken one shows."""

import hashlib
from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser
from typing import Any


class BadForm(ValueError):
    """The body is no `multipart/form-data` of this boundary."""


@dataclass(frozen=True)
class Part:
    """One field of a form; `filename` None: a plain value."""

    name: str
    filename: str | None
    content_type: str | None
    data: bytes

    def as_json(self) -> dict[str, Any]:
        """For the log: what it was, without a file's bytes."""
        row: dict[str, Any] = {
            "name": self.name,
            "filename": self.filename,
            "content_type": self.content_type,
        }
        row |= {"size": len(self.data), "sha256": hashlib.sha256(self.data).hexdigest()}
        return row | {"value": self.data.decode("utf-8", "replace") if self.filename is None else None}


def is_form(content_type: str) -> bool:
    return content_type.lower().startswith("multipart/form-data")


def parts_of(content_type: str, body: bytes) -> list[Part]:
    """Every part in its order. Raises `BadForm`."""
    said = Message()
    said["content-type"] = content_type
    boundary = said.get_param("boundary")
    if not isinstance(boundary, str) or not boundary:
        raise BadForm("no boundary")
    mark = b"--" + boundary.encode("latin-1")
    pieces = (b"\r\n" + body).split(b"\r\n" + mark)
    if len(pieces) < 2 or pieces[-1].strip(b"\r\n") != b"--":
        raise BadForm("the closing boundary is missing")
    return [_part(piece) for piece in pieces[1:-1]]


def _part(piece: bytes) -> Part:
    head, found, data = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
    if not found:
        raise BadForm("a part without a blank line")
    headers = HeaderParser().parsestr(head.decode("utf-8", "surrogateescape"))
    name = headers.get_param("name", header="content-disposition")
    if not isinstance(name, str):
        raise BadForm("a part without a name")
    return Part(name, headers.get_filename(), headers.get("content-type"), data)
