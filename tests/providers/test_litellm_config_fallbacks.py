"""Fallbacks of a config.yml: whom they name, in which order, and what of them cannot be."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.fallbacks import loop_through
from providers.litellm_fallbacks import loop_in
from providers.litellm_records import Config
from tests.providers.litellm_files import config_of, entry, models, refusal_of, verdict_on

NAMES = ("a", "b", "c", "d")
FOUR = models(*(entry(f"model: openai/{name}", name) for name in NAMES))
type Edge = tuple[str, str, str]


def routed(settings: str, litellm: str = "", more: str = "") -> Config:
    """Four models and these settings."""
    extra = f"litellm_settings: {{{litellm}}}\n" if litellm else ""
    return config_of(f"{FOUR}{more}router_settings:\n  {settings}\n{extra}")


def edges(config: Config) -> list[Edge]:
    rows = sorted(config.fallbacks, key=lambda row: (row.on, row.model, row.position))
    return [(row.model, row.to, row.on) for row in rows]


def test_lists_are_asked_in_their_order() -> None:
    config = routed("fallbacks: [{a: [c, b]}, {b: [d]}]")
    assert edges(config) == [("a", "c", "any"), ("a", "b", "any"), ("b", "d", "any")]
    assert [row.position for row in config.fallbacks] == [0, 1, 0]
    verdict = verdict_on(config, "fallbacks[0].a")
    assert (verdict.verdict, verdict.note) == ("applied", "c, then b")


@pytest.mark.parametrize(
    ("key", "on"),
    [
        ("fallbacks", "any"),
        ("context_window_fallbacks", "context_window"),
        ("content_policy_fallbacks", "content_policy"),
    ],
)
def test_each_list_is_of_a_kind_of_error_in_either_section(key: str, on: str) -> None:
    assert edges(routed(f"{key}: [{{a: [b]}}]")) == [("a", "b", on)]
    config = config_of(f"{FOUR}litellm_settings:\n  {key}: [{{a: [b]}}]\n")
    assert edges(config) == [("a", "b", on)]
    assert verdict_on(config, f"litellm_settings.{key}").verdict == "applied"


def test_router_settings_win_over_litellm_settings_unless_their_list_is_empty() -> None:
    config = routed("fallbacks: [{a: [b]}]", "fallbacks: [{a: [c]}]")
    assert edges(config) == [("a", "b", "any")]
    assert verdict_on(config, "litellm_settings.fallbacks[0].a").verdict == "inert"
    config = routed("fallbacks: []", "fallbacks: [{a: [c]}]")
    assert edges(config) == [("a", "c", "any")]
    assert verdict_on(config, "router_settings.fallbacks").verdict == "inert"


def test_an_empty_list_is_none() -> None:
    config = routed("fallbacks: []")
    assert config.fallbacks == ()
    assert verdict_on(config, "router_settings.fallbacks").verdict == "inert"
    assert verdict_on(routed("fallbacks: [{a: []}]"), "fallbacks[0].a").verdict == "inert"
    assert verdict_on(routed("fallbacks: [{a: }]"), "fallbacks[0].a").verdict == "inert"


# --- for models without a list -----------------------------------------------------------------


def test_a_star_is_every_model_without_a_list_and_leads_nowhere_twice() -> None:
    config = routed('fallbacks: [{a: [d]}, {"*": [b, c]}]')
    assert edges(config) == [
        ("a", "d", "any"),
        ("b", "c", "any"),
        ("d", "b", "any"),
        ("d", "c", "any"),
    ]
    assert verdict_on(config, "fallbacks[1].*").note == "for models that have no list: b, then c"


def test_a_star_does_not_ask_whom_the_request_would_come_back_from() -> None:
    assert edges(routed('fallbacks: [{b: [a]}, {"*": [b]}]')) == [
        ("b", "a", "any"),
        ("c", "b", "any"),
        ("d", "b", "any"),
    ]


def test_loops_are_looked_for_over_all_kinds_of_errors() -> None:
    found = routed('fallbacks: [{b: [a]}]\n  context_window_fallbacks: [{"*": [b]}]')
    assert ("a", "b", "context_window") not in edges(found)
    assert ("c", "b", "context_window") in edges(found)


def test_default_fallbacks_are_a_star_and_win_over_one() -> None:
    config = routed('fallbacks: [{"*": [b]}]\n  default_fallbacks: [c]')
    assert edges(config) == [("a", "c", "any"), ("b", "c", "any"), ("d", "c", "any")]
    assert verdict_on(config, "fallbacks[0].*").verdict == "inert"
    assert verdict_on(config, "default_fallbacks").verdict == "applied"
    assert edges(config_of(f"{FOUR}litellm_settings: {{default_fallbacks: [d]}}\n")) == [
        (name, "d", "any") for name in "abc"
    ]


def test_no_fallbacks_at_all_turn_every_list_off() -> None:
    config = routed("max_fallbacks: 0\n  fallbacks: [{a: [b]}]\n  default_fallbacks: [c]")
    assert config.fallbacks == ()
    for key in ("fallbacks", "fallbacks[0].a", "default_fallbacks"):
        assert verdict_on(config, f"router_settings.{key}").verdict == "inert"
    some = routed("max_fallbacks: 1\n  fallbacks: [{a: [b, c]}]")
    assert len(some.fallbacks) == 2
    assert verdict_on(some, "max_fallbacks").verdict == "unsupported"


# --- names -------------------------------------------------------------------------------------

ALIASED = "router_settings:\n  model_group_alias: {ay: a, bee: {model: b, hidden: true}}\n  "


def test_aliases_mean_their_models() -> None:
    config = config_of(f"{FOUR}{ALIASED}fallbacks: [{{ay: [bee, c]}}]\n")
    assert edges(config) == [("a", "b", "any"), ("a", "c", "any")]
    verdict = verdict_on(config, "fallbacks[0].ay")
    assert verdict.verdict == "changed"
    assert "by any of its names" in verdict.note


@pytest.mark.parametrize(
    ("written", "left", "why"),
    [
        ("{a: [b, beta]}", ["b"], "no model of this file is called beta"),
        ("{a: [bb, c]}", ["c"], "no model of this file is called bb"),
        ("{a: [a, b]}", ["b"], "not asked instead of itself"),
        ("{a: [b, 'w/*']}", ["b"], "w/* is no single model"),
        ("{a: [b, w/x]}", ["b"], "w/x is served by w/* alone"),
        ("{a: [b, {model: c, temperature: 1}]}", ["b"], "parameters of its own"),
        ("{a: [b, os.environ/C_MODEL]}", ["b"], "a reference"),
        ("{a: b}", ["b"], "list of letters"),
    ],
)
def test_what_of_a_list_cannot_be_is_a_warning_and_the_rest_holds(
    written: str, left: list[str], why: str
) -> None:
    config = routed(f"fallbacks: [{written}]", more=entry('model: "openai/*"', "w/*"))
    assert [row.to for row in config.fallbacks] == left
    verdict = verdict_on(config, "fallbacks[0].a")
    assert verdict.verdict == "warning"
    assert why in verdict.note


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("{z: [b]}", "no model of this file is called z"),
        ("{w/x: [b]}", "served by w/* alone"),
        ("{a: [z]}", "no model of this file is called z"),
        ("{a: [{model: c, temperature: 1}]}", "parameters of its own"),
    ],
)
def test_a_list_of_which_nothing_is_left_is_unsupported(written: str, why: str) -> None:
    config = routed(f"fallbacks: [{written}]", more=entry('model: "openai/*"', "w/*"))
    assert config.fallbacks == ()
    [verdict] = [
        v for v in config.verdicts if v.path.startswith("router_settings.fallbacks[0].") and "]." in v.path
    ][:1]
    assert verdict.verdict == "unsupported"
    assert why in verdict.note


def test_a_name_in_a_mapping_alone_is_a_name() -> None:
    config = routed("fallbacks: [{a: [{model: b}]}]")
    assert edges(config) == [("a", "b", "any")]
    assert verdict_on(config, "fallbacks[0].a[0].model").verdict == "applied"


def test_a_name_written_twice_is_asked_once() -> None:
    config = routed("fallbacks: [{a: [b, c, b]}, {a: [d]}]")
    assert edges(config) == [("a", "b", "any"), ("a", "c", "any")]
    assert verdict_on(config, "fallbacks[1].a").verdict == "inert"


def test_a_wildcard_falls_back_as_a_whole() -> None:
    config = routed('fallbacks: [{"w/*": [a]}]', more=entry('model: "openai/*"', "w/*"))
    assert edges(config) == [("w/*", "a", "any")]


def test_our_own_form_is_for_the_model_called_star() -> None:
    info = ", model_info: {switchyard_model: {fallbacks: {any: [b, a], context_window: [c]}}}"
    config = config_of(FOUR + entry('model: "openai/*"', "'*'", info))
    assert edges(config) == [("*", "b", "any"), ("*", "a", "any"), ("*", "c", "context_window")]


def test_our_own_form_tells_what_it_names_in_vain() -> None:
    info = ", model_info: {switchyard_model: {fallbacks: {any: [b, zz], context_window: [yy]}}}"
    config = config_of(FOUR + entry("model: openai/e", "e", info))
    assert edges(config) == [("e", "b", "any")]
    assert verdict_on(config, "switchyard_model.fallbacks.any").verdict == "warning"
    assert verdict_on(config, "switchyard_model.fallbacks.context_window").verdict == "unsupported"


def test_a_model_without_a_list_for_a_kind_of_error_differs_from_litellm() -> None:
    some = routed("fallbacks: [{a: [b]}]\n  context_window_fallbacks: [{c: [d]}]")
    assert verdict_on(some, "router_settings.context_window_fallbacks").verdict == "changed"
    assert verdict_on(some, "router_settings.fallbacks").verdict == "applied"
    every = routed("fallbacks: [{a: [b]}]\n  context_window_fallbacks: [{a: [d]}]")
    assert verdict_on(every, "router_settings.context_window_fallbacks").verdict == "applied"


# --- refused -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "path", "left"),
    [
        (
            "fallbacks:\n    - a: [b]\n    - b: [c, a]",
            "router_settings.fallbacks[1].b",
            [("a", "b", "any"), ("b", "c", "any")],
        ),
        (
            "fallbacks:\n    - c: [a]\n    - a: [b]\n    - b: [c]\n    - d: [a]",
            "router_settings.fallbacks[2].b",
            [("c", "a", "any"), ("a", "b", "any"), ("d", "a", "any")],
        ),
        (
            "fallbacks: [{a: [b]}]\n  content_policy_fallbacks: [{b: [a]}]",
            "router_settings.content_policy_fallbacks[0].b",
            [("a", "b", "any")],
        ),
        ("fallbacks: [{b: [a]}, {a: [b]}]", "router_settings.fallbacks[1].a", [("b", "a", "any")]),
    ],
)
def test_the_step_that_closes_a_loop_is_left_out_and_told(
    settings: str, path: str, left: list[tuple[str, str, str]]
) -> None:
    config = routed(settings)
    assert sorted(edges(config)) == sorted(left)
    (verdict,) = [each for each in config.verdicts if each.path == path]
    assert verdict.verdict == "warning"
    assert "left out: it leads back here" in verdict.note


@pytest.mark.parametrize(
    "settings",
    [
        "fallbacks: {a: [b]}",
        "fallbacks: [a, b]",
        "fallbacks: a",
        "fallbacks: [{a: {b: c}}]",
        "fallbacks: [{a: [1]}]",
        "fallbacks: [{a: [[b]]}]",
        "fallbacks: [{a: [{temperature: 1}]}]",
        "default_fallbacks: {a: b}",
        "max_fallbacks: -1",
    ],
)
def test_what_is_no_list_of_models_is_refused_with_its_place(settings: str) -> None:
    key = settings.partition(":")[0]
    assert f"config.yml:7: router_settings.{key}" in refusal_of(f"{FOUR}router_settings:\n  {settings}\n")


NAME = st.sampled_from([*NAMES, "*", "zz"])
LISTS = st.lists(st.dictionaries(NAME, st.lists(NAME, max_size=3), max_size=2), max_size=4)


@settings(max_examples=200, deadline=None)
@given(LISTS, LISTS, st.none() | st.lists(NAME, max_size=3))
def test_whatever_is_taken_has_no_loop_and_each_step_once(
    fallbacks: list[dict[str, list[str]]], context: list[dict[str, list[str]]], default: list[str] | None
) -> None:
    settings = f"fallbacks: {fallbacks}\n  context_window_fallbacks: {context}\n"
    settings += "" if default is None else f"  default_fallbacks: {default}\n"
    config = routed(settings)
    steps = [(row.model, row.to) for row in config.fallbacks]
    assert not any(loop_through(steps, name) for name in NAMES)
    assert len(set(edges(config))) == len(steps)
    assert all(row.model != row.to and row.to in NAMES for row in config.fallbacks)
    places = [(row.model, row.on, row.position) for row in config.fallbacks]
    assert len(set(places)) == len(places)


STEPS = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)), max_size=8)


@given(STEPS)
def test_a_loop_is_found_where_there_is_one(steps: list[tuple[str, str]]) -> None:
    found = loop_in(steps)
    assert bool(found) == any(loop_through(steps, name) for name in NAMES)
    assert all(step in steps for step in pairwise(found))
    assert not found or found[0] == found[-1]
