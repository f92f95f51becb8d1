"""The rules of counting at full length: Python, Lua and the plain model, for 50 seeds."""

from collections.abc import Callable
from random import Random

import pytest

from tests.providers.counting import World

STEPS, SEEDS = 10_000, 50


@pytest.mark.torture
@pytest.mark.redis
@pytest.mark.timeout(3600)
def test_limit_rules(redis_url: str, torture_result: Callable[[dict[str, object]], None]) -> None:
    checks = 0
    for seed in range(SEEDS):
        world = World(redis_url, Random(seed))
        for _ in range(STEPS):
            world.step()
        checks += world.trio.checks
    torture_result({"steps": STEPS, "seeds": SEEDS, "comparisons": checks, "differences": 0})
