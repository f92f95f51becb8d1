"""The control socket: one worker answers for all, another takes over, and nothing asked can hurt."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from django.core.management.base import CommandError
from pytest_django import Settings

from gateway import control, control_client
from gateway.command import ask_server
from gateway.control import Control, Operation
from gateway.control_client import ControlError, Message, NoServer, ask

type Start = Callable[[str, int], Awaitable[Control]]


def _operation(value: int) -> Operation:
    async def answer(message: Message) -> Message:
        if message.get("fail") == value:
            raise ControlError(f"{value} will not.")
        if message.get("break") == value:
            raise ZeroDivisionError
        if message.get("hang") == value:
            await asyncio.sleep(60)
        return {"value": value, "text": "x" * message.get("long", 0)}

    def gather(parts: Sequence[Message]) -> Message:
        return {"sum": sum(part["value"] for part in parts)}

    return Operation(answer, gather)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(control, "_PART_SECONDS", 0.2)
    return tmp_path


@pytest.fixture
async def start(folder: Path) -> AsyncIterator[Start]:
    """Start a worker of this name, whose operation `sum` tells this number and `own` any one's."""
    running = []

    async def one(name: str, value: int) -> Control:
        worker = Control(folder, name)
        operation = _operation(value)
        worker.add("sum", operation)
        worker.add("own", Operation(operation.answer))
        await worker.start()
        running.append(worker)
        return worker

    yield one
    for worker in running:
        await worker.stop()


async def asked(folder: Path, **message: Any) -> Message:
    """Asked as a command does, in a thread: the loop goes on."""
    return await asyncio.to_thread(ask, folder, message, 5.0)


async def sent(path: Path, data: bytes) -> Any:
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(data)
    try:
        return json.loads(await reader.readline())
    finally:
        writer.close()


async def test_one_answers_for_all(folder: Path, start: Start) -> None:
    for name, value in (("a", 1), ("b", 20), ("c", 300)):
        await start(name, value)
    assert await asked(folder, op="sum") == {"workers": 3, "silent": 0, "sum": 321}
    assert await asked(folder, op="workers") == {"workers": 3, "silent": 0}


async def test_what_any_worker_knows_is_asked_of_one(folder: Path, start: Start) -> None:
    await start("a", 1)
    await start("b", 2)
    assert (await asked(folder, op="own"))["value"] == 1


async def test_every_worker_answers_at_its_own_socket_for_itself(folder: Path, start: Start) -> None:
    await start("a", 1)
    await start("b", 2)
    said = await sent(folder / "control.d/b.sock", b'{"op": "sum"}\n')
    assert said == {"ok": True, "result": {"value": 2, "text": ""}}


async def test_another_takes_over_from_one_that_ends(folder: Path, start: Start) -> None:
    first = await start("a", 1)
    await start("b", 2)
    await first.stop()
    assert await asked(folder, op="sum") == {"workers": 1, "silent": 0, "sum": 2}


async def test_sockets_are_for_their_owner_alone(folder: Path, start: Start) -> None:
    await start("a", 1)
    modes = {path: path.stat().st_mode & 0o777 for path in (folder / "control.sock", folder / "control.d")}
    assert list(modes.values()) == [0o600, 0o700]
    assert (folder / "control.d/a.sock").stat().st_mode & 0o777 == 0o600


async def test_what_dead_workers_left_is_removed(folder: Path, start: Start) -> None:
    (folder / "control.d").mkdir()
    for name in ("control.sock", "control.d/dead.sock"):
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(folder / name))
    with pytest.raises(NoServer):
        await asked(folder, op="workers")
    await start("a", 1)
    assert await asked(folder, op="workers") == {"workers": 1, "silent": 0}
    assert {path.name for path in (folder / "control.d").iterdir()} == {"lock", "a.sock"}


async def test_a_socket_that_somebody_removed_is_made_again(folder: Path, start: Start) -> None:
    await start("a", 1)
    (folder / "control.sock").unlink()
    assert await asked(folder, op="workers") == {"workers": 1, "silent": 0}


