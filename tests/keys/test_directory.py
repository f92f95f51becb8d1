"""The keys a worker has seen: no query for a hit, and no change goes unseen."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Executor
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError, connections
from django.db.backends.utils import CursorWrapper

from keys import directory as module
from keys.directory import DirectoryUnavailable, KeyDirectory, Loaded, news_since
from keys.entries import Entry
from keys.issuing import issue
from keys.models import ApiKey, EndUser, KeyChange, Limit, Team
from providers.models import Deployment, Model, Provider

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def queries(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every statement of any thread; the directory's own threads included."""
    seen: list[str] = []
    execute = CursorWrapper.execute

    def noted(self: CursorWrapper, sql: str, params: Any = None) -> object:
        seen.append(sql)
        return execute(self, sql, params)

    monkeypatch.setattr(CursorWrapper, "execute", noted)
    return seen


@pytest.fixture
async def keys() -> AsyncIterator[KeyDirectory]:
    made = KeyDirectory()
    await follow(made)
    yield made
    await on_all_threads(made._executor, connections.close_all)
    made.close()


async def follow(keys: KeyDirectory) -> None:
    """What a worker does each second."""
    keys.apply(await sync_to_async(news_since)(keys.mark))


async def on_all_threads(executor: Executor, work: object) -> None:
    meet = threading.Barrier(2)
    loop = asyncio.get_running_loop()
    await asyncio.gather(
        *(loop.run_in_executor(executor, lambda: (meet.wait(5), work())) for _ in range(2))  # type: ignore[operator]
    )


@sync_to_async
def saved(name: str = "Alice", **values: object) -> str:
    _, text = issue(name, **values)  # type: ignore[arg-type]
    return text


@sync_to_async
def alice(**values: object) -> None:
    key = ApiKey.objects.get(name="Alice")
    for name, value in values.items():
        setattr(key, name, value)
    key.save()


async def seen(keys: KeyDirectory, text: str) -> Entry:
    entry = keys.known(text) or await keys.look_up(text)
    assert entry is not None
    return entry


async def test_a_key_seen_before_costs_no_query_and_no_thread(
    keys: KeyDirectory, queries: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = await saved()
    first = await seen(keys, text)
    queries.clear()
    with monkeypatch.context() as without:
        without.setattr(keys, "_executor", None)
        assert keys.known(text) is first
    assert queries == []


async def test_an_entry_holds_rights_and_all_limits(keys: KeyDirectory) -> None:
    team = await Team.objects.acreate(name="Research")
    llm = await Model.objects.acreate(name="llm")
    text = await saved(team=team, models=[llm])
    key = await ApiKey.objects.aget()
    await Limit.objects.acreate(key=key, metric="requests", amount=3, model=llm, mode="shadow")
    await Limit.objects.acreate(team=team, metric="tokens", amount=1000, window="day", time_zone="Asia/Tokyo")
    entry = await seen(keys, text)
    assert (entry.name, entry.team, entry.public_id) == ("Alice", "Research", key.public_id)
    assert entry.may_use("llm")
    assert not entry.may_use("other")
    one, two = entry.rules
    assert (one.owner, one.metric, one.amount) == ("key 'Alice'", "requests", 3)
    assert (one.model, one.shadow, two.shadow) == ("llm", True, False)
    assert (two.owner, two.window, two.time_zone, two.model) == ("team 'Research'", "day", "Asia/Tokyo", None)


async def test_limits_of_others_are_not_among_them(keys: KeyDirectory) -> None:
    text, _ = await saved(), await saved("Bob")
    bob = await ApiKey.objects.aget(name="Bob")
    team = await Team.objects.acreate(name="Research")
    await Limit.objects.acreate(key=bob, metric="requests", amount=3)
    await Limit.objects.acreate(team=team, metric="requests", amount=3)
    assert (await seen(keys, text)).rules == ()


async def test_an_unknown_key_is_none_and_is_not_kept(keys: KeyDirectory) -> None:
    assert await keys.look_up("sk-nobody") is None
    assert keys.known("sk-nobody") is None
    await saved(text="sk-nobody")
    assert (await seen(keys, "sk-nobody")).name == "Alice"


async def change_key() -> None:
    await alice(enabled=False)


async def change_limit() -> None:
    await Limit.objects.acreate(key=await ApiKey.objects.aget(), metric="requests", amount=1)


async def change_limit_away() -> None:
    await (await Limit.objects.afirst()).adelete()  # type: ignore[union-attr]


async def change_team_limit() -> None:
    await Limit.objects.acreate(team=await Team.objects.aget(), metric="requests", amount=1)


async def change_limit_of_everyone() -> None:
    await Limit.objects.acreate(metric="cost", amount=1, window="month")


async def change_limit_of_each_end_user() -> None:
    await Limit.objects.acreate(
        key=await ApiKey.objects.aget(), metric="tokens", amount=1, each_end_user=True
    )


async def change_team_name() -> None:
    team = await Team.objects.aget()
    team.name = "Sales"
    await team.asave()


async def change_rights() -> None:
    await (await ApiKey.objects.aget()).allowed_models.aadd(await Model.objects.acreate(name="other"))


async def change_rights_from_the_model() -> None:
    other = await Model.objects.acreate(name="other")
    await other.keys.aadd(await ApiKey.objects.aget())


async def change_model_name() -> None:
    model = await Model.objects.aget()
    model.name = "renamed"
    await model.asave()


async def change_model_away() -> None:
    await (await Model.objects.aget()).adelete()


CHANGES = [value for name, value in list(globals().items()) if name.startswith("change_")]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__.removeprefix("change_"))
async def test_a_change_is_seen_after_following(keys: KeyDirectory, change: object) -> None:
    team, llm = await Team.objects.acreate(name="Research"), await Model.objects.acreate(name="llm")
    text = await saved(team=team, models=[llm])
    await Limit.objects.acreate(key=await ApiKey.objects.aget(), metric="tokens", amount=9)
    await follow(keys)
    before = await seen(keys, text)
    await change()  # type: ignore[operator]
    assert keys.known(text) is before
    await follow(keys)
    assert keys.known(text) is None
    assert await seen(keys, text) != before


