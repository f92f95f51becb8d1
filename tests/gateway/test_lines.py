"""Who waits for a free place gets it in the order of coming, and whoever leaves holds up nobody."""

import asyncio

import pytest

from gateway.lines import LineFull, Lines
from providers.tags import NONE

PAID = frozenset({"paid"})


async def _stand(lines: Lines, name: str, done: list[str], seconds: float = 30.0) -> None:
    with lines.place("llm", NONE, 10) as place:
        done.append(f"{name} {'in' if await place.turn(seconds) else 'gone'}")


async def test_the_first_one_looks_first_and_then_the_next() -> None:
    lines, done = Lines(), list[str]()
    tasks = [asyncio.create_task(_stand(lines, name, done)) for name in ("alice", "bob", "carol")]
    await asyncio.sleep(0)
    assert lines.lengths() == {"llm": 3}
    lines.wake("llm")
    await asyncio.gather(*tasks)
    assert done == ["alice in", "bob in", "carol in"]
    assert lines.lengths() == {}


async def test_the_first_one_looks_again_by_itself() -> None:
    lines, done = Lines(), list[str]()
    await _stand(lines, "alice", done)  # nobody wakes her
    assert done == ["alice in"]


async def test_who_waited_long_enough_leaves_and_the_next_one_is_first() -> None:
    lines, done = Lines(), list[str]()
    with lines.place("llm", NONE, 10) as first:
        bob = asyncio.create_task(_stand(lines, "bob", done, seconds=0.01))
        carol = asyncio.create_task(_stand(lines, "carol", done))
        await bob
        assert done == ["bob gone"]
        assert await first.turn(30)
    await carol
    assert done == ["bob gone", "carol in"]


async def test_a_client_that_leaves_gives_its_place_to_the_next() -> None:
    lines, done = Lines(), list[str]()
    alice = asyncio.create_task(_stand(lines, "alice", done))
    bob = asyncio.create_task(_stand(lines, "bob", done))
    await asyncio.sleep(0)
    alice.cancel()
    await bob
    assert done == ["bob in"]
    assert alice.cancelled()


async def test_who_lets_others_past_holds_up_nobody_and_keeps_its_turn() -> None:
    lines, done = Lines(), list[str]()
    with lines.place("llm", NONE, 10) as big:
        bob = asyncio.create_task(_stand(lines, "bob", done, seconds=0.3))
        carol = asyncio.create_task(_stand(lines, "carol", done, seconds=0.3))
        await asyncio.sleep(0)
        assert lines.busy("llm", NONE)
        big.let_past()
        await asyncio.gather(bob, carol)
        assert done == ["bob in", "carol in"]
        assert not lines.busy("llm", NONE)
        assert await big.turn(30)


def test_a_line_is_bounded_over_all_tags_of_a_model() -> None:
    lines = Lines()
    with lines.place("llm", NONE, 2), lines.place("llm", PAID, 2):
        assert lines.busy("llm", PAID)
        assert not lines.busy("other", NONE)
        with pytest.raises(LineFull), lines.place("llm", NONE, 2):
            pass
    assert not lines.busy("llm", PAID)
