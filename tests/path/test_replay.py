"""What a gateway really served, through drafts of the configuration that it had."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from tests.gateway_process import Entry, Gateway, config_of
from tests.path.client import Client
from tests.upstream import Upstream


def replayed(gateway: Gateway, path: Path, entries: list[Entry]) -> dict[str, tuple[int, int]]:
    path.write_text(config_of(entries))
    since = ("--since", "2020-01-01")
    told = json.loads(gateway.manage("replay", *since, "--config", str(path), "--format", "json"))
    return {
        each["deployment"]: (each["requests"]["before"], each["requests"]["after"])
        for each in told["deployments"]
    }


def test_the_same_configuration_moves_nothing_and_a_draft_what_it_says(
    upstream: Upstream, spare: Upstream, tmp_path: Path
) -> None:
    def entries(first: int, second: int) -> list[Entry]:
        weights: list[dict[str, Any]] = [{"weight": first}, {"weight": second}]
        bases = (upstream.url, spare.url)
        return [Entry("m", base, params=params) for base, params in zip(bases, weights, strict=True)]

    with Gateway(config_of(entries(3, 1))) as gateway:
        alice = Client(gateway, gateway.create_key("alice"))
        assert {alice.chat("m", stream=number % 2 == 0).status for number in range(40)} == {200}
        served = Counter(row["deployment"] for row in gateway.usage(40))
        assert sorted(served.values()) == [10, 30]
        draft = tmp_path / "draft.yml"
        same = replayed(gateway, draft, entries(3, 1))
        assert same == {name: (count, count) for name, count in served.items()}
        first, second = (name for name, _ in served.most_common())
        assert replayed(gateway, draft, entries(3, 2)) == {first: (30, 24), second: (10, 16)}
        assert replayed(gateway, draft, entries(3, 1)[:1]) == {first: (30, 40), second: (10, 0)}
        assert len(gateway.usage(40)) == 40
