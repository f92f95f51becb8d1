"""A form on its way through: sent on as it comes, and kept on disk so that it can be sent once more."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from gateway.errors import ApiError
from gateway.forms import BadForm, FormReader

_IN_MEMORY = 256 * 1024
_PIECE = 64 * 1024
MODEL = "model"
# The next piece of the client's body and whether more come; raises `CancelledError` when the client left.
type Receive = Callable[[], Awaitable[tuple[bytes, bool]]]


class Upload:
    """One client's form. `fields` grows while it comes; `close` forgets it.

    `most` bytes are taken, and the client may be silent for `idle` seconds; beyond either, reading raises
    `ApiError`, as it does for what is no form.
    """

    def __init__(self, receive: Receive, content_type: str, *, most: int, idle: float) -> None:
        self._receive = receive
        self._most = most
        self._idle = idle
        self._came = 0
        self._kept = 0
        # `close` closes it
        self._spool = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115
        self.content_type = content_type
        try:
            self._reader = FormReader(content_type, (MODEL,))
        except BadForm as bad:
            raise _bad(bad) from None
        self.waited = 0.0
        self._complete = False

    @property
    def fields(self) -> Mapping[str, str]:
        """Values that are no files, as far as they have come."""
        return self._reader.fields

    @property
    def complete(self) -> bool:
        """Whether all of it has come."""
        return self._complete

    async def learn(self, name: str) -> str | None:
        """The value of a field, reading as far as need be; None: the form has none."""
        while name not in self.fields and not self._complete:
            await self._more()
        return self.fields.get(name)

    def body(self, model: str | None, sent: Callable[[], None]) -> "Body":
        """All of it from the beginning, with this as its model; `sent` is called at its end."""
        return Body(self, model, sent)

    def close(self) -> None:
        """Forget what was kept. Idempotent."""
        self._spool.close()

    async def _more(self) -> None:
        """The next piece, into what is kept."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._idle):
                piece, more = await self._receive()
        except TimeoutError:
            message = f"Nothing of the upload came for {self._idle:g} s."
            raise ApiError(408, message, code="upload_timeout", headers=_CLOSING) from None
        self.waited += time.monotonic() - began
        self._came += len(piece)
        if self._came > self._most:
            megabytes = self._most // 2**20
            message = f"The upload is larger than {megabytes} MB, the most that is taken (MAX_UPLOAD_MB)."
            raise ApiError(413, message, code="request_too_large", headers=_CLOSING)
        try:
            made = self._reader.feed(piece)
            if not more:
                self._reader.end()
        except BadForm as bad:
            raise _bad(bad) from None
        self._spool.seek(self._kept)
        self._spool.write(made)
        self._kept += len(made)
        self._complete = not more

    async def read(self, position: int) -> bytes:
        """Kept bytes from there on, waiting for them; b"" at the end."""
        while position >= self._kept:
            if self._complete:
                return b""
            await self._more()
        self._spool.seek(position)
        return self._spool.read(_PIECE)

    def model_at(self) -> int | None:
        """Where the model's value belongs, as far as is known."""
        return self._reader.open_at.get(MODEL)

    def length(self) -> int | None:
        """Of all that is kept; None until all has come."""
        return self._kept if self._complete else None


class Body:
    """The upload as one attempt sends it. `length` None: not all has come yet."""

    def __init__(self, upload: Upload, model: str | None, sent: Callable[[], None]) -> None:
        self._upload = upload
        self._model = b"" if model is None else model.encode()
        self._sent = sent
        whole = upload.length()
        named = upload.model_at() is not None
        self.length = None if whole is None else whole + len(self._model) * named

    async def __aiter__(self) -> AsyncIterator[bytes]:
        upload, position, told = self._upload, 0, False
        while piece := await upload.read(position):
            at = upload.model_at()
            if at is not None and not told and position <= at < position + len(piece):
                told = True
                before, piece = piece[: at - position], piece[at - position :]
                position += len(before)
                yield before + self._model
            position += len(piece)
            yield piece
        self._sent()


_CLOSING = {"connection": "close"}


def _bad(bad: BadForm) -> ApiError:
    return ApiError(400, str(bad), code="invalid_request", headers=_CLOSING)


def is_form(headers: Mapping[str, Any]) -> bool:
    """Whether the body is one."""
    kind: str = headers.get("content-type", "")
    return kind.lower().startswith("multipart/form-data")
