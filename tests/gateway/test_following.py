"""A worker's configuration and keys are of one moment, whatever the database does."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError, connections
from structlog.testing import capture_logs

from gateway import following as module
from gateway.copying import Copier
from gateway.following import Following
from keys.directory import DirectoryUnavailable
from keys.entries import Entry
from keys.issuing import issue
from keys.models import ApiKey, KeyChange, Limit
from providers.changes import ConfigVersion, change
from providers.copies import Copies
from providers.models import Deployment, Model, Provider
from providers.snapshot import EMPTY, Snapshot, read_rows

pytestmark = pytest.mark.django_db(transaction=True)


class Worker:
    """What `gateway.runtime` makes of it. `swaps`: the versions in their order."""

    def __init__(self, copies: Copies | None = None) -> None:
        self.snapshot: Snapshot = EMPTY
        self.swaps: list[int] = []
        self.following = Following(self._swap, copies)
        self.keys = self.following.keys

    def _swap(self, newer: Snapshot) -> None:
        self.snapshot = newer
        self.swaps.append(newer.version)

    async def seen(self, text: str) -> Entry:
        entry = self.keys.known(text) or await self.keys.look_up(text)
        assert entry is not None
        return entry

    async def close(self) -> None:
        for executor in (self.following._executor, self.keys._executor):
            await asyncio.get_running_loop().run_in_executor(executor, connections.close_all)
        await self.following.stop()


@pytest.fixture
async def worker() -> AsyncIterator[Worker]:
    made = Worker()
    yield made
    await made.close()


@sync_to_async
def alice() -> str:
    return issue("alice")[1]


@sync_to_async
def copied(folder: Path) -> Copies:
    """Copies of all that is there."""
    copies = Copies(folder / "copies", "here")
    copier = Copier(copies)
    copier.configuration(read_rows())
    copier.keys(KeyChange.objects.values_list("pk", flat=True), ())
    assert copier._turn()
    return copies


def set_all(number: int) -> None:
    """Model, deployment and limit say this number, in one change."""
    with change():
        Model.objects.update(max_output_tokens=number)
        Limit.objects.update(amount=number)


@sync_to_async
def furnish() -> str:
    acme = Provider.objects.create(name="Acme", base_url="https://llm.example")
    model = Model.objects.create(name="llm")
    Deployment.objects.create(name="d", model=model, provider=acme, upstream_model="m")
    key, text = issue("alice")
    Limit.objects.create(key=key, metric="requests", amount=1)
    set_all(1)
    return text


async def test_rights_that_are_newer_than_the_configuration_wait_for_it(worker: Worker) -> None:
    text = await furnish()
    await worker.following._look()
    await sync_to_async(set_all)(2)
    entry = await worker.seen(text)  # the worker has not asked yet what changed
    assert (entry.rules[0].amount, worker.snapshot.models["llm"].most_output) == (2, 2)
    assert worker.swaps == sorted(set(worker.swaps))


async def test_keys_and_configuration_change_in_the_same_turn(worker: Worker) -> None:
    text = await furnish()
    await worker.following._look()
    await worker.seen(text)
    await sync_to_async(set_all)(2)
    known = worker.keys.known(text)
    assert known is not None
    looking = asyncio.create_task(worker.following._look())
    while not looking.done():
        old = worker.snapshot.models["llm"].most_output == 1
        assert (worker.keys.known(text) is known) == old
        await asyncio.sleep(0)
    assert worker.keys.known(text) is None


async def test_a_configuration_that_cannot_be_served_is_refused_whole(worker: Worker) -> None:
    text = await furnish()
    await worker.following._look()
    before = worker.snapshot
    with capture_logs() as logs:
        await sync_to_async(Model.objects.update)(strategy="no such strategy", max_output_tokens=2)
        await sync_to_async(ApiKey.objects.update)(enabled=False)
        await worker.following._look()
        await worker.following._look()
    assert [entry["event"] for entry in logs] == ["configuration_refused"]
    assert worker.snapshot is before
    assert not (await worker.seen(text)).enabled  # rights go on being followed
    await sync_to_async(Model.objects.update)(strategy="cost")
    await worker.following._look()
    assert worker.snapshot.models["llm"].most_output == 2


async def test_without_a_database_and_without_a_copy_it_starts_and_says_so(
    worker: Worker, away: Callable[[bool], None]
) -> None:
    away(True)
    await worker.following.start()
    assert (worker.snapshot, worker.following.reach.away) == (EMPTY, True)
    with pytest.raises(DirectoryUnavailable):
        await worker.keys.look_up("sk-anything")


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Whether every question to the database fails from now on."""
    gone = threading.Event()
    current = ConfigVersion.current

    def asked() -> int:
        if gone.is_set():
            raise OperationalError("connection refused")
        return current()

    monkeypatch.setattr(ConfigVersion, "current", asked)
    monkeypatch.setattr(module, "FOLLOW_SECONDS", 0.02)
    return lambda yes: gone.set() if yes else gone.clear()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110  what is waited for happens on other threads
            await asyncio.sleep(0.01)


