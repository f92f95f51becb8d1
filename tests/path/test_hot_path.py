"""A request that the worker has seen the like of before costs no query and no thread hop, at either door."""

import asyncio
import json
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection

from gateway.door import ApiDoor
from gateway.runtime import Gateway
from keys.issuing import issue
from keys.models import Limit
from providers import snapshot
from providers.destinations import host_key
from providers.models import Deployment, Model, Provider
from tests.upstream import Behaviour, Upstream

pytestmark = pytest.mark.django_db(transaction=True)


class CountingLoop(asyncio.SelectorEventLoop):
    """An event loop that counts what leaves its thread."""

    hops = 0

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        self.hops += 1
        return super().run_in_executor(executor, func, *args)


@contextmanager
def _counted_queries() -> Iterator[list[str]]:
    seen: list[str] = []

    def note(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        seen.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        yield seen


def _alices_key(upstream: Upstream) -> str:
    provider = Provider.objects.create(
        name="local", base_url=upstream.url, confirmed_host=host_key(upstream.url)
    )
    model = Model.objects.create(name="llm")
    Deployment.objects.create(name="llm/a", model=model, provider=provider, upstream_model="llm")
    key, text = issue("alice")
    Limit.objects.create(key=key, metric="requests", amount=100, window="minute")
    Limit.objects.create(key=key, metric="tokens", amount=100_000, window="day")
    return text


async def _ask(door: ApiDoor, key: str, *, stream: bool) -> tuple[int, bytes]:
    body = json.dumps({"model": "llm", "stream": stream, "messages": [{"role": "user", "content": "hi"}]})
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/chat/completions",
        "query_string": b"",
        "headers": [(b"authorization", f"Bearer {key}".encode())],
    }
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body.encode(), "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await door(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent)


@pytest.mark.parametrize("direct", [True, False], ids=["direct door", "DRF view"])
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_a_warm_request_makes_no_query_and_no_thread_hop(
    direct: bool, stream: bool, settings: Any, tmp_path: Any
) -> None:
    settings.DATA_DIR = tmp_path
    with Upstream() as upstream:
        upstream.behave(Behaviour(tokens=5))
        key = _alices_key(upstream)
        loaded = snapshot.load()

        async def scenario() -> tuple[int, list[str]]:
            gateway = Gateway()
            gateway.snapshot = loaded
            gateway.shipper.adopted.set()  # the ledger is complete: nothing was left to ship
            door = ApiDoor(gateway, direct=direct)
            assert (await _ask(door, key, stream=stream))[0] == 200
            loop = asyncio.get_running_loop()
            assert isinstance(loop, CountingLoop)
            before = loop.hops
            assert before >= 1, "the first request looks its key up"
            with _counted_queries() as queries:
                for _ in range(5):
                    status, body = await _ask(door, key, stream=stream)
                    assert status == 200
                    assert b"w4" in body
            gateway.transport.close()
            gateway.journal.close()
            gateway.keys.close()
            return loop.hops - before, queries

        with asyncio.Runner(loop_factory=CountingLoop) as runner:
            hops, queries = runner.run(scenario())
    assert hops == 0
    assert queries == []
