"""Tags: a request reaches the deployments that share one with it, else the default ones."""

import pytest

from providers.tags import MOST_TAGS, clean, passed_over, problem_of_tags

NO: frozenset[str] = frozenset()
PAID, FREE, DEFAULT = frozenset({"paid"}), frozenset({"free", "eu"}), frozenset({"default"})


@pytest.mark.parametrize(
    ("tags_of", "tags", "out"),
    [
        ({1: NO, 2: NO}, {"paid"}, set()),
        ({1: PAID, 2: FREE, 3: NO}, {"paid"}, {2, 3}),
        ({1: PAID, 2: FREE, 3: NO}, {"paid", "eu"}, {3}),
        ({1: PAID, 2: DEFAULT, 3: NO}, {"other"}, {1, 3}),
        ({1: PAID, 2: DEFAULT, 3: NO}, set(), {1, 3}),
        ({1: PAID, 2: FREE}, {"other"}, {1, 2}),
        ({1: PAID, 2: FREE, 3: NO}, set(), set()),
        ({}, {"paid"}, set()),
    ],
)
def test_whom_a_request_may_not_reach(
    tags_of: dict[int, frozenset[str]], tags: set[str], out: set[int]
) -> None:
    assert passed_over(tags_of, tags) == out


def test_what_a_client_sends_is_cut_to_what_can_be_a_tag() -> None:
    assert clean([" paid ", "", "a,b", "x" * 101, "eu"]) == {"paid", "eu"}
    assert len(clean([str(number) for number in range(1000)])) == MOST_TAGS


def test_no_more_is_looked_at_than_anybody_needs() -> None:
    texts = iter([""] * 1_000_000)
    assert clean(texts) == NO
    assert len(list(texts)) > 990_000


@pytest.mark.parametrize("tags", ["paid", [1], ["a,b"], [""], [" a"], ["x"] * 51, {"a": 1}])
def test_what_is_no_list_of_tags_is_told(tags: object) -> None:
    assert problem_of_tags(tags)


def test_a_list_of_tags_is_fine() -> None:
    assert problem_of_tags(["paid", "default", "eu-west"]) == ""
