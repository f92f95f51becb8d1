"""Numbers that several processes count, one of which dies."""

import os
import signal
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection

import pytest

from gateway.tallies import CELLS, Region, Tallies

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
A, B = ("served", "llm", "a"), ("served", "llm", "b")


def add(region: Region, name: tuple[str, ...], value: float = 1.0) -> None:
    first = region.row(name, 2)
    assert first is not None
    region.cells[first + 1] += value


class Worker:
    """A fork that has a region of its own: it counts one each time it is told a name."""

    def __init__(self, tallies: Tallies) -> None:
        fork = get_context("fork")
        self._ours, theirs = fork.Pipe()
        self._process = fork.Process(target=self._work, args=(tallies, theirs), daemon=True)
        self._process.start()

    def _work(self, tallies: Tallies, told: Connection) -> None:
        region = tallies.take()
        while True:
            add(region, told.recv())
            told.send("counted")

    def count(self, name: tuple[str, ...], times: int = 1) -> None:
        for _ in range(times):
            self._ours.send(name)
            assert self._ours.recv() == "counted"

    def kill(self) -> None:
        assert self._process.pid
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.join()


def test_each_worker_counts_apart_and_anybody_sums() -> None:
    tallies = Tallies(2)
    one, two = Worker(tallies), Worker(tallies)
    one.count(A, 3)
    two.count(A, 4)
    two.count(B)
    assert tallies.sums() == {A: [0.0, 7.0], B: [0.0, 1.0]}
    one.kill()
    two.kill()


def test_what_a_killed_worker_counted_stays_and_its_successor_goes_on_from_there() -> None:
    tallies = Tallies(2)
    one, two = Worker(tallies), Worker(tallies)
    one.count(B)
    one.count(A, 3)
    two.count(A, 2)
    for _ in range(3):
        one.kill()
        before = tallies.sums()
        one = Worker(tallies)
        one.count(A)
        assert tallies.sums() == {A: [0.0, before[A][1] + 1], B: [0.0, 1.0]}
    one.kill()
    two.kill()


def test_a_worker_without_a_region_counts_for_itself() -> None:
    tallies = Tallies(1)
    one = Worker(tallies)
    one.count(A)
    two = Worker(tallies)
    two.count(A, 5)
    assert tallies.sums() == {A: [0.0, 1.0]}
    one.kill()
    two.kill()


def test_one_process_has_as_many_regions_as_it_takes() -> None:
    tallies = Tallies(1)
    for _ in range(3):
        add(tallies.take(), A)
    assert tallies.sums() == {A: [0.0, 3.0]}


@pytest.mark.parametrize("name", [("a\nb", ""), ("\u2028", "é" * 300), ('"', "\\")])
def test_names_are_any_text(name: tuple[str, ...]) -> None:
    tallies = Tallies()
    region = tallies.take()
    add(region, name)
    add(region, A)
    add(region, name)
    assert tallies.sums() == {name: [0.0, 2.0], A: [0.0, 1.0]}


@pytest.mark.parametrize(
    "name",
    [lambda number: ("n", str(number)), lambda number: ("n", f"{number}" * 400)],
    ids=["cells", "names"],
)
def test_without_room_there_is_no_further_row_and_the_others_stay_right(
    name: Callable[[int], tuple[str, ...]],
) -> None:
    tallies = Tallies()
    region = tallies.take()
    number = 0
    while (first := region.row(name(number), 64)) is not None:
        region.cells[first + 63] += number
        number += 1
    assert 100 < number <= CELLS // 64
    assert region.row(name(number - 1), 64) is not None
    sums = tallies.sums()
    assert [sums[name(each)][63] for each in range(number)] == list(range(number))


def test_a_row_that_was_begun_when_its_worker_was_killed_is_not_there() -> None:
    memory = memoryview(bytearray(len(Tallies()._memory)))
    add(Region(memory), A)
    region = Region(memory)
    end = region._end[0]
    region._names[end : end + 9] = b'[2,"x","y'
    again = Region(memory)
    assert list(again) == [(A, 0, 2)]
    add(again, B)
    assert [name for name, _, _ in Region(memory)] == [A, B]
