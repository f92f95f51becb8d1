"""A decision is small, can be read again, and says what an operator asks for."""

from dataclasses import dataclass, field
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.decisions import LONGEST, MOST_CANDIDATES, Circumstances, Fate, decoded, record, with_then
from providers.explaining import Seen, choice, explained
from providers.routing import Passed, Share


@dataclass(frozen=True, slots=True)
class Named:
    name: str
    share: Share


@dataclass(frozen=True, slots=True)
class Ordered:
    ids: list[int]
    shares: tuple[Share, ...] = ()
    passed: dict[int, Passed] = field(default_factory=dict)
    scores: dict[int, float] = field(default_factory=dict)


LLM = {
    1: Named("llm-a", Share(1, 0, 3)),
    2: Named("llm-b", Share(2, 0, 1)),
    3: Named("llm-c", Share(3, 1, 1)),
    4: Named("llm-d", Share(4, 1, 0)),
}


def told(order: Ordered, taken: int | None, strategy: str = "weighted", **more: Any) -> list[str]:
    decision = decoded(record(strategy, order, LLM, taken, **more))
    assert decision is not None
    return [str(line) for line in choice(decision)]


def test_the_usual_record_is_short() -> None:
    text = record("weighted", Ordered([1, 2]), LLM, 1)
    assert text == '["weighted",[["llm-a",0,3,"chosen"],["llm-b",0,1,"next"]]]'


def test_by_weight() -> None:
    assert told(Ordered([1, 2, 3, 4]), 1) == [
        "Order: lower priority first, then shares by weight.",
        "llm-a: asked, it was its turn (priority 0, weight 3).",
        "llm-b: would have been next (priority 0, weight 1).",
        "llm-c: would have been next (priority 1, weight 1).",
        "llm-d: would have been next (priority 1, standby).",
    ]


def test_the_only_one() -> None:
    assert told(Ordered([1]), 1) == ["llm-a: asked, it is the only deployment (priority 0, weight 3)."]


def test_those_in_front_had_no_room() -> None:
    blocked = {1: Fate.PLACES, 2: Fate.LIMIT}
    assert told(Ordered([1, 2, 3]), 3, blocked=blocked.__getitem__) == [
        "Order: lower priority first, then shares by weight.",
        "llm-a: passed over, all its places were taken (priority 0, weight 3).",
        "llm-b: passed over, a limit of its own was reached (priority 0, weight 1).",
        "llm-c: asked, the first in line that had room (priority 1, weight 1).",
    ]


def test_who_is_left_out_and_why() -> None:
    order = Ordered([3], passed={1: Passed.TAGS, 2: Passed.EJECTED, 4: Passed.RESTING})
    around = Circumstances(asked="gpt", tags=frozenset({"paid", "eu"}), instead_of="big", on="context_window")
    assert told(order, 3, circumstances=around, queued_ms=1234) == [
        "Asked instead of big: the prompt was too long for it.",
        "The client asked for gpt.",
        "Tags of the request: eu, paid.",
        "It waited 1.2 s for a free place.",
        "Order: lower priority first, then shares by weight.",
        "llm-c: asked, the only one that could be (priority 1, weight 1).",
        "llm-a: left out, its tags did not fit those of the request (priority 0, weight 3).",
        "llm-b: left out, it was put aside after failures (priority 0, weight 1).",
        "llm-d: left out, its provider had asked to be left alone for a while (priority 1, standby).",
    ]


@pytest.mark.parametrize(
    ("strategy", "scores", "expected"),
    [
        ("least-busy", {1: 1 / 3, 2: 2.0}, ("0.333 in flight for its weight", "2 in flight for its weight")),
        ("latency", {1: 0.0, 2: 1.234}, ("latency not known yet", "first token in 1.23 s")),
        ("usage", {1: 0.25, 2: 1.0}, ("25 % of its limits used", "100 % of its limits used")),
        ("cost", {1: 0.6e15, 2: inf}, ("$0.6 for 1000 tokens in and out", "no price known")),
    ],
)
def test_what_a_strategy_compared(strategy: str, scores: dict[int, float], expected: tuple[str, str]) -> None:
    _, first, second = told(Ordered([1, 2], scores=scores), 1, strategy)
    assert first == f"llm-a: asked, the best by the order (priority 0, weight 3, {expected[0]})."
    assert second == f"llm-b: would have been next (priority 0, weight 1, {expected[1]})."


def test_equals_take_turns() -> None:
    lines = told(Ordered([2, 1], scores={1: 0.0, 2: 0.0}), 2, "least-busy")
    assert lines[1].startswith("llm-b: asked, it was its turn among equals (")


def test_one_that_comes_back_gets_a_part_of_its_share() -> None:
    shares = (Share(1, 0, 105), Share(2, 0, 100))
    lines = told(Ordered([2, 1], shares), 2, ramped=True)
    assert lines[2].endswith("(priority 0, weight 3, 35 % of its share while it comes back).")
    assert "%" not in lines[1]


def test_the_same_one_again_on_a_new_connection() -> None:
    lines = told(Ordered([1, 2], passed={1: Passed.TRIED}), 1, again=True)
    assert len(lines) == 3
    assert lines[1:] == [
        "llm-a: asked again on a new connection, for the kept one had died (priority 0, weight 3).",
        "llm-b: would have been next (priority 0, weight 1).",
    ]


