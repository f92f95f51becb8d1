"""`manage.py create_key` makes a key and its limits, and says what is wrong when it cannot."""

import io
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from keys import issuing, tokens
from keys.models import ApiKey, KeyChange, Limit, Team
from providers.models import Model

pytestmark = pytest.mark.django_db


def create_key(*options: str) -> str:
    out = io.StringIO()
    call_command("create_key", *options, stdout=out)
    return out.getvalue()


def test_quiet_prints_the_key_alone() -> None:
    text = create_key("--name", "Alice", "--quiet")
    assert text.count("\n") == 1
    assert tokens.is_ours(text.strip())
    assert issuing.find(text.strip()) == ApiKey.objects.get(name="Alice")


def test_otherwise_it_is_printed_with_a_warning_and_a_curl() -> None:
    Model.objects.create(name="llm")
    text = create_key("--name", "Alice")
    key = text.split("\n")[0]
    assert tokens.is_ours(key)
    assert "shown this once" in text
    assert f"Bearer {key}" in text
    assert '"model": "llm"' in text


def test_without_models_all_are_allowed() -> None:
    create_key("--name", "Alice")
    assert ApiKey.objects.get().all_models


def test_chosen_models_are_the_only_ones() -> None:
    small, _ = Model.objects.create(name="small"), Model.objects.create(name="large")
    create_key("--name", "Alice", "--models", " small ,")
    key = ApiKey.objects.get()
    assert not key.all_models
    assert list(key.allowed_models.all()) == [small]


def test_limits_are_rows_of_the_key() -> None:
    model = Model.objects.create(name="gpt:4")
    create_key(
        "--name",
        "Alice",
        "--limit",
        "requests=3",
        "--limit",
        "tokens=1k/day@gpt:4:shadow",
        "--limit",
        "parallel=2",
        "--limit",
        "cost=0.25/month",
    )
    rows = Limit.objects.order_by("pk").values_list("metric", "amount", "window", "mode", "model_id")
    assert list(rows) == [
        ("requests", 3, "minute", "enforce", None),
        ("tokens", 1000, "day", "shadow", model.pk),
        ("parallel", 2, "", "enforce", None),
        ("cost", 250_000_000, "month", "enforce", None),
    ]
    for limit in Limit.objects.all():
        limit.full_clean()


def test_an_expiry_is_kept() -> None:
    create_key("--name", "Alice", "--expires", "30d")
    expires = ApiKey.objects.get().expires_at
    assert expires is not None
    assert abs(expires - timezone.now() - timedelta(days=30)) < timedelta(minutes=1)


def test_a_team_that_exists_is_joined() -> None:
    team = Team.objects.create(name="Research")
    create_key("--name", "Alice", "--team", "Research")
    assert ApiKey.objects.get().team == team


def test_a_team_that_does_not_exist_is_made() -> None:
    create_key("--name", "Alice", "--team", "Research")
    assert Team.objects.get().keys.get().name == "Alice"


def test_an_unknown_model_is_an_error_with_the_nearest_names() -> None:
    Model.objects.create(name="smollm2")
    with pytest.raises(CommandError, match="no model 'smolm2'; did you mean smollm2"):
        create_key("--name", "Alice", "--models", "smolm2")


def test_an_unknown_model_in_a_limit_leaves_nothing_behind() -> None:
    with pytest.raises(CommandError, match="no model 'gpt'; there are: none yet"):
        create_key("--name", "Alice", "--team", "Research", "--limit", "requests=3@gpt")
    assert not ApiKey.objects.exists()
    assert not Team.objects.exists()


def test_a_name_is_given_once() -> None:
    create_key("--name", "Alice")
    with pytest.raises(CommandError, match="a key named 'Alice' already"):
        create_key("--name", "Alice")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--limit", "cost=5.0000000001"], "at most 9 decimals"),
        (["--limit", "requests=3/fortnight"], "not one of second"),
        (["--expires", "yesterday"], "not an expiry"),
        (["--models", " , "], "names no model"),
    ],
)
def test_what_is_misspelt_is_one_clear_error(options: list[str], reason: str) -> None:
    with pytest.raises(CommandError, match=reason) as refusal:
        create_key("--name", "Alice", *options)
    assert "\n" not in str(refusal.value)
    assert not ApiKey.objects.exists()


def test_the_change_log_tells_the_workers() -> None:
    before = KeyChange.objects.count()
    create_key("--name", "Alice", "--limit", "requests=3")
    assert KeyChange.objects.count() > before


def test_a_master_key_of_the_environment_becomes_a_row() -> None:
    key, retired = issuing.ensure_master_key("sk-alice")
    assert key is not None
    assert (key.name, key.is_admin, key.source, retired) == ("master", True, "environment", [])
    assert issuing.ensure_master_key("sk-alice") == (key, [])


def test_a_changed_master_key_disables_the_former_one() -> None:
    first, _ = issuing.ensure_master_key("sk-alice")
    second, retired = issuing.ensure_master_key("sk-bob")
    assert first is not None
    assert second is not None
    assert (second.name, retired) == ("master (environment)", [first])
    assert not ApiKey.objects.get(pk=first.pk).enabled


def test_a_master_key_that_comes_back_is_enabled_again() -> None:
    first, _ = issuing.ensure_master_key("sk-alice")
    issuing.ensure_master_key("sk-bob")
    again, _ = issuing.ensure_master_key("sk-alice")
    assert again is not None
    assert again == first
    assert ApiKey.objects.get(pk=again.pk).enabled
    third, _ = issuing.ensure_master_key("sk-carol")
    assert third is not None
    assert third.name == "master (environment 2)"


def test_a_master_key_that_an_operator_disabled_stays_disabled() -> None:
    key, _ = issuing.ensure_master_key("sk-alice")
    assert key is not None
    ApiKey.objects.filter(pk=key.pk).update(enabled=False)
    issuing.ensure_master_key("sk-alice")
    assert not ApiKey.objects.get().enabled


def test_without_the_variable_its_key_is_disabled() -> None:
    key, _ = issuing.ensure_master_key("sk-alice")
    assert issuing.ensure_master_key("") == (None, [key])


def test_keys_of_people_are_left_alone() -> None:
    create_key("--name", "master")
    key, _ = issuing.ensure_master_key("sk-alice")
    assert key is not None
    assert key.name == "master (environment)"
    assert ApiKey.objects.get(name="master").enabled
