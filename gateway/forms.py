"""multipart/form-data in pieces: its small fields are read, and it is written again with other values."""

from collections.abc import Collection
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

_LONGEST_VALUE = 64 * 1024
_MOST_PARTS = 1000


class BadForm(Exception):
    """What came is no form."""


@dataclass(slots=True)
class FormReader:
    """Takes the bytes of a form in any cut. `fields`: the values without a file, as far as they have come.

    `feed` gives what the form is written as; the value of each of `left_open` is left out, and `open_at`
    says where it belongs, in bytes from the beginning. `over`: the end has come.
    """

    content_type: str
    left_open: Collection[str] = ()
    fields: dict[str, str] = field(default_factory=dict)
    open_at: dict[str, int] = field(default_factory=dict)
    over: bool = False
    _parser: MultipartParser = field(init=False)
    _boundary: bytes = field(init=False)
    _out: list[bytes] = field(default_factory=list, init=False)
    _written: int = field(default=0, init=False)
    _name: bytes = field(default=b"", init=False)
    _header: tuple[bytearray, bytearray] = field(init=False)
    _headers: list[tuple[bytes, bytes]] = field(default_factory=list, init=False)
    _value: bytearray | None = field(default=None, init=False)
    _open: bool = field(default=False, init=False)
    _parts: int = field(default=0, init=False)

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
        found = next((value for name, value in self._headers if name.lower() == b"content-disposition"), b"")
        _, options = parse_options_header(found)
        self._name = options.get(b"name", b"")
        is_file = b"filename" in options or b"filename*" in options
        self._value = None if is_file else bytearray()
        self._open = not is_file and self._name.decode("utf-8", "replace") in self.left_open

    def _data(self, data: bytes, start: int, end: int) -> None:
        piece = bytes(data[start:end])
        if self._value is not None:
            self._value += piece
            if len(self._value) > _LONGEST_VALUE and self._open:
                raise BadForm(f"The value of '{self._name.decode('utf-8', 'replace')}' is too long.")
            if len(self._value) > _LONGEST_VALUE:
                self._value = None
        if not self._open:
            self._write(piece)

    def _part_ends(self) -> None:
        if self._value is not None:
            name = self._name.decode("utf-8", "replace")
            self.fields[name] = self._value.decode("utf-8", "replace")
            if self._open:
                self.open_at[name] = self._written
        self._write(b"\r\n")

    def _ends(self) -> None:
        self._write(b"--" + self._boundary + b"--\r\n")
        self.over = True
