"""Importing a config.yml: the rows it makes, and that it changes all of them or none."""

import os
from pathlib import Path

import pytest
from django.core.management.base import CommandError

from gateway.configuration import import_at_start
from gateway.models import ImportedFile
from keys import issuing
from keys.models import ApiKey, Limit
from providers.changes import ConfigVersion
from providers.models import Deployment, Model, Provider
from tests.gateway.config_files import SHIPPED, actions, imported, item, run, written

pytestmark = pytest.mark.django_db

ONE = """
model_list:
  - model_name: llm
    litellm_params: {model: openai/m, api_base: 'http://10.0.0.1:8000/v1', api_key: sk-one, weight: 3}
"""
TWO = """
  - model_name: llm
    litellm_params: {model: openai/m2, api_base: 'http://10.0.0.2:8000/v1', api_key: none, weight: 1}
"""


def test_the_shipped_file_makes_its_rows() -> None:
    imported(SHIPPED)
    local, nebius = Deployment.objects.order_by("pk")
    assert (local.name, local.model.name, local.weight, local.max_parallel_requests) == (
        "llm/openai-10.3.0.42-11434",
        "llm",
        1,
        10,
    )
    assert (nebius.weight, nebius.max_parallel_requests, nebius.default_params) == (
        2,
        10,
        {"temperature": 0.2},
    )
    assert nebius.provider.secret_reference == "NEBIUS_API_KEY"
    assert (local.provider.secret(), nebius.provider.secret()) == ("", "")
    assert {row.source for row in (local, nebius, local.provider, local.model)} == {"file"}


def test_the_shipped_file_makes_the_master_key_and_its_limits() -> None:
    imported(SHIPPED)
    key = issuing.find("sk-litellm-admin")
    assert key is not None
    assert (key.name, key.is_admin, key.all_models, key.enabled) == ("master", True, True, True)
    limits = {(limit.metric, limit.amount, limit.window, limit.mode) for limit in key.limits.all()}
    assert limits == {("requests", 3, "minute", "enforce"), ("tokens", 1000, "minute", "enforce")}


def test_the_same_file_twice_changes_nothing() -> None:
    assert actions(imported(SHIPPED)) == {"create"}
    version, history = ConfigVersion.current(), Deployment.history.count()
    assert actions(imported(SHIPPED)) == {"keep"}
    assert (ConfigVersion.current(), Deployment.history.count()) == (version, history)


def test_a_dry_run_prints_the_plan_and_changes_nothing() -> None:
    assert actions(imported(SHIPPED, "--dry-run")) == {"create"}
    assert not Provider.objects.exists()
    assert not ApiKey.objects.exists()
    assert not ImportedFile.objects.exists()


def test_a_private_address_counts_as_confirmed_and_is_in_the_history() -> None:
    imported(SHIPPED)
    local = Provider.objects.get(base_url__contains="10.3.0.42")
    [nebius] = Provider.objects.exclude(pk=local.pk)
    local.full_clean()
    assert (local.confirmed_host, nebius.confirmed_host) == ("10.3.0.42:11434", "")
    assert "10.3.0.42:11434 confirmed" in local.history.get().history_change_reason


def test_a_service_name_of_a_private_network_counts_as_confirmed(tmp_path: Path) -> None:
    imported(written(tmp_path, ONE.replace("10.0.0.1", "vllm")))
    assert Provider.objects.get().confirmed_host == "vllm:8000"


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "metadata.google.internal", "[fe80::1]", "100.100.100.200"]
)
def test_a_metadata_address_is_refused_and_nothing_changes(host: str, tmp_path: Path) -> None:
    path = written(tmp_path, ONE + TWO.replace("10.0.0.2", host))
    with pytest.raises(
        CommandError, match=r"config\.yml:7: model_list\[1\]\.litellm_params\.api_base: .*never"
    ):
        run("import_config", path)
    assert not Provider.objects.exists()


@pytest.mark.parametrize(
    "url", ["10.0.0.1:8000/v1", "ftp://h/v1", "http://u:p@h/v1", "http://h:x/v1", "http://[h"]
)
def test_an_address_that_is_none_is_told_with_its_place(url: str, tmp_path: Path) -> None:
    path = written(tmp_path, ONE.replace("http://10.0.0.1:8000/v1", url))
    with pytest.raises(CommandError, match=r"config\.yml:4: model_list\[0\]\.litellm_params\.api_base: "):
        run("import_config", path)


def test_a_literal_key_is_sealed(tmp_path: Path) -> None:
    imported(written(tmp_path, ONE))
    provider = Provider.objects.get()
    assert provider.secret() == "sk-one"
    assert "sk-one" not in f"{provider.secret_sealed}{provider.imported}"


