"""Importing the budgets and limits of a config.yml: their rows, and that edits and rows of others stay."""

from pathlib import Path
from typing import Any

import pytest
from django.core.management.base import CommandError

from keys import issuing
from keys.models import ApiKey, EndUser, KeyChange, Limit, Team
from providers.models import Deployment, Model
from tests.gateway.config_files import SHIPPED, actions, imported, item, run, written

pytestmark = pytest.mark.django_db

BOB = "sk-bob-0123456789-abcdef"
FILE = f"""
model_list:
  - model_name: llm
    litellm_params:
      model: openai/m
      api_base: http://10.0.0.1:8000/v1
      api_key: none
      rpm: 60
      tpm: 1000
      max_budget: 5
      budget_duration: 1d
  - model_name: llm
    litellm_params: {{model: openai/m, api_base: 'http://10.0.0.2:8000/v1', api_key: none, rpm: 30}}
litellm_settings:
  max_budget: 100
  budget_duration: 30d
  max_end_user_budget: 0.5
general_settings:
  global_max_parallel_requests: 9
  user_header_name: X-User
  usage_limits:
    {BOB}: [{{max_cost: 2.5, window: month}}, {{max_cost: 1, max_requests: 3, window: day}}]
"""
FIRST, SECOND = "llm/openai-10.0.0.1-8000", "llm/openai-10.0.0.2-8000"
DOLLAR = 10**9


def limits() -> set[tuple[Any, ...]]:
    fields = ("key__name", "deployment__name", "each_end_user", "metric", "amount", "window")
    return set(Limit.objects.values_list(*fields))


def plan(report: dict[str, Any]) -> set[tuple[str, str, str]]:
    return {
        (item["action"], item["name"], item["note"]) for item in report["plan"] if item["object"] == "Limit"
    }


def test_every_budget_and_limit_is_a_row_with_its_holder(tmp_path: Path) -> None:
    imported(written(tmp_path, FILE))
    bob = "usage-limits-1"
    assert limits() == {
        (None, FIRST, False, "requests", 60, "minute"),
        (None, FIRST, False, "tokens", 1000, "minute"),
        (None, FIRST, False, "cost", 5 * DOLLAR, "day"),
        (None, SECOND, False, "requests", 30, "minute"),
        (None, None, False, "cost", 100 * DOLLAR, "month"),
        (None, None, True, "cost", 500_000_000, "total"),
        (None, None, False, "parallel", 9, ""),
        (bob, None, False, "cost", 2_500_000_000, "month"),
        (bob, None, False, "cost", DOLLAR, "day"),
        (bob, None, False, "requests", 3, "day"),
    }
    for limit in Limit.objects.all():
        limit.full_clean()
    assert {limit.mode for limit in Limit.objects.all()} == {"enforce"}
    assert list(Deployment.objects.order_by("pk").values_list("weight", flat=True)) == [2, 1]


def test_the_plan_names_whose_each_limit_is(tmp_path: Path) -> None:
    names = {name for _, name, _ in plan(imported(written(tmp_path, FILE), "--dry-run"))}
    assert names == {
        f"{FIRST}: requests per minute",
        f"{FIRST}: tokens per minute",
        f"{FIRST}: cost per day",
        f"{SECOND}: requests per minute",
        "everyone: cost per month",
        "everyone: parallel",
        "each end user: cost in total",
        "usage-limits-1: cost per month",
        "usage-limits-1: cost per day",
        "usage-limits-1: requests per day",
    }
    assert not Limit.objects.exists()


def test_the_same_file_twice_keeps_every_limit(tmp_path: Path) -> None:
    path = written(tmp_path, FILE)
    assert actions(imported(path)) == {"create"}
    changes = KeyChange.objects.count()
    report = imported(path)
    assert actions(report) == {"keep"}
    assert {note for _, _, note in plan(report)} == {""}
    assert KeyChange.objects.count() == changes
    assert run("diff_config", path) == ""