async def test_a_deleted_key_is_gone_after_following(keys: KeyDirectory) -> None:
    text = await saved()
    await seen(keys, text)
    await ApiKey.objects.all().adelete()
    await follow(keys)
    assert keys.known(text) is None
    assert await keys.look_up(text) is None


async def test_a_change_of_bob_leaves_alice_alone(keys: KeyDirectory) -> None:
    text, _ = await saved(), await saved("Bob")
    await follow(keys)
    entry = await seen(keys, text)
    bob = await ApiKey.objects.aget(name="Bob")
    await bob.asave()
    await follow(keys)
    assert keys.known(text) is entry


async def test_a_change_of_a_team_leaves_others_alone(keys: KeyDirectory) -> None:
    research, sales = [await Team.objects.acreate(name=name) for name in ("Research", "Sales")]
    alices, bobs = await saved(team=research), await saved("Bob", team=sales)
    await follow(keys)
    entry, other = await seen(keys, alices), await seen(keys, bobs)
    await Limit.objects.acreate(team=sales, metric="requests", amount=1)
    await follow(keys)
    assert keys.known(alices) is entry
    assert keys.known(bobs) is None
    assert [rule.owner for rule in (await seen(keys, bobs)).rules] == ["team 'Sales'"]
    assert other.rules == ()


async def test_limits_of_deployments_and_end_users_belong_to_no_key(keys: KeyDirectory) -> None:
    text = await saved()
    provider = await Provider.objects.acreate(name="local", base_url="http://127.0.0.1:1/v1")
    llm = await Model.objects.acreate(name="llm")
    deployment = await Deployment.objects.acreate(
        name="llm/a", model=llm, provider=provider, upstream_model="llm"
    )
    bob = await EndUser.objects.acreate(name="bob")
    await Limit.objects.acreate(deployment=deployment, metric="requests", amount=5)
    await Limit.objects.acreate(end_user=bob, model=llm, metric="cost", amount=7, window="day")
    await follow(keys)
    assert (await seen(keys, text)).rules == ()
    [of_deployment] = keys.standing.deployments[deployment.pk]
    assert (of_deployment.owner, of_deployment.scope.deployment) == ("deployment 'llm/a'", "llm/a")
    [of_bob] = keys.standing.end_users["bob"]
    assert (of_bob.owner, of_bob.scope.end_user, of_bob.scope.model) == ("end user 'bob'", "bob", "llm")
    await Limit.objects.all().adelete()
    await follow(keys)
    assert (keys.standing.deployments, keys.standing.end_users) == ({}, {})


async def test_a_change_that_commits_after_a_later_one_is_still_seen(keys: KeyDirectory) -> None:
    text = await saved()
    pk = (await ApiKey.objects.aget()).pk
    await KeyChange.objects.acreate(pk=1000, key_id=pk + 1)
    await follow(keys)
    await seen(keys, text)
    await KeyChange.objects.acreate(pk=700, key_id=pk)
    await follow(keys)
    assert keys.known(text) is None


