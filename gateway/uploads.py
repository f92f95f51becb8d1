"""A form on its way through: sent on as it comes, and kept on disk so that it can be sent once more."""

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any, Protocol

import structlog

from gateway.errors import ApiError
from gateway.forms import BadForm, FormReader

log = structlog.get_logger(__name__)

_IN_MEMORY = 256 * 1024
_PIECE = 64 * 1024
MODEL = "model"
# The next piece of the client's body and whether more come; raises `CancelledError` when the client left.
type Receive = Callable[[], Awaitable[tuple[bytes, bool]]]


class Clock(Protocol):
    """Hears for whom an attempt waits; both may be told twice."""

    def stop(self) -> None:
        """For the client, from now on."""

    def go(self) -> None:
        """For the provider, from now on."""


class Upload:
    """One client's form, of `declared` bytes (0: it does not say). `fields` grows; `close` forgets it.

    `most` bytes are taken, and the client may be silent for `idle` seconds; beyond either, reading raises
    `ApiError`, as it does for what is no form.
    """

    def __init__(
        self, receive: Receive, content_type: str, *, most: int, idle: float, declared: int = 0
    ) -> None:
        self._receive = receive
        self._declared = declared
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
        self._complete = False
        self._failed: ApiError | None = None

    @property
    def fields(self) -> Mapping[str, str]:
        """Values that are no files, as far as they have come."""
        return self._reader.fields

    @property
    def complete(self) -> bool:
        """Whether all of it has come."""
        return self._complete

    @property
    def size(self) -> int:
        """Bytes of all of it; until it has come, at most."""
        return self._came if self._complete else self._declared or self._most

    async def learn(self, name: str) -> str | None:
        """The value of a field, reading as far as need be; None: the form has none."""
        while name not in self.fields and not self._complete:
            await self._more()
        return self.fields.get(name)

    def body(self, model: str | None, defaults: Mapping[str, bytes], clock: Clock) -> "Body":
        """All of it from the beginning, with this model, and the defaults (in JSON) that it does not name."""
        return Body(self, model, defaults, clock)

    def close(self) -> None:
        """Forget what was kept. Idempotent."""
        self._spool.close()

    async def _more(self) -> None:
        """The next piece, into what is kept. What was wrong once is so for every further attempt."""
        if self._failed is not None:
            raise self._failed
        try:
            async with asyncio.timeout(self._idle):
                piece, more = await self._receive()
        except TimeoutError:
            message = f"Nothing of the upload came for {self._idle:g} s."
            self._failed = ApiError(408, message, code="upload_timeout", headers=_CLOSING)
            raise self._failed from None
        try:
            self._take(piece, more)
        except ApiError as error:
            self._failed = error
            raise

    def _take(self, piece: bytes, more: bool) -> None:
        self._came += len(piece)
        if self._came > self._most:
            raise too_large(self._most)
        try:
            made = self._reader.feed(piece)
            if not more:
                self._reader.end()
        except BadForm as bad:
            raise _bad(bad) from None
        try:
            self._spool.seek(self._kept)
            self._spool.write(made)
        except OSError as error:
            log.error("upload_not_kept", error=str(error))
            message = "Uploads cannot be kept now. Try again soon."
            raise ApiError(503, message, code="upload_not_kept", headers=_CLOSING) from None
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

    def end_at(self) -> int | None:
        """Where further parts belong, as far as is known."""
        return self._reader.end_at

    def missing(self, defaults: Mapping[str, bytes]) -> bytes:
        """The parts that belong there; for when that is known."""
        return self._reader.missing(defaults)

    def length(self) -> int | None:
        """Of all that is kept; None until all has come."""
        return self._kept if self._complete else None


class Body:
    """The upload as one attempt sends it. `length` None: not all has come yet."""

    def __init__(
        self, upload: Upload, model: str | None, defaults: Mapping[str, bytes], clock: Clock
    ) -> None:
        self._upload = upload
        self._model = b"" if model is None else model.encode()
        self._defaults = defaults
        self._clock = clock
        whole = upload.length()
        self.length = None
        if whole is not None:
            named = upload.model_at() is not None
            self.length = whole + len(self._model) * named + len(upload.missing(defaults))

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        position = 0
        try:
            while piece := await self._read(position):
                yield self._filled(piece, position)
                position += len(piece)
        finally:  # also when the client failed after the provider began to answer
            self._clock.go()

    def _filled(self, piece: bytes, position: int) -> bytes:
        """A kept piece with what belongs into it. A place is known when the bytes behind it are kept."""
        upload = self._upload
        model_at, end_at = upload.model_at(), upload.end_at()
        # the later one first, so that the other place still holds
        if end_at is not None and 0 <= (at := end_at - position) < len(piece):
            piece = piece[:at] + upload.missing(self._defaults) + piece[at:]
        if model_at is not None and 0 <= (at := model_at - position) < len(piece):
            piece = piece[:at] + self._model + piece[at:]
        return piece

    async def _read(self, position: int) -> bytes:
        self._clock.stop()
        piece = await self._upload.read(position)
        self._clock.go()
        return piece


_CLOSING = {"connection": "close"}


def _bad(bad: BadForm) -> ApiError:
    return ApiError(400, str(bad), code="invalid_request", headers=_CLOSING)


def too_large(most: int) -> ApiError:
    """What a client is told whose form has more bytes."""
    message = f"The upload is larger than {most // 2**20} MB, the most that is taken (MAX_UPLOAD_MB)."
    return ApiError(413, message, code="request_too_large", headers=_CLOSING)


def is_form(headers: Mapping[str, Any]) -> bool:
    """Whether the body is one."""
    kind: str = headers.get("content-type", "")
    return kind.lower().startswith("multipart/form-data")