def test_a_changed_amount_is_taken_over_and_told_to_the_workers(tmp_path: Path) -> None:
    imported(written(tmp_path, FILE))
    KeyChange.objects.all().delete()
    report = imported(written(tmp_path, FILE.replace("max_budget: 100", "max_budget: 0.1")))
    changes = item(report, "Limit", "everyone: cost per month")["changes"]
    assert changes == {"amount": {"from": 100 * DOLLAR, "to": 100_000_000}}
    assert [change.key_id for change in KeyChange.objects.all()] == [None]


def test_another_window_is_another_limit_of_the_file(tmp_path: Path) -> None:
    imported(written(tmp_path, FILE))
    report = imported(
        written(tmp_path, FILE.replace("budget_duration: 30d", "budget_duration: 7d")), "--prune"
    )
    told = {(action, name) for action, name, _ in plan(report) if "everyone: cost" in name}
    assert told == {("create", "everyone: cost per week"), ("delete", "everyone: cost per month")}


@pytest.mark.parametrize(
    "name", ["everyone: cost per month", f"{FIRST}: cost per day", "usage-limits-1: cost per day"]
)
def test_an_edited_amount_is_kept_unless_the_file_may_overwrite(name: str, tmp_path: Path) -> None:
    path = written(tmp_path, FILE)
    imported(path)
    before = limits()
    Limit.objects.update(amount=7)
    assert "amount was edited here: kept $0.000000007" in item(imported(path), "Limit", name)["note"]
    assert {row[4] for row in limits()} == {7}
    imported(path, "--overwrite")
    assert limits() == before


def test_a_limit_that_the_admin_gave_to_somebody_else_is_not_made_again(tmp_path: Path) -> None:
    path = written(tmp_path, FILE)
    imported(path)
    count = Limit.objects.count()
    team, bob = Team.objects.create(name="Blue"), EndUser.objects.create(name="bob")
    Limit.objects.filter(window="month", key__isnull=True).update(team=team)
    Limit.objects.filter(each_end_user=True).update(each_end_user=False, end_user=bob)
    notes = {note for _, _, note in plan(imported(path)) if note}
    assert any("team was edited here: kept 'Blue', the file says ''" in note for note in notes)
    assert any("end_user was edited here: kept 'bob', the file says ''" in note for note in notes)
    assert Limit.objects.count() == count
    imported(path, "--overwrite")
    assert not Limit.objects.exclude(team=None, end_user=None).exists()


def test_prune_deletes_limits_of_the_file_and_leaves_those_of_the_admin(tmp_path: Path) -> None:
    imported(written(tmp_path, FILE))
    deployment = Deployment.objects.get(name=FIRST)
    Limit.objects.create(deployment=deployment, metric="tokens", amount=1, window="day")
    Limit.objects.create(metric="cost", amount=1, window="hour")
    bare = FILE[: FILE.index("      rpm: 60")]
    kept = imported(written(tmp_path, bare))
    assert ("keep", "everyone: parallel", "no longer in the file, but only --prune deletes it") in plan(kept)
    imported(tmp_path / "config.yml", "--prune")
    assert limits() == {
        (None, FIRST, False, "tokens", 1, "day"),
        (None, None, False, "cost", 1, "hour"),
    }


def test_limits_of_the_admin_that_say_the_same_are_not_doubled(tmp_path: Path) -> None:
    bare = FILE[: FILE.index("      rpm: 60")]
    imported(written(tmp_path, bare))
    deployment, model = Deployment.objects.get(), Model.objects.get()
    Limit.objects.create(deployment=deployment, metric="requests", amount=60)
    Limit.objects.create(metric="cost", amount=100 * DOLLAR, window="month")
    Limit.objects.create(metric="cost", amount=1, window="total", each_end_user=True)
    Limit.objects.create(metric="parallel", amount=9, window="", mode="shadow")
    Limit.objects.create(model=model, metric="parallel", amount=9, window="")
    found = plan(imported(written(tmp_path, FILE)))
    assert ("keep", f"{FIRST}: requests per minute", "") in found
    assert ("keep", "everyone: cost per month", "") in found
    each = "amount was edited here: kept $0.000000001, the file says $0.5"
    assert ("keep", "each end user: cost in total", each) in found
    assert ("create", "everyone: parallel", "") in found