def test_a_request_that_nobody_got() -> None:
    lines = told(Ordered([1, 2]), None, blocked=lambda _: Fate.PLACES, note="Every deployment was full.")
    assert [line.partition(" (")[0] for line in lines[1:]] == [
        "llm-a: passed over, all its places were taken",
        "llm-b: passed over, all its places were taken",
        "Every deployment was full.",
    ]


def test_what_is_not_made_yet_is_told_as_such() -> None:
    decision = decoded(record("weighted", Ordered([2], passed={1: Passed.EJECTED}), LLM, 2))
    assert decision is not None
    assert [str(line) for line in choice(decision, ahead=True)][1:] == [
        "llm-b: would be asked, the only one that could be (priority 0, weight 1).",
        "llm-a: left out, it is put aside after failures (priority 0, weight 3).",
    ]


ENDS = {
    "another attempt was made": ("retry", Seen("failed", 503, "http_503", followed=True)),
    "another deployment was to be asked, but none had room in time": (
        "retry",
        Seen("failed", 503, "http_503"),
    ),
    "the request had all the attempts that its model allows": ("attempts", Seen("failed", 503, "http_503")),
    "too many requests were being retried, so this one was not": ("budget", Seen("failed", 503, "http_503")),
    "the client's own doing, which any other would refuse too, so its answer was passed on": (
        "",
        Seen("failed", 400, "http_400"),
    ),
}


@pytest.mark.parametrize("meaning", ENDS)
def test_what_a_failure_meant(meaning: str) -> None:
    then, seen = ENDS[meaning]
    decision = decoded(with_then(record("weighted", Ordered([1, 2]), LLM, 1), then))
    assert str(explained(decision, seen)[-1]) == f"It failed with HTTP status {seen.http_status}: {meaning}."


def test_a_row_of_before_says_so() -> None:
    assert list(map(str, explained(None, Seen("ok", 200)))) == [
        "No decision was recorded: the row is of a version that kept none."
    ]


def test_an_answer_needs_no_words_for_its_end() -> None:
    lines = explained(decoded(record("weighted", Ordered([1]), LLM, 1)), Seen("ok", 200))
    assert list(map(str, lines)) == ["llm-a: asked, it is the only deployment (priority 0, weight 3)."]


# --- size ---------------------------------------------------------------------------------------


def many(count: int, name: str = "openai-eu-{}") -> dict[int, Named]:
    return {id: Named(name.format(id), Share(id, 0, 1)) for id in range(count)}


def test_a_dozen_cost_some_three_hundred_bytes() -> None:
    assert len(record("weighted", Ordered(list(range(12))), many(12, "llm-{}"), 0)) < 300


@pytest.mark.parametrize("taken", [0, 150, 299])
def test_of_hundreds_those_around_the_chosen_one_are_kept(taken: int) -> None:
    decision = decoded(record("weighted", Ordered(list(range(300))), many(300), taken))
    assert decision is not None
    assert len(decision.candidates) == MOST_CANDIDATES
    assert decision.cut == 300 - MOST_CANDIDATES
    assert decision.chosen is not None
    assert decision.chosen.name == f"openai-eu-{taken}"


def test_some_who_were_passed_over_are_kept_beside_hundreds() -> None:
    order = Ordered(list(range(200)), passed=dict.fromkeys(range(200, 300), Passed.EJECTED))
    decision = decoded(record("weighted", order, many(300), 0))
    assert decision is not None
    fates = [each.fate for each in decision.candidates]
    assert fates.count(Passed.EJECTED) == 4
    assert len(fates) + decision.cut == 300


@given(
    count=st.integers(1, 40),
    name=st.text(max_size=300),
    tags=st.frozensets(st.text(min_size=1, max_size=100), max_size=50),
    passed=st.integers(0, 40),
    note=st.text(max_size=900),
    data=st.data(),
)
def test_whatever_is_told_fits_and_is_read_again(
    count: int, name: str, tags: frozenset[str], passed: int, note: str, data: st.DataObject
) -> None:
    targets = {id: Named(f"{id}{name}", Share(id, 0, 1)) for id in range(count + passed)}
    order = Ordered(list(range(count)), passed=dict.fromkeys(range(count, count + passed), Passed.RESTING))
    taken = data.draw(st.one_of(st.none(), st.sampled_from(order.ids)))
    text = record("weighted", order, targets, taken, circumstances=Circumstances(name[:200], tags), note=note)
    assert len(text) <= LONGEST
    decision = decoded(text)
    assert decision is not None
    assert len(decision.candidates) + decision.cut == count + passed
    assert (decision.chosen is not None) == (taken is not None)
    after = decoded(with_then(text, "attempts"))
    assert after is not None
    assert after.then == "attempts"
    assert len(after.candidates) + after.cut == count + passed


@pytest.mark.parametrize("text", [None, "", "[", "{}", '["weighted",5]', "\ud800"])
def test_what_is_no_record_is_none(text: str | None) -> None:
    assert decoded(text) is None