def test_a_new_literal_key_replaces_the_old_one_in_place(tmp_path: Path) -> None:
    imported(written(tmp_path, ONE))
    before = Provider.objects.get()
    report = imported(written(tmp_path, ONE.replace("sk-one", "sk-two")))
    after = Provider.objects.get()
    assert (after.pk, after.secret()) == (before.pk, "sk-two")
    assert item(report, "Provider", after.name)["changes"] == {"secret": {"from": "set", "to": "replaced"}}


def test_a_changed_value_of_the_file_is_taken_over(tmp_path: Path) -> None:
    imported(written(tmp_path, ONE))
    report = imported(written(tmp_path, ONE.replace("weight: 3", "weight: 5")))
    assert Deployment.objects.get().weight == 5
    changes = item(report, "Deployment", "llm/openai-10.0.0.1-8000")["changes"]
    assert changes == {"weight": {"from": 3, "to": 5}}


def test_what_was_edited_in_the_admin_is_kept_and_told(tmp_path: Path) -> None:
    imported(written(tmp_path, ONE))
    row = Deployment.objects.get()
    row.weight = 9
    row.save()
    report = imported(written(tmp_path, ONE.replace("weight: 3", "weight: 5")))
    assert Deployment.objects.get().weight == 9
    assert "kept 9, the file says 5" in item(report, "Deployment", row.name)["note"]
    assert "kept 9" in item(imported(tmp_path / "config.yml"), "Deployment", row.name)["note"]


def test_overwrite_lets_the_file_win(tmp_path: Path) -> None:
    imported(written(tmp_path, ONE))
    Deployment.objects.update(weight=9)
    imported(tmp_path / "config.yml", "--overwrite")
    assert Deployment.objects.get().weight == 3


def test_a_key_of_a_provider_that_was_changed_in_the_admin_is_kept(tmp_path: Path) -> None:
    imported(written(tmp_path, ONE))
    provider = Provider.objects.get()
    provider.set_secret("sk-alice")
    provider.save()
    report = imported(tmp_path / "config.yml")
    assert Provider.objects.get().secret() == "sk-alice"
    assert item(report, "Provider", provider.name)["note"] == "secret was edited here and is kept"


def test_renamed_rows_stay_the_same_rows(tmp_path: Path) -> None:
    imported(written(tmp_path, ONE))
    Provider.objects.update(name="Basement")
    Deployment.objects.update(name="The basement's llm")
    assert actions(imported(tmp_path / "config.yml")) == {"keep"}
    assert Provider.objects.get().name == "Basement"


def test_a_row_of_the_same_name_made_in_the_admin_is_not_sent_elsewhere(tmp_path: Path) -> None:
    Provider.objects.create(name="openai-10.0.0.1-8000", base_url="https://elsewhere.example/v1")
    imported(written(tmp_path, ONE))
    assert Deployment.objects.get().provider.name == "openai-10.0.0.1-8000-2"
    assert Deployment.objects.get().provider.base_url == "http://10.0.0.1:8000/v1"
    assert actions(imported(tmp_path / "config.yml")) == {"keep"}


def test_prune_deletes_what_the_file_no_longer_names_and_nothing_else(tmp_path: Path) -> None:
    imported(SHIPPED)
    alice, _ = issuing.issue("Alice")
    Limit.objects.create(key=alice, metric="requests", amount=1)
    own = Provider.objects.create(name="own", base_url="https://own.example/v1")
    imported(written(tmp_path, ONE), "--prune")
    assert [row.name for row in Deployment.objects.all()] == ["llm/openai-10.0.0.1-8000"]
    assert set(Provider.objects.values_list("name", flat=True)) == {"openai-10.0.0.1-8000", own.name}
    assert [key.name for key in ApiKey.objects.all()] == ["Alice"]
    assert Limit.objects.count() == 1


def test_without_prune_nothing_is_deleted(tmp_path: Path) -> None:
    imported(SHIPPED)
    report = imported(written(tmp_path, ONE))
    assert "--prune deletes it" in item(report, "Deployment", "llm/nebius")["note"]
    assert Deployment.objects.count() == 3


def test_prune_leaves_what_a_deployment_of_the_admin_needs(tmp_path: Path) -> None:
    imported(written(tmp_path, ONE + TWO))
    used = Provider.objects.get(name="openai-10.0.0.2-8000")
    Deployment.objects.create(name="mine", model=Model.objects.get(), provider=used, upstream_model="x")
    report = imported(written(tmp_path, ONE), "--prune")
    assert "other deployments use it" in item(report, "Provider", used.name)["note"]
    assert set(Deployment.objects.values_list("name", flat=True)) == {"mine", "llm/openai-10.0.0.1-8000"}


