"""The rules of counting in Python and in Lua, against the same rules written out plainly."""

from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.providers.counting import World

pytestmark = pytest.mark.redis


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(random=st.randoms(use_true_random=False), steps=st.integers(1, 300))
def test_python_lua_and_the_plain_rules_agree(redis_url: str, random: Random, steps: int) -> None:
    world = World(redis_url, random)
    for _ in range(steps):
        world.step()
    assert world.trio.checks >= 2 * steps