async def test_nothing_is_left_behind_by_workers_that_end(folder: Path, start: Start) -> None:
    first, second = await start("a", 1), await start("b", 2)
    await first.stop()
    await second.stop()
    assert not (folder / "control.sock").exists()
    assert [path.name for path in (folder / "control.d").iterdir()] == ["lock"]


async def test_a_worker_that_hangs_is_counted_and_not_waited_for(folder: Path, start: Start) -> None:
    await start("a", 1)
    await start("b", 2)
    assert await asked(folder, op="sum", hang=2) == {"workers": 1, "silent": 1, "sum": 1}


@pytest.mark.parametrize("of", [1, 2])
async def test_what_one_worker_refuses_is_refused(folder: Path, start: Start, of: int) -> None:
    await start("a", 1)
    await start("b", 2)
    with pytest.raises(ControlError, match=f"{of} will not"):
        await asked(folder, op="sum", fail=of)
    with pytest.raises(ControlError, match="its log says why"):
        await asked(folder, op="sum", **{"break": of})
    assert (await asked(folder, op="sum"))["sum"] == 3


async def test_an_unknown_operation_names_those_that_there_are(folder: Path, start: Start) -> None:
    await start("a", 1)
    with pytest.raises(ControlError, match="no operation 'nix'; there are: own, sum, workers"):
        await asked(folder, op="nix")


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"hello\n", "one JSON object"),
        (b"[1]\n", "one JSON object"),
        (b"{}\n", "no operation 'None'"),
        (b'{"op": {}}\n', "no operation '{}'"),
        (b"\xff\xfe\n", "one JSON object"),
        (b'{"op": "' + b"x" * 70_000, "65536 bytes at most"),
    ],
)
async def test_what_is_no_question_is_refused_in_one_line(
    folder: Path, start: Start, data: bytes, error: str
) -> None:
    await start("a", 1)
    said = await sent(folder / "control.sock", data)
    assert said["ok"] is False
    assert error in said["error"]


async def test_one_connection_may_ask_often(folder: Path, start: Start) -> None:
    await start("a", 1)
    reader, writer = await asyncio.open_unix_connection(str(folder / "control.sock"))
    for _ in range(3):
        writer.write(b'{"op": "sum"}\n')
        assert json.loads(await reader.readline())["result"]["sum"] == 1
    writer.close()


async def test_an_answer_that_is_too_long_is_refused(folder: Path, start: Start) -> None:
    await start("a", 1)
    with pytest.raises(ControlError, match=f"more than {control_client.LONGEST} bytes"):
        await asked(folder, op="own", long=control_client.LONGEST)


async def test_more_connections_than_it_serves_are_refused(folder: Path, start: Start) -> None:
    await start("a", 1)
    path = str(folder / "control.sock")
    idle = [await asyncio.open_unix_connection(path) for _ in range(control._MOST_CONNECTIONS)]
    await asyncio.sleep(0)
    reader, writer = await asyncio.open_unix_connection(path)
    assert b"too much at once" in await reader.readline()
    for _, each in idle:
        each.close()
    writer.close()


def test_without_a_server_a_command_says_so_in_one_line(tmp_path: Path, settings: Settings) -> None:
    settings.DATA_DIR = tmp_path
    with pytest.raises(CommandError) as told:
        ask_server({"op": "workers"})
    assert str(told.value) == f"No server runs on this data directory ({tmp_path})."


async def test_a_data_directory_with_too_long_a_path_is_named(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    with pytest.raises(ControlError, match="bytes too long for a socket in it"):
        ask(folder, {"op": "workers"})
    worker = Control(folder)
    await worker.start()
    await worker.stop()
    assert list(folder.iterdir()) == []


async def test_a_longest_path_that_fits_works(tmp_path: Path) -> None:
    room = control_client.LONGEST_PATH - len(str(tmp_path / control_client._LONGEST_NAME)) - 1
    if room < 1:
        pytest.skip("NOT TESTED: the folder for tests is too long itself")
    folder = tmp_path / ("x" * room)
    folder.mkdir()
    assert control_client.path_problem(folder) == ""
    assert control_client.path_problem(folder / "y") != ""
    worker = Control(folder, str(2**22))
    await worker.start()
    assert await asked(folder, op="workers") == {"workers": 1, "silent": 0}
    await worker.stop()
