"""Names of what lives at a provider: only their owner can use them, and nobody can read them."""

import base64

import pytest
from django.conf import LazySettings
from hypothesis import given
from hypothesis import strategies as st

from gateway.handles import Handle, seal, unseal

FILE = Handle("file", "a-provider", "file-abc123")
BODIES = st.text(alphabet="abcXYZ019-_=", max_size=120)


@given(st.sampled_from(["resp", "file", "batch"]), st.text(max_size=40), st.text(max_size=80), st.text())
def test_what_is_sealed_is_unsealed_for_its_owner(kind: str, place: str, id: str, owner: str) -> None:
    handle = Handle(kind, place, id)
    name = seal(handle, owner)
    assert unseal(kind, name, owner) == handle
    assert unseal(kind, name, owner + "x") is None
    assert seal(handle, owner) == name


def test_a_name_shows_nothing_of_what_it_means() -> None:
    name = seal(FILE, "team 1").removeprefix("file-sy")
    inside = base64.urlsafe_b64decode(name + "==")
    assert b"file-abc123" not in inside
    assert b"a-provider" not in inside
    other = base64.urlsafe_b64decode(seal(FILE, "team 2").removeprefix("file-sy") + "==")
    assert sum(a == b for a, b in zip(inside, other, strict=True)) < len(inside) // 4


def test_a_name_of_one_kind_is_none_of_another() -> None:
    name = seal(FILE, "team 1")
    assert unseal("batch", name.replace("file-sy", "batch_sy"), "team 1") is None


@given(BODIES)
def test_what_was_not_sealed_here_means_nothing(text: str) -> None:
    assert unseal("file", "file-sy" + text, "team 1") is None


def test_no_changed_byte_passes() -> None:
    name = seal(FILE, "team 1")
    sealed = base64.urlsafe_b64decode(name.removeprefix("file-sy") + "==")
    for at in range(len(sealed)):
        changed = bytes((*sealed[:at], sealed[at] ^ 1, *sealed[at + 1 :]))
        assert unseal("file", "file-sy" + base64.urlsafe_b64encode(changed).decode(), "team 1") is None


def test_names_outlive_a_new_secret_key(settings: LazySettings) -> None:
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "one" * 20, []
    name = seal(FILE, "team 1")
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "two" * 20, ["one" * 20]
    assert unseal("file", name, "team 1") == FILE
    settings.SECRET_KEY_FALLBACKS = []
    assert unseal("file", name, "team 1") is None


@pytest.mark.parametrize("text", ["", "file-sy", "file-sy=", "file-syé", "file-sy" + "A" * 2000])
def test_nonsense_is_no_name(text: str) -> None:
    assert unseal("file", text, "team 1") is None
