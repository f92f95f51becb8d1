"""Keys as text: their form, their checksum, and what is kept of them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keys import tokens

PEPPER, OTHER = tokens.pepper_from("first"), tokens.pepper_from("second")
KEY = "sk-sy-DMuHDiiIjiEm-rr9p4wJL0LHSxiuWo6ML9qKbV4u7lR3oj2FZJnlo2WcaeM"


def test_a_new_key_has_its_form() -> None:
    assert len(KEY) == 65
    assert KEY.startswith("sk-sy-")
    assert KEY.isascii()
    assert tokens.is_ours(KEY)


def test_no_two_keys_are_alike() -> None:
    made = {tokens.generate() for _ in range(200)}
    assert len(made) == 200
    assert len({tokens.public_id(key, PEPPER) for key in made}) == 200


def test_one_wrong_character_anywhere_breaks_the_checksum() -> None:
    for place in range(len(KEY)):
        wrong = KEY[:place] + ("a" if KEY[place] != "a" else "b") + KEY[place + 1 :]
        assert not tokens.is_ours(wrong)


def test_two_exchanged_characters_break_it() -> None:
    for place in range(len(KEY) - 1):
        swapped = KEY[:place] + KEY[place + 1] + KEY[place] + KEY[place + 2 :]
        assert tokens.is_ours(swapped) is (swapped == KEY)


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(), st.text(min_size=59, max_size=59).map(lambda rest: "sk-sy-" + rest)))
def test_junk_is_not_ours_and_still_has_an_id(text: str) -> None:
    assert not tokens.is_ours(text)
    assert tokens.public_id(text, PEPPER).startswith("x")
    assert len(tokens.public_id(text, PEPPER)) == 24


@pytest.mark.parametrize("text", ["", KEY[:-1], KEY + "a", KEY.upper(), " " + KEY[1:], KEY.replace("-", "_")])
def test_a_key_in_another_form_is_not_ours(text: str) -> None:
    assert not tokens.is_ours(text)


def test_our_keys_are_found_by_their_public_part_whatever_the_pepper() -> None:
    assert tokens.public_id(KEY, PEPPER) == tokens.public_id(KEY, OTHER) == KEY[6:18]


def test_foreign_keys_are_found_by_a_digest_that_gives_nothing_away() -> None:
    found_by = tokens.public_id("sk-Alice-1234", PEPPER)
    assert found_by != tokens.public_id("sk-Alice-1234", OTHER)
    assert found_by != tokens.public_id("sk-Alice-1235", PEPPER)
    assert "Alice" not in found_by


def test_a_verifier_fits_its_key_and_pepper_only() -> None:
    kept = tokens.verifier(KEY, PEPPER)
    assert len(kept) == 64
    assert tokens.matches(KEY, PEPPER, kept)
    assert not tokens.matches(tokens.generate(), PEPPER, kept)
    assert not tokens.matches(KEY, OTHER, kept)


def test_the_id_of_a_foreign_key_is_no_part_of_its_verifier() -> None:
    assert tokens.public_id("sk-Alice", PEPPER)[1:] not in tokens.verifier("sk-Alice", PEPPER)


def test_a_pepper_is_not_the_secret_key() -> None:
    assert PEPPER.secret != OTHER.secret
    assert PEPPER.id != OTHER.id
    assert b"first" not in PEPPER.secret
    assert len(PEPPER.id) == 8


@pytest.mark.parametrize(
    ("text", "hint"), [(KEY, KEY[:10] + "…"), ("sk-proj-0123456789", "sk-…"), ("short", "…"), ("", "…")]
)
def test_a_hint_tells_keys_apart_and_no_more(text: str, hint: str) -> None:
    assert tokens.hint(text) == hint