def test_rows_of_an_import_that_knew_limits_of_keys_only_are_not_taken_for_edited() -> None:
    imported(SHIPPED)
    for limit in Limit.objects.all():
        known = {name: limit.imported[name] for name in ("key", "metric", "window", "amount", "name")}
        Limit.objects.filter(pk=limit.pk).update(imported=known)
    key = ApiKey.objects.get()
    known = {name: key.imported[name] for name in ("text", "is_admin", "name")}
    ApiKey.objects.update(imported=known)
    report = imported(SHIPPED)
    assert {(item["action"], item["note"]) for item in report["plan"]} == {("keep", "")}
    assert ApiKey.objects.get().imported["end_user_header"] == ""
    assert {limit.imported["deployment"] for limit in Limit.objects.all()} == {""}


def test_a_header_new_to_the_file_reaches_keys_of_an_earlier_import(tmp_path: Path) -> None:
    imported(SHIPPED)
    earlier = {name: value for name, value in ApiKey.objects.get().imported.items() if "header" not in name}
    ApiKey.objects.update(imported=earlier)
    text = SHIPPED.read_text().replace("  drop_params: true\n  usage", "  user_header_name: X-User\n  usage")
    report = imported(written(tmp_path, text))
    assert ApiKey.objects.get().end_user_header == "X-User"
    assert item(report, "ApiKey", "master")["changes"] == {"end_user_header": {"from": "", "to": "X-User"}}
    imported(SHIPPED)
    assert ApiKey.objects.get().end_user_header == ""


def test_a_key_that_the_file_did_not_make_is_not_trusted_with_its_header(tmp_path: Path) -> None:
    issuing.issue("Bob", text=BOB)
    report = imported(written(tmp_path, FILE))
    assert ApiKey.objects.get().end_user_header == ""
    note = "end_user_header was edited here: kept '', the file says 'X-User'"
    assert item(report, "ApiKey", "Bob")["note"] == note


def test_a_removed_deployment_takes_its_limits_along(tmp_path: Path) -> None:
    imported(written(tmp_path, FILE))
    a, b = FILE.index("  - model_name: llm\n    litellm_params: {"), FILE.index("litellm_settings:")
    imported(written(tmp_path, FILE[:a] + FILE[b:]), "--prune")
    assert not Deployment.objects.filter(name=SECOND).exists()
    assert {row[1] for row in limits()} == {None, FIRST}


def test_a_renamed_deployment_keeps_its_limits(tmp_path: Path) -> None:
    imported(written(tmp_path, FILE))
    Deployment.objects.filter(name=FIRST).update(name="Basement")
    assert actions(imported(tmp_path / "config.yml")) == {"keep"}
    assert (None, "Basement", False, "requests", 60, "minute") in limits()


def test_a_bad_amount_changes_nothing_at_all(tmp_path: Path) -> None:
    imported(SHIPPED)
    before = limits()
    with pytest.raises(
        CommandError, match=r"config\.yml:15: litellm_settings\.max_budget: a number from 0 on"
    ):
        imported(written(tmp_path, FILE.replace("max_budget: 100", "max_budget: -1")))
    assert limits() == before


def test_amounts_of_cost_are_told_in_dollars(tmp_path: Path) -> None:
    file = written(tmp_path, FILE)
    text = run("import_config", file)
    assert "amount: $2.5\n" in text
    assert "amount: $0.5\n" in text
    assert "amount: 1000\n" in text, "of tokens as they are"
    assert str(DOLLAR)[1:] not in text
    Limit.objects.filter(key__name="usage-limits-1", window="month").update(amount=3 * DOLLAR)
    assert "kept $3, the file says $2.5" in run("import_config", file, "--dry-run")
    assert "amount: $3 -> $2.5\n" in run("import_config", file, "--dry-run", "--overwrite")
