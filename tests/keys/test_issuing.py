"""Keys are made, found by their text, and stay good while peppers change."""

import pytest
from django.conf import LazySettings
from django.db import IntegrityError, transaction
from pytest_django import DjangoAssertNumQueries

from keys import issuing, tokens
from keys.models import ApiKey
from providers.models import Model

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def peppers(settings: LazySettings) -> LazySettings:
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "first", []
    return settings


def test_a_key_is_found_by_its_text() -> None:
    alice, text = issuing.issue("Alice")
    issuing.issue("Bob")
    assert issuing.find(text) == alice


def test_nothing_of_the_secret_is_kept() -> None:
    _, text = issuing.issue("Alice")
    kept = " ".join(str(value) for value in ApiKey.objects.values().get().values())
    assert text not in kept
    assert text[19:] not in kept


def test_the_public_part_alone_opens_nothing() -> None:
    _, text = issuing.issue("Alice")
    forged = tokens.generate()
    body = text[:18] + forged[18:-6]
    assert tokens.is_ours(body + tokens._crc(body))
    assert issuing.find(body + tokens._crc(body)) is None


def test_a_foreign_key_is_adopted() -> None:
    alice, text = issuing.issue("Alice", text="sk-litellm-1234")
    assert text == "sk-litellm-1234"
    assert issuing.find("sk-litellm-1234") == alice
    assert issuing.find("sk-litellm-1235") is None
    assert alice.public_id not in text


def test_a_foreign_key_is_adopted_once() -> None:
    issuing.issue("Alice", text="sk-litellm-1234")
    with pytest.raises(IntegrityError), transaction.atomic():
        issuing.issue("Bob", text="sk-litellm-1234")


@pytest.mark.parametrize("text", [None, "sk-litellm-1234"])
def test_a_key_lives_through_a_new_secret_key(text: str | None, peppers: LazySettings) -> None:
    alice, text = issuing.issue("Alice", text=text)
    peppers.SECRET_KEY, peppers.SECRET_KEY_FALLBACKS = "second", ["first"]
    assert issuing.find(text) == alice
    bob, new = issuing.issue("Bob")
    peppers.SECRET_KEY_FALLBACKS = []
    assert issuing.find(text) is None
    assert issuing.find(new) == bob


def test_a_key_is_looked_up_in_one_query(
    peppers: LazySettings, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    peppers.SECRET_KEY_FALLBACKS = ["older", "oldest"]
    _, text = issuing.issue("Alice")
    with django_assert_num_queries(1):
        issuing.find(text)


def test_without_models_all_are_allowed_and_an_empty_list_allows_none() -> None:
    everything, _ = issuing.issue("Alice")
    nothing, _ = issuing.issue("Bob", models=[])
    assert everything.all_models
    assert not nothing.all_models
    assert not nothing.allowed_models.exists()


def test_chosen_models_are_kept() -> None:
    llm = Model.objects.create(name="llm")
    key, _ = issuing.issue("Alice", models=[llm])
    assert list(key.allowed_models.all()) == [llm]


def test_a_key_that_is_switched_off_is_still_found() -> None:
    alice, text = issuing.issue("Alice")
    ApiKey.objects.update(enabled=False)
    assert issuing.find(text) == alice
