"""What the tests of upstream connections share: a provider at byte level, on both event loops."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import uvloop

from providers.transport import Transport
from tests.providers.raw_provider import Provider

type LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> dict[str, LoopFactory]:
    """Connections end differently on the loop that serves and on the standard library's: test on both."""
    both = item.path.name.startswith("test_transport")
    return {"asyncio": asyncio.new_event_loop} | ({"uvloop": uvloop.new_event_loop} if both else {})


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    played = Provider()
    server = await asyncio.start_server(played.talk, "127.0.0.1", 0)
    played.port = server.sockets[0].getsockname()[1]
    yield played
    server.close()
    for writer in played.writers:
        writer.transport.abort()


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    made = Transport(connect_timeout=10, rest_seconds=0)  # one connection, used again at once
    yield made
    made.close()
    await asyncio.sleep(0)
