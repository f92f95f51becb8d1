"""Secrets at rest open in their own place with the right key, and nowhere else."""

import base64

import pytest
from django.conf import LazySettings
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from providers.secrets import OWN_SECRETS, Unreadable, may_refer_to, referred, seal, unseal

PLACE = "providers_provider/1/secret"


@pytest.fixture(autouse=True)
def installation(settings: LazySettings) -> LazySettings:
    settings.SECRET_KEY = "first"
    settings.SECRET_KEY_FALLBACKS = []
    settings.ENCRYPTION_KEYS = []
    return settings


def key_of(letter: str) -> str:
    return base64.b64encode(letter.encode() * 32).decode()


def test_what_was_sealed_opens_in_its_place() -> None:
    assert unseal(seal("sk-Alice-é", PLACE), PLACE) == "sk-Alice-é"


def test_it_shows_nothing_and_never_looks_the_same() -> None:
    assert "sk-Alice" not in seal("sk-Alice", PLACE)
    assert seal("sk-Alice", PLACE) != seal("sk-Alice", PLACE)


def test_it_does_not_open_in_another_row() -> None:
    sealed = seal("sk-Alice", PLACE)
    with pytest.raises(Unreadable, match="another row"):
        unseal(sealed, "providers_provider/2/secret")


def test_it_does_not_open_with_another_key(installation: LazySettings) -> None:
    sealed = seal("sk-Alice", PLACE)
    installation.SECRET_KEY = "second"
    with pytest.raises(Unreadable, match="does not have"):
        unseal(sealed, PLACE)


def test_a_fallback_key_still_opens_it(installation: LazySettings) -> None:
    sealed = seal("sk-Alice", PLACE)
    installation.SECRET_KEY, installation.SECRET_KEY_FALLBACKS = "second", ["first"]
    assert unseal(sealed, PLACE) == "sk-Alice"
    installation.SECRET_KEY_FALLBACKS = []
    assert unseal(seal("sk-Bob", PLACE), PLACE) == "sk-Bob"


def test_keys_of_their_own_come_first_and_older_ones_open(installation: LazySettings) -> None:
    derived = seal("sk-Alice", PLACE)
    installation.ENCRYPTION_KEYS = [key_of("a")]
    own = seal("sk-Bob", PLACE)
    installation.ENCRYPTION_KEYS = [key_of("b"), key_of("a")]
    assert (unseal(derived, PLACE), unseal(own, PLACE)) == ("sk-Alice", "sk-Bob")
    installation.ENCRYPTION_KEYS = [key_of("b")]
    with pytest.raises(Unreadable):
        unseal(own, PLACE)


def test_no_part_of_it_can_be_cut_off_or_changed() -> None:
    sealed = seal("sk-Alice", PLACE)
    for place in range(len(sealed)):
        changed = sealed[:place] + ("A" if sealed[place] != "A" else "B") + sealed[place + 1 :]
        for damaged in (sealed[:place], changed):
            try:
                assert unseal(damaged, PLACE) == "sk-Alice"  # spare bits at the end of base64
            except Unreadable:
                continue


@hypothesis_settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(), st.from_regex(r"v1\.[0-9a-f]{8}\.[A-Za-z0-9+/=]*", fullmatch=True)))
def test_anything_else_is_unreadable_and_never_given_back(text: str) -> None:
    with pytest.raises(Unreadable):
        unseal(text, PLACE)


@pytest.mark.parametrize("length", [0, 1, 4, 12, 15, 27])
def test_a_body_that_is_too_short_is_unreadable(length: int) -> None:
    version, key_id, body = seal("sk-Alice", PLACE).split(".")
    short = base64.b64encode(base64.b64decode(body)[:length]).decode()
    with pytest.raises(Unreadable):
        unseal(f"{version}.{key_id}.{short}", PLACE)


def test_only_names_that_match_may_be_referred_to(installation: LazySettings) -> None:
    installation.SECRET_REFERENCES = ["*_API_KEY", " *_BASE"]
    assert may_refer_to("NEBIUS_API_KEY")
    assert may_refer_to("OLLAMA_BASE")
    assert not may_refer_to("HOME")
    assert not may_refer_to("nebius_api_key")
    assert not may_refer_to("")


@pytest.mark.parametrize("name", sorted(OWN_SECRETS))
def test_own_secrets_stay_closed_even_to_a_star(
    name: str, installation: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation.SECRET_REFERENCES = ["*", name]
    monkeypatch.setenv(name, "secret")
    assert not may_refer_to(name)
    assert referred(name) == ""


def test_a_reference_gives_the_value_or_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEBIUS_API_KEY", "sk-Alice")
    monkeypatch.setenv("PATHOLOGY", "hidden")
    assert referred("NEBIUS_API_KEY") == "sk-Alice"
    assert referred("UNSET_API_KEY") == ""
    assert referred("PATHOLOGY") == ""
