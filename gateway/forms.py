"""multipart/form-data in pieces: its small fields are read, and it is written again with other values."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import msgspec
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

_LONGEST_VALUE = 64 * 1024
_MOST_KEPT = 1024 * 1024
_MOST_PARTS = 1000
_QUOTED = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})


class BadForm(Exception):
    """What came is no form."""


@dataclass(slots=True)
class FormReader:
    """Takes the bytes of a form in any cut. `fields`: the values without a file, as far as they have come.

    `feed` gives what the form is written as; the value of each of `left_open` is left out, and `open_at`
    says where it belongs, in bytes from the beginning. `names` are of all fields, files too. `over`: the
    end has come, and `end_at` is where further parts belong. What stands behind the end is left out; before
    the first part there must be nothing, which RFC 2046 would have ignored.
    """

    content_type: str
    left_open: Collection[str] = ()
    fields: dict[str, str] = field(default_factory=dict)
    open_at: dict[str, int] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    over: bool = False
    end_at: int | None = None
    _parser: MultipartParser = field(init=False)
    _boundary: bytes = field(init=False)
    _out: list[bytes] = field(default_factory=list, init=False)
    _written: int = field(default=0, init=False)
    _name: str = field(default="", init=False)
    _header: tuple[bytearray, bytearray] = field(init=False)
    _headers: list[tuple[bytes, bytes]] = field(default_factory=list, init=False)
    _value: bytearray | None = field(default=None, init=False)
    _open: bool = field(default=False, init=False)
    _parts: int = field(default=0, init=False)
    _kept: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        """Raises `BadForm` where the content type names no boundary."""
        kind, options = parse_options_header(self.content_type.encode("latin-1"))
        self._boundary = options.get(b"boundary", b"")
        if kind != b"multipart/form-data" or not self._boundary:
            raise BadForm("The Content-Type must be multipart/form-data with a boundary.")
        self._header = (bytearray(), bytearray())
        self._parser = MultipartParser(
            self._boundary,
            {
                "on_part_begin": self._part_begins,
                "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
                "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
                "on_header_end": self._header_ends,
                "on_headers_finished": self._headers_end,
                "on_part_data": self._data,
                "on_part_end": self._part_ends,
                "on_end": self._ends,
            },
        )

    def feed(self, data: bytes) -> bytes:
        """Raises `BadForm`."""
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise BadForm(f"The body is not the form that its Content-Type says: {error}.") from None
        made, self._out = b"".join(self._out), []
        return made

    def end(self) -> None:
        """Nothing more comes. Raises `BadForm` if the form was cut off."""
        if not self.over:
            raise BadForm("The body ends before its form does.")

    def missing(self, defaults: Mapping[str, bytes]) -> bytes:
        """Parts for those of the defaults, in JSON, that the form has not; for when it is over."""
        made = []
        for name, told in defaults.items():
            if self.names.isdisjoint((name, f"{name}[]")):
                value = msgspec.json.decode(told)
                if isinstance(value, list):
                    made += [self._part(f"{name}[]", item) for item in value]
                elif value is not None:
                    made.append(self._part(name, value))
        return b"".join(made)

    def _part(self, name: str, value: object) -> bytes:
        plain = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        quoted = name.translate(_QUOTED)
        head = f'Content-Disposition: form-data; name="{quoted}"\r\n\r\n{plain}\r\n'
        return b"--" + self._boundary + b"\r\n" + head.encode()

    def _write(self, data: bytes) -> None:
        self._out.append(data)
        self._written += len(data)

    # --- called by the parser ---

    def _part_begins(self) -> None:
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise BadForm(f"The form has more than {_MOST_PARTS} parts.")
        self._headers = []

    def _header_ends(self) -> None:
        name, value = map(bytes, self._header)
        self._headers.append((name, value))
        self._header[0].clear()
        self._header[1].clear()

    def _headers_end(self) -> None:
        self._write(b"--" + self._boundary + b"\r\n")
        for name, value in self._headers:
            self._write(name + b": " + value + b"\r\n")
        self._write(b"\r\n")
        told = [value for name, value in self._headers if name.lower() == b"content-disposition"]
        if len(told) > 1:
            raise BadForm("A part of the form has two Content-Dispositions.")
        _, options = parse_options_header(told[0] if told else b"")
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        self.names.add(self._name)
        is_file = b"filename" in options or b"filename*" in options
        self._value = None if is_file else bytearray()
        self._open = self._name in self.left_open
        # a provider could take another value for it than the one that was looked at here
        if self._open and (is_file or self._name in self.open_at):
            raise BadForm(f"The field '{self._name}' {'is a file' if is_file else 'comes twice'}.")

    def _data(self, data: bytes, start: int, end: int) -> None:
        piece = bytes(data[start:end])
        if self._value is not None:
            self._value += piece
            size = len(self._value)
            if self._open and size > _LONGEST_VALUE:
                raise BadForm(f"The value of '{self._name}' is too long.")
            if not self._open and (size > _LONGEST_VALUE or self._kept + size > _MOST_KEPT):
                self._value = None
        if not self._open:
            self._write(piece)

    def _part_ends(self) -> None:
        if self._value is not None:
            self.fields[self._name] = self._value.decode("utf-8", "replace")
            self._kept += len(self._value)
            if self._open:
                self.open_at[self._name] = self._written
        self._write(b"\r\n")

    def _ends(self) -> None:
        self.end_at = self._written
        self._write(b"--" + self._boundary + b"--\r\n")
        self.over = True
