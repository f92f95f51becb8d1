"""Prices of a config file as rows: a change holds from now on, the old price stays, edits are kept."""

from decimal import Decimal
from pathlib import Path

import pytest

from providers.models import Deployment, Price
from providers.price_book import timelines
from tests.gateway.config_files import actions, imported, item, run, written

pytestmark = pytest.mark.django_db

ONE = """
model_list:
  - model_name: llm
    litellm_params:
      model: openai/m
      api_base: http://10.0.0.1:8000/v1
      api_key: none
      input_cost_per_token: 1.5e-07
      output_cost_per_token: 6.0e-07
      output_cost_per_token_above_200k_tokens: 7.0e-07
      cache_read_input_token_cost: 0
"""
NAME = "llm/openai-10.0.0.1-8000"
UNPRICED = "\n".join(line for line in ONE.splitlines() if "cost" not in line)


def inputs() -> list[str]:
    return [f"{row.input.normalize():f}" for row in Price.objects.order_by("effective_from")]


def test_a_price_of_the_file_is_the_deployments_own(tmp_path: Path) -> None:
    imported(written(tmp_path, ONE))
    row = Price.objects.get()
    assert (row.deployment, row.source) == (Deployment.objects.get(), "file")
    assert (row.output, row.cached_input, row.cache_write) == (Decimal("0.6"), Decimal(0), None)
    assert row.tiers == [{"above": 200_000, "output": "0.7"}]


def test_the_same_file_twice_changes_nothing(tmp_path: Path) -> None:
    imported(written(tmp_path, ONE))
    assert actions(imported(tmp_path / "config.yml")) == {"keep"}
    assert inputs() == ["0.15"]


def test_a_changed_price_holds_from_now_on_and_the_old_one_stays(tmp_path: Path) -> None:
    imported(written(tmp_path, ONE))
    report = imported(written(tmp_path, ONE.replace("1.5e-07", "2.0e-07")))
    assert item(report, "Price", NAME)["changes"] == {"input": {"from": "0.15", "to": "0.2"}}
    assert inputs() == ["0.15", "0.2"]
    deployment = Deployment.objects.select_related("provider").get()
    [old, new] = timelines([deployment])[deployment.pk]
    assert (old.rates.output, new.rates.output) == (600_000_000, 600_000_000)
    assert old.effective_from < new.effective_from
    assert actions(imported(tmp_path / "config.yml")) == {"keep"}


def test_a_price_edited_in_the_admin_is_kept_and_told(tmp_path: Path) -> None:
    imported(written(tmp_path, ONE))
    row = Price.objects.get()
    row.input = Decimal(9)
    row.save()
    report = imported(written(tmp_path, ONE.replace("1.5e-07", "2.0e-07")))
    assert "kept '9', the file says '0.2'" in item(report, "Price", NAME)["note"]
    assert inputs() == ["9"]


def test_a_later_price_of_the_admin_is_kept_too_unless_the_file_shall_win(tmp_path: Path) -> None:
    imported(written(tmp_path, ONE))
    Price.objects.create(deployment=Deployment.objects.get(), input=Decimal(5))
    assert "input was edited here" in item(imported(tmp_path / "config.yml"), "Price", NAME)["note"]
    assert inputs() == ["0.15", "5"]
    imported(tmp_path / "config.yml", "--overwrite")
    assert inputs() == ["0.15", "5", "0.15"]


def test_prune_takes_all_prices_of_the_file_and_no_other(tmp_path: Path) -> None:
    imported(written(tmp_path, ONE))
    imported(written(tmp_path, ONE.replace("1.5e-07", "2.0e-07")))
    Price.objects.create(kind="openai", upstream_model="m", input=Decimal(3))
    assert "--prune deletes it" in item(imported(written(tmp_path, UNPRICED)), "Price", NAME)["note"]
    imported(written(tmp_path, UNPRICED), "--prune")
    assert inputs() == ["3"]


def test_a_dry_run_writes_no_price(tmp_path: Path) -> None:
    report = imported(written(tmp_path, ONE), "--dry-run")
    assert item(report, "Price", NAME)["action"] == "create"
    assert not Price.objects.exists()


def test_an_export_has_the_price_and_imports_to_the_same(tmp_path: Path) -> None:
    imported(written(tmp_path, ONE))
    exported = run("export_config")
    assert "input_cost_per_token: 1.5e-07" in exported
    assert actions(imported(written(tmp_path, exported))) == {"keep"}
    assert inputs() == ["0.15"]


def test_the_inventory_lists_every_price(tmp_path: Path) -> None:
    imported(written(tmp_path, ONE))
    Price.objects.create(kind="openai", upstream_model="m", input=Decimal(3))
    text = run("export_config", "--format", "switchyard")
    assert "input: '0.15'" in text
    assert "upstream_model: m" in text
