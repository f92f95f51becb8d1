"""The server's side of the control socket: what its workers know, asked for by commands and by each other.

Every worker listens on `control.d/<pid>.sock` and answers for itself. One of them, who holds a lock, listens
on `control.sock` too and answers for all workers of this data directory by asking each; when it dies,
another takes over within half a second.
"""

import asyncio
import fcntl
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec
import structlog

from gateway.control_client import FOLDER, LONGEST, SHARED, ControlError, Message, path_problem

log = structlog.get_logger(__name__)

_LOOK_SECONDS = 0.5
_LONGEST_QUESTION = 64 * 1024
_MOST_CONNECTIONS = 64
_IDLE_SECONDS = 30.0
_ANSWER_SECONDS = 5.0
# Less, so that one worker that hangs does not keep the answers of the others from whoever asked.
_PART_SECONDS = 2.0

type _Answerer = Callable[[Message], Awaitable[Message]]


@dataclass(frozen=True, slots=True)
class Operation:
    """`answer` says what one worker knows. `gather` puts the answers of all together; None: any one does.

    Both raise `ControlError` with a line for whoever asked.
    """

    answer: _Answerer
    gather: Callable[[Sequence[Message]], Message] | None = None


class _Missing(Enum):
    DEAD = "nobody listens there any more"
    SILENT = "it lives and did not answer"


async def _nothing(message: Message) -> Message:
    return {}


class Control:
    """One worker's part. `add` operations, then `start` and `stop` on one event loop.

    `folder` is the data directory; `name` is that of no other worker that lives.
    """

    def __init__(self, folder: Path, name: str = "") -> None:
        self._data = folder
        self._name = name or str(os.getpid())
        self._folder = folder / FOLDER
        self._operations = {"workers": Operation(_nothing, lambda parts: {})}
        self._own: _Door | None = None
        self._shared: _Door | None = None
        self._lock = -1
        self._failing = ""
        self._follower: asyncio.Task[None] | None = None
        self._answering: set[asyncio.Task[Any]] = set()

    def add(self, name: str, operation: Operation) -> None:
        """Answer `{"op": name, ...}`."""
        assert name not in self._operations, f"{name} is answered already"
        self._operations[name] = operation

    async def start(self) -> None:
        """Listen. What stands in the way is logged; serving goes on without, and it is tried again."""
        if problem := path_problem(self._data):
            log.error("no_control_socket", problem=problem)
            return
        await self._look()
        self._follower = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        """Let another worker answer for all, and listen no more."""
        if self._follower is not None:  # first: it opens doors
            self._follower.cancel()
            await asyncio.gather(self._follower, return_exceptions=True)
        for door in (self._shared, self._own):
            if door is not None:
                door.close()
        await asyncio.sleep(0)  # connections that were taken just now begin
        while tasks := list(self._answering):
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if self._lock >= 0:  # last: whoever gets it puts a socket of its own in place of ours
            os.close(self._lock)
        self._own = self._shared = self._follower = None
        self._lock = -1

    # --- asking --------------------------------------------------------------------------------

    async def of_all(self, message: Message) -> Message:
        """All workers' answers put together, with how many `workers` answered and how many kept `silent`.

        Of an operation without `gather`, this worker's answer alone. Raises `ControlError`.
        """
        operation = self._operation(message)
        if operation.gather is None:
            return await operation.answer(message)
        mine = f"{self._name}.sock"
        others = [path for path in sorted(self._folder.glob("*.sock")) if path.name != mine]
        own, *told = await asyncio.gather(
            operation.answer(message), *(self._ask(path, message) for path in others)
        )
        assert not isinstance(own, _Missing), "it answers itself"
        parts = [own, *(part for part in told if not isinstance(part, _Missing))]
        silent = told.count(_Missing.SILENT)
        return {"workers": len(parts), "silent": silent, **operation.gather(parts)}

    async def _ask(self, path: Path, message: Message) -> Message | _Missing:
        """What the worker at this socket says for itself; the socket of a dead one is removed."""
        try:
            async with asyncio.timeout(_PART_SECONDS):
                reader, writer = await asyncio.open_unix_connection(str(path), limit=LONGEST)
                try:
                    writer.write(_line(message))
                    said = msgspec.json.decode(await reader.readline(), type=dict[str, Any])
                finally:
                    writer.close()
        except (FileNotFoundError, ConnectionRefusedError):
            path.unlink(missing_ok=True)  # noqa: ASYNC240  a name in a directory of a few
            return _Missing.DEAD
        except (TimeoutError, OSError, ValueError, msgspec.DecodeError):  # cut in the middle, or too long
            return _Missing.SILENT
        if not said.get("ok"):
            raise ControlError(str(said.get("error")))
        result: Message = said["result"]
        return result

    def _operation(self, message: Message) -> Operation:
        name = message.get("op")
        found = self._operations.get(name) if isinstance(name, str) else None
        if found is None:
            known = ", ".join(sorted(self._operations))
            raise ControlError(f"There is no operation {str(name)[:80]!r}; there are: {known}.")
        return found

    async def _of_own(self, message: Message) -> Message:
        return await self._operation(message).answer(message)

    # --- listening -----------------------------------------------------------------------------

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            await self._look()

    async def _look(self) -> None:
        """Listen where this worker has to, also when somebody removed a socket; lead when nobody does."""
        try:
            if self._own is None or not self._own.stands():
                self._folder.mkdir(mode=0o700, exist_ok=True)
                self._own = await self._open(self._folder / f"{self._name}.sock", self._of_own, self._own)
            if self._lock >= 0 or self._lead():
                if self._shared is None:
                    await self.of_all({"op": "workers"})  # removes the sockets of those that died
                if self._shared is None or not self._shared.stands():
                    self._shared = await self._open(self._data / SHARED, self.of_all, self._shared)
        except OSError as error:
            if str(error) != self._failing:
                log.error("no_control_socket", problem=str(error))
            self._failing = str(error)
        else:
            self._failing = ""

    def _lead(self) -> bool:
        """Whether nobody else answers for all; then this worker does until it ends."""
        lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        self._lock = lock
        return True

    async def _open(self, path: Path, answer: _Answerer, old: "_Door | None") -> "_Door":
        """Listen there. The socket is put in place when it listens: no other moment looks like a dead one."""
        if old is not None:
            old.close()
        draft = self._folder / f"{self._name}.new"
        draft.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(str(draft))
            draft.chmod(0o600)
            inode = draft.stat().st_ino
            server = await asyncio.start_unix_server(
                lambda reader, writer: self._serve(reader, writer, answer),
                sock=listener,
                limit=_LONGEST_QUESTION,
            )
        except OSError:
            listener.close()
            raise
        draft.rename(path)
        return _Door(path, server, inode)

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: _Answerer
    ) -> None:
        task = asyncio.current_task()
        assert task is not None, "the server runs this in one"
        self._answering.add(task)
        try:
            if len(self._answering) > _MOST_CONNECTIONS:
                writer.write(_refusal("The server is asked too much at once; try again."))
                return
            with suppress(TimeoutError, ConnectionError):
                await self._converse(reader, writer, answer)
        finally:
            self._answering.discard(task)
            writer.close()

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: _Answerer
    ) -> None:
        while True:
            try:
                async with asyncio.timeout(_IDLE_SECONDS):
                    question = await reader.readline()
            except ValueError:
                writer.write(_refusal(f"A question has {_LONGEST_QUESTION} bytes at most."))
                return
            if not question.endswith(b"\n"):
                return
            writer.write(await _answered(question, answer))
            async with asyncio.timeout(_IDLE_SECONDS):
                await writer.drain()