def test_removing_the_first_of_two_namesakes_keeps_the_second_row(tmp_path: Path) -> None:
    second = TWO.replace("10.0.0.2", "10.0.0.1").replace("none", "sk-one")
    imported(written(tmp_path, ONE + second))
    row = Deployment.objects.get(upstream_model="m2")
    imported(written(tmp_path, "model_list:" + second), "--prune")
    assert [(left.pk, left.upstream_model) for left in Deployment.objects.all()] == [(row.pk, "m2")]


def test_a_new_master_key_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    imported(written(tmp_path, "general_settings: {master_key: sk-first-master-key-1234567}"))
    before = ApiKey.objects.get()
    report = imported(written(tmp_path, "general_settings: {master_key: sk-second-master-key-234567}"))
    assert issuing.find("sk-first-master-key-1234567") is None
    assert issuing.find("sk-second-master-key-234567") == before
    assert item(report, "ApiKey", "master")["changes"] == {"text": {"from": "set", "to": "replaced"}}


def test_a_key_that_exists_already_only_gets_its_limits(tmp_path: Path) -> None:
    alice, text = issuing.issue("Alice")
    imported(written(tmp_path, f"general_settings: {{usage_limits: {{{text}: {{max_tokens: 7}}}}}}"))
    assert [(limit.key, limit.amount) for limit in Limit.objects.all()] == [(alice, 7)]
    assert [key.name for key in ApiKey.objects.all()] == ["Alice"]


def test_a_limit_that_was_bound_to_a_model_since_is_not_made_again() -> None:
    imported(SHIPPED)
    Limit.objects.update(model=Model.objects.get())
    assert actions(imported(SHIPPED)) == {"keep"}
    assert Limit.objects.count() == 2


def test_a_variable_that_is_not_set_is_a_warning_and_the_row_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NEBIUS_API_KEY", raising=False)
    report = imported(SHIPPED)
    verdict = next(v for v in report["verdicts"] if v["path"] == "model_list[1].litellm_params.api_key")
    assert (verdict["verdict"], verdict["line"]) == ("warning", 17)
    assert Deployment.objects.filter(name="llm/nebius").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model_list: [", r"config\.yml:1: broken YAML"),
        (ONE + "general_settings:\n  a: 1\n  a: 2\n", r"config\.yml:7: general_settings\.a: duplicate key"),
        (
            ONE.replace("weight: 3", "weight: x"),
            r"config\.yml:4: model_list\[0\]\.litellm_params\.weight: a number",
        ),
        ("include: none.yml", r"config\.yml:1: include: none\.yml: No such file"),
    ],
)
def test_a_broken_file_is_one_message_and_changes_nothing(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=message) as refusal:
        run("import_config", written(tmp_path, text))
    assert refusal.value.returncode == 1
    assert "\n" not in str(refusal.value)
    assert not Model.objects.exists()


def test_a_missing_file_and_one_that_is_no_text_are_told(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"nowhere\.yml: No such file or directory"):
        run("import_config", tmp_path / "nowhere.yml")
    (tmp_path / "config.yml").write_bytes(b"a: \xff\xfe")
    with pytest.raises(CommandError, match=r"config\.yml: not UTF-8 text"):
        run("import_config", tmp_path / "config.yml")


def test_an_included_file_is_found_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "more.yml").write_text(ONE)
    imported(written(tmp_path, "include: [more.yml]"))
    assert Deployment.objects.get().weight == 3


def test_the_text_report_shows_lines_and_hides_keys() -> None:
    text = run("import_config", SHIPPED)
    assert "WEAK MASTER KEY" in text
    assert "+ create Deployment llm/nebius" in text
    assert "   17  model_list[1].litellm_params.api_key" in text
    assert "sk-litellm-admin" not in text
    assert "Nothing to change" in run("import_config", SHIPPED)


def test_a_file_is_imported_at_start_only_when_it_changed(tmp_path: Path) -> None:
    path = str(written(tmp_path, ONE))
    assert import_at_start(path).imported
    Deployment.objects.update(weight=9)
    assert str(import_at_start(path)) == f"{path}: unchanged since its last import"
    written(tmp_path, ONE.replace("weight: 3", "weight: 4"))
    summary = import_at_start(path)
    assert summary.imported
    assert "kept 9, the file says 4" in str(summary)


def test_a_changed_variable_is_a_changed_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(written(tmp_path, "general_settings: {master_key: os.environ/LITELLM_MASTER_KEY}"))
    monkeypatch.setitem(os.environ, "LITELLM_MASTER_KEY", "sk-first-master-key-1234567")
    assert import_at_start(path).imported
    assert not import_at_start(path).imported
    monkeypatch.setitem(os.environ, "LITELLM_MASTER_KEY", "sk-second-master-key-234567")
    assert import_at_start(path).imported
    assert issuing.find("sk-second-master-key-234567") == ApiKey.objects.get()


def test_a_broken_file_at_start_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"config\.yml:1: broken YAML"):
        import_at_start(str(written(tmp_path, "a: [")))
