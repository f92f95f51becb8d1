"""Server-sent events: bytes in any cut -> the data of whole events."""

import re

# Two line ends in a row. A CR that begins a CRLF is not a line end of its own.
_BORDER = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r(?!\n))")
_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


class EventTooLong(Exception):
    """One event is larger than the reader was told to hold."""


class EventReader:
    """Gives the data of each event once it is whole; comments, names, ids and empty events give nothing.

    Several `data:` lines of one event are joined by LF, as the specification says.
    """

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._buffer = bytearray()
        self._scanned = 0  # a border cannot begin before this
        self._at_start = True

    def feed(self, chunk: bytes) -> list[bytes]:
        """The events completed by these bytes. Raises `EventTooLong`."""
        self._buffer += chunk
        if self._at_start and not self._strip_mark():
            return []
        events: list[bytes] = []
        start = 0
        while border := _BORDER.search(self._buffer, max(start, self._scanned)):
            data = _data_of(bytes(self._buffer[start : border.start()]))
            start = border.end()
            if data is not None:
                events.append(data)
        if start:
            del self._buffer[:start]
        # the last three bytes may be the first part of a border
        self._scanned = max(0, len(self._buffer) - 3)
        if len(self._buffer) > self._longest:
            raise EventTooLong(f"an event of more than {self._longest} bytes")
        return events

    def end(self) -> list[bytes]:
        """What the stream left without its last blank line."""
        data = _data_of(bytes(self._buffer))
        self._buffer.clear()
        return [] if data is None else [data]

    def _strip_mark(self) -> bool:
        """Drop a byte-order mark; False while too little has come to tell."""
        if len(self._buffer) < len(_BOM) and _BOM.startswith(self._buffer):
            return False
        if self._buffer.startswith(_BOM):
            del self._buffer[: len(_BOM)]
        self._at_start = False
        return True


def _data_of(event: bytes) -> bytes | None:
    if event.startswith(b"data: ") and b"\n" not in event and b"\r" not in event:
        return event[6:] or None
    fields = [line.partition(b":") for line in _LINE_END.split(event)]
    return b"\n".join(value.removeprefix(b" ") for name, _, value in fields if name == b"data") or None
