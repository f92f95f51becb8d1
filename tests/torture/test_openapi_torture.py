"""Five minutes of all that the document of what is served allows."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests import schemathesis_run
from tests.gateway_process import Gateway
from tests.path.client import Client
from tests.upstream import Upstream

SECONDS = 300
type Write = Callable[[dict[str, object]], None]

pytestmark = pytest.mark.torture


def test_openapi_fuzz(tmp_path: Path, torture_result: Write) -> None:
    with Upstream("openapi") as provider, Gateway(schemathesis_run.config(provider)) as running:
        alice = Client(running, running.create_key("alice"))
        code, said = schemathesis_run.run(alice, provider, tmp_path, seconds=SECONDS, examples=100_000)
        seen = {name: len(provider.log(name)) for name in ("llm", "chats", "claude-x", "voice")}
        crossed = schemathesis_run.crossed(alice)
        ways = {f"{endpoint} by {model}": count for (endpoint, model), count in crossed.items()}
        torture_result({"exit": code, "upstream_requests": seen, "crossed": ways, "said": said[-2000:]})
        assert code == 0, said[-6000:]
        assert min(crossed.values()) >= 20, crossed
