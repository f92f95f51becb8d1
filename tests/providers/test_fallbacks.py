"""Models to ask instead: by the kind of error, each once, and never in a circle."""

import pytest
from django.core.exceptions import ValidationError

from providers.fallbacks import On, loop_through, whom_instead
from providers.models import Fallback, Model


def test_a_kind_without_names_of_its_own_goes_to_those_for_any_error() -> None:
    instead = {On.ANY: ("b", "c"), On.CONTEXT_WINDOW: ("long",)}
    assert whom_instead(instead, On.CONTEXT_WINDOW, ["a"]) == ["long"]
    assert whom_instead(instead, On.CONTENT_POLICY, ["a"]) == ["b", "c"]
    assert whom_instead(instead, On.ANY, ["a", "b"]) == ["c"]
    assert whom_instead({}, On.ANY, ["a"]) == []


@pytest.mark.parametrize(
    ("edges", "loop"),
    [
        ([("a", "b"), ("b", "c")], []),
        ([("a", "a")], ["a", "a"]),
        ([("a", "b"), ("b", "a")], ["a", "b", "a"]),
        ([("a", "b"), ("b", "c"), ("c", "a")], ["a", "b", "c", "a"]),
        ([("b", "c"), ("c", "b"), ("a", "b")], []),
    ],
)
def test_loops_are_found(edges: list[tuple[str, str]], loop: list[str]) -> None:
    assert loop_through(edges, "a") == loop


@pytest.mark.django_db
def test_a_loop_or_a_wildcard_is_refused_when_it_is_saved() -> None:
    a, b, c = (Model.objects.create(name=name) for name in "abc")
    star = Model.objects.create(name="openai/*")
    Fallback.objects.create(model=a, to=b)
    Fallback.objects.create(model=b, to=c, on="context_window")
    with pytest.raises(ValidationError, match="c to a to b to c"):
        Fallback(model=c, to=a).full_clean()
    with pytest.raises(ValidationError, match="wildcard"):
        Fallback(model=c, to=star).full_clean()
    Fallback(model=a, to=c).full_clean()