async def test_more_changes_than_are_read_at_once_drop_everything(keys: KeyDirectory) -> None:
    text = await saved()
    await follow(keys)
    await seen(keys, text)
    pk = (await ApiKey.objects.aget()).pk
    await KeyChange.objects.abulk_create([KeyChange(key_id=pk + min(n, 1)) for n in range(1500)])
    await follow(keys)
    assert keys.known(text) is None


async def test_a_worker_that_slept_while_the_log_was_cleared_forgets_what_it_knew(keys: KeyDirectory) -> None:
    text = await saved()
    await follow(keys)
    await seen(keys, text)
    await alice(enabled=False)
    await KeyChange.objects.all().adelete()
    keys._followed = time.time() - 2 * 86400
    await follow(keys)
    assert not (await seen(keys, text)).enabled


async def test_sixty_requests_of_a_new_key_make_one_load(keys: KeyDirectory, queries: list[str]) -> None:
    text = await saved()
    queries.clear()
    entries = await asyncio.gather(*(keys.look_up(text) for _ in range(60)))
    assert len(set(map(id, entries))) == 1
    assert sum('FROM "keys_apikey"' in sql and "public_id" in sql for sql in queries) == 1


@pytest.fixture
def slow_loads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[threading.Event]]:
    """Each load has read its rows and then waits for its own event."""
    gates: list[threading.Event] = []
    load = module._load

    def slowly(text: str) -> Loaded | None:
        loaded = load(text)
        gate = threading.Event()
        gates.append(gate)
        gate.wait(5)
        return loaded

    monkeypatch.setattr(module, "_load", slowly)
    yield gates
    for gate in gates:
        gate.set()


async def loading(gates: list[threading.Event], count: int) -> None:
    async with asyncio.timeout(5):
        while len(gates) < count:  # noqa: ASYNC110 - the gates are made on other threads
            await asyncio.sleep(0.005)


async def test_what_was_read_before_a_change_lets_nobody_in(
    keys: KeyDirectory, slow_loads: list[threading.Event]
) -> None:
    text = await saved()
    await follow(keys)
    early = asyncio.create_task(keys.look_up(text))
    await loading(slow_loads, 1)
    await alice(enabled=False)
    await follow(keys)
    late = asyncio.create_task(keys.look_up(text))
    await loading(slow_loads, 2)
    slow_loads[1].set()
    late_entry = await late
    slow_loads[0].set()
    await loading(slow_loads, 3)
    slow_loads[2].set()
    early_entry = await early
    assert late_entry is not None
    assert not late_entry.enabled
    assert early_entry == late_entry == keys.known(text)


async def test_a_caller_that_leaves_does_not_disturb_the_others(
    keys: KeyDirectory, slow_loads: list[threading.Event]
) -> None:
    text = await saved()
    leaving, staying = (asyncio.create_task(keys.look_up(text)) for _ in range(2))
    await loading(slow_loads, 1)
    leaving.cancel()
    slow_loads[0].set()
    assert (await staying) is not None


async def test_a_database_that_fails_is_no_unknown_key(
    keys: KeyDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, new = await saved(), await saved("Bob")
    entry = await seen(keys, known)

    def away(text: str) -> None:
        raise OperationalError("the database is away")

    monkeypatch.setattr(module, "find", away)
    with pytest.raises(DirectoryUnavailable):
        await keys.look_up(new)
    assert keys.known(known) is entry
    monkeypatch.undo()
    assert (await seen(keys, new)).name == "Bob"


async def test_a_database_that_hangs_is_given_up(
    keys: KeyDirectory, slow_loads: list[threading.Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_UP_SECONDS", 0.05)
    text = await saved()
    with pytest.raises(DirectoryUnavailable):
        await keys.look_up(text)


async def test_the_oldest_entries_make_room(keys: KeyDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ENTRIES", 2)
    texts = [await saved(name) for name in ("Alice", "Bob", "Carol")]
    await seen(keys, texts[0])
    await seen(keys, texts[1])
    keys.known(texts[0])
    await seen(keys, texts[2])
    assert [bool(keys.known(text)) for text in texts] == [True, False, True]


async def test_no_key_is_in_memory(keys: KeyDirectory) -> None:
    text = await saved()
    await seen(keys, text)
    assert text not in repr(keys.__dict__)
    assert text[19:] not in repr(keys.__dict__)
