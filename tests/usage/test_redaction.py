"""Rules take out what they match, in any spelling of JSON, and never hold anybody up."""

import json
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from usage.redaction import TooSlow, apart, problem, redact

MAIL = r"[\w.+-]{1,64}+@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}"
RULES = [(re.compile(MAIL), "[e-mail]")]
CARD = [(re.compile(r"(?<!\d)(?:\d[ -]?){12,18}\d(?!\d)"), "[card]")]


@settings(max_examples=100, deadline=None)
@given(before=st.text(max_size=8), escaped=st.booleans())
def test_an_address_is_found_in_any_spelling(before: str, escaped: bool) -> None:
    said = {"messages": [{"content": f"{before} bob@example.org"}]}
    text = json.dumps(said, ensure_ascii=escaped)
    hidden = "".join(f"\\u{ord(c):04x}" for c in "bob@example.org")
    for spelling in (text, text.replace("bob@example.org", hidden)):
        assert json.loads(redact(spelling, RULES)) == {"messages": [{"content": f"{before} [e-mail]"}]}


def test_what_no_rule_matches_stays_byte_for_byte() -> None:
    text = '{ "a" : "gr\\u00fc\\u00df",\n "n": 1.50, "e": "\\/" }'
    assert redact(text, RULES) == text


def test_a_line_end_before_an_address_is_no_part_of_it() -> None:
    assert json.loads(redact('{"a":"hi\\nbob@x.org"}', RULES)) == {"a": "hi\n[e-mail]"}


def test_a_number_is_taken_out_too_and_json_stays_json() -> None:
    assert json.loads(redact('{"card":4111111111111111,"n":7}', CARD)) == {"card": "[card]", "n": 7}


@pytest.mark.parametrize("cut", range(24, 42))
def test_a_text_that_was_cut_off_is_redacted_as_well(cut: int) -> None:
    text = '{"a":"write to alice@example.com or","b":"bob@exa'[:cut]
    assert "alice@example.c" not in redact(text, RULES)


def test_text_that_is_no_json_is_redacted_as_it_is() -> None:
    assert redact("<p>bob@example.org</p>", RULES) == "<p>[e-mail]</p>"


def test_a_replacement_is_taken_as_it_is_written() -> None:
    assert redact("bob@x.org", [(re.compile(MAIL), r"\1 \g<0>")]) == r"\1 \g<0>"


def test_a_search_without_end_is_ended() -> None:
    began = time.monotonic()
    with pytest.raises(TooSlow):
        apart(["a" * 60], [("(a+)+b", "")], 0.2)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("pattern", [MAIL, r"\bsecret\b", r"sk-[a-z]{16,64}"])
def test_sound_patterns_may_be_rules(pattern: str) -> None:
    assert problem(pattern) == ""


@pytest.mark.parametrize("pattern", ["", "(", "x*", "x" * 501, r"(a+)+b", r"(?:\w+\s?)+$", r"\w+@\w+"])
def test_others_are_refused_with_a_reason(pattern: str) -> None:
    assert problem(pattern)