async def _answered(question: bytes, answer: _Answerer) -> bytes:
    try:
        message = msgspec.json.decode(question, type=dict[str, Any])
        async with asyncio.timeout(_ANSWER_SECONDS):
            told = _line({"ok": True, "result": await answer(message)})
    except msgspec.DecodeError:
        return _refusal("A question is one JSON object on one line.")
    except ControlError as error:
        return _refusal(str(error))
    except TimeoutError:
        return _refusal(f"The worker has no answer after {_ANSWER_SECONDS:g} s.")
    except Exception:  # the edge: what nobody foresaw is logged, and whoever asked is told where to look
        log.exception("control_failed")
        return _refusal("The worker failed to answer; its log says why.")
    if len(told) > LONGEST:
        return _refusal(f"The answer has more than {LONGEST} bytes.")
    return told


def _line(message: Message) -> bytes:
    return msgspec.json.encode(message) + b"\n"


def _refusal(error: str) -> bytes:
    return _line({"ok": False, "error": error})


@dataclass(slots=True)
class _Door:
    """A socket that listens at a path, as long as nobody puts another one there."""

    path: Path
    server: asyncio.Server
    inode: int

    def stands(self) -> bool:
        try:
            return self.path.stat().st_ino == self.inode
        except FileNotFoundError:
            return False

    def close(self) -> None:
        self.server.close()
        if self.stands():
            self.path.unlink(missing_ok=True)