async def once_answered[Found](ask: Callable[[], Awaitable[Found]]) -> Found:
    """What it finds: SQLite in memory refuses who reads while another thread does, so it asks again."""
    async with asyncio.timeout(10):
        while True:
            try:
                return await ask()
            except DirectoryUnavailable:
                await asyncio.sleep(0.01)


async def test_it_begins_with_its_copy_and_ends_up_with_the_database(
    tmp_path: Path, away: Callable[[bool], None]
) -> None:
    text = await furnish()
    copies = await copied(tmp_path)
    away(True)
    worker = Worker(copies)
    try:
        await worker.following.start()
        assert worker.following.from_copy
        entry = await worker.seen(text)
        assert (entry.rules[0].amount, worker.snapshot.models["llm"].most_output) == (1, 1)
        assert worker.keys.known(text) is entry
        assert await worker.keys._borrow("sk-nobody") is None
        with pytest.raises(DirectoryUnavailable):
            await worker.keys.look_up("sk-nobody")
        await sync_to_async(set_all)(2)
        away(False)
        await until(lambda: not worker.following.from_copy)
        assert worker.keys.known(text) is not entry
        async with asyncio.timeout(10):
            while (await once_answered(lambda: worker.seen(text))).rules[0].amount != 2:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert await once_answered(lambda: worker.keys.look_up("sk-nobody")) is None
        await until(lambda: not worker.following.reach.away)
    finally:
        await worker.close()


async def test_the_same_version_is_read_anew_when_the_database_is_back(
    tmp_path: Path, away: Callable[[bool], None]
) -> None:
    """It may be another one, put back from a backup."""
    await furnish()
    copies = await copied(tmp_path)
    away(True)
    worker = Worker(copies)
    try:
        await worker.following.start()
        version = await sync_to_async(ConfigVersion.objects.get)()
        await sync_to_async(Model.objects.update)(max_output_tokens=7)
        await sync_to_async(version.save)()
        away(False)
        await until(lambda: not worker.following.from_copy)
        assert worker.swaps == [version.number] * 2
        assert worker.snapshot.models["llm"].most_output == 7
    finally:
        await worker.close()


async def test_a_key_that_changed_after_the_copy_is_not_taken_from_it(
    tmp_path: Path, away: Callable[[bool], None]
) -> None:
    text, bobs = await furnish(), (await sync_to_async(issue)("bob"))[1]
    copies = await copied(tmp_path)
    worker = Worker(copies)
    try:
        await worker.following._look()
        key = await ApiKey.objects.aget(name="alice")
        key.enabled = False
        await key.asave()
        await worker.following._look()
        away(True)
        worker.following.reach.failed()
        with pytest.raises(DirectoryUnavailable):
            await worker.keys.look_up(text)
        assert (await worker.seen(bobs)).name == "bob"
    finally:
        await worker.close()


async def test_a_broken_copy_is_as_good_as_none(tmp_path: Path, away: Callable[[bool], None]) -> None:
    await furnish()
    copies = await copied(tmp_path)
    for name in ("configuration", "keys"):
        (copies.folder / name).write_bytes(b"\x00" * 100)
    away(True)
    worker = Worker(copies)
    try:
        with capture_logs() as logs:
            await worker.following.start()
        assert worker.snapshot is EMPTY
        assert [entry["event"] for entry in logs].count("copy_ignored") == 2
        away(False)
        await until(lambda: worker.snapshot is not EMPTY)
    finally:
        await worker.close()


async def test_a_database_that_says_nothing_holds_up_the_start_for_a_moment_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = await furnish()
    copies = await copied(tmp_path)
    silent = threading.Event()
    ask = module._ask
    monkeypatch.setattr(module, "_ask", lambda *given: (silent.wait(20), ask(*given))[1])
    monkeypatch.setattr(module, "BEGIN_SECONDS", 0.05)
    monkeypatch.setattr(module, "FOLLOW_SECONDS", 0.02)
    worker = Worker(copies)
    try:
        await worker.following.start()
        assert worker.following.from_copy
        assert worker.following.reach.away
        assert (await worker.seen(text)).name == "alice"
        silent.set()
        await until(lambda: not worker.following.reach.away)
        assert not worker.following.from_copy
    finally:
        silent.set()
        await worker.close()
