"""Wildcard models: the closest pattern wins, and a provider's star is what the asked name had there."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.patterns import best, filled, is_pattern, matched

WORDS = st.text("abc/-.:", min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("pattern", "name", "stars"),
    [
        ("openai/*", "openai/gpt-4o", ("gpt-4o",)),
        ("openai/*", "openai/ft:gpt/x", ("ft:gpt/x",)),
        ("*", "anything", ("anything",)),
        ("a*c*", "abcd", ("b", "d")),
        ("openai/*", "openai/", None),
        ("openai/*", "azure/gpt-4o", None),
        ("openai/*", "openai/*", None),
        ("gpt.4*", "gpt-4o", None),
    ],
)
def test_what_the_stars_stand_for(pattern: str, name: str, stars: tuple[str, ...] | None) -> None:
    assert matched(pattern, name) == stars


@given(st.text("ab*", max_size=6), st.text("ab\n", max_size=9))
def test_stars_stand_for_what_a_greedy_regular_expression_says(pattern: str, name: str) -> None:
    found = re.fullmatch("(.+)".join(map(re.escape, pattern.split("*"))), name, re.DOTALL)
    assert matched(pattern, name) == (found.groups() if found else None)


def test_no_name_takes_long() -> None:
    name = "a" * 2000  # minutes of backtracking for an expression
    assert matched("*a*a*a*a*a*b", name) is None


def test_the_pattern_with_most_letters_of_its_own_is_asked() -> None:
    assert best(["*", "openai/*", "openai/gpt-*"], "openai/gpt-4o") == ("openai/gpt-*", ("4o",))
    assert best(["*", "openai/*"], "llama") == ("*", ("llama",))
    assert best(["openai/*"], "llama") is None


@given(st.lists(WORDS, min_size=2, max_size=4), st.lists(WORDS, min_size=3, max_size=3))
def test_filling_a_pattern_gives_a_name_that_it_fits(parts: list[str], stars: list[str]) -> None:
    pattern = "*".join(parts)
    assert matched(pattern, filled(pattern, tuple(stars))) is not None


def test_an_upstream_name_without_a_star_stays() -> None:
    assert filled("gpt-4o", ("x",)) == "gpt-4o"
    assert filled("org/*-it", ("gemma", "2b")) == "org/gemma-it"
    assert filled("*/*/*", ("a", "b")) == "a/b/b"
    assert is_pattern("*")
    assert not is_pattern("gpt-4o")
