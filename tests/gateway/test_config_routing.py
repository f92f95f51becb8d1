"""Routing of a config file as rows, and out again: edits are kept, loops are refused, nothing is lost."""

import hashlib
from pathlib import Path

import pytest
import yaml
from django.core.management.base import CommandError

from gateway.configuration import import_at_start
from gateway.models import ImportedFile
from keys import issuing
from keys.models import Team
from providers.changes import ConfigVersion
from providers.models import Deployment, Fallback, Model, Provider
from tests.gateway.config_files import actions, imported, item, run, written

pytestmark = pytest.mark.django_db


def entry(name: str, more: str = "") -> str:
    return f"""
  - model_name: {name}
    litellm_params: {{model: openai/{name}, api_base: 'http://10.0.0.1:8000/v1', api_key: none{more}}}"""


THREE = "model_list:" + "".join(map(entry, "abc")) + "\n"
CHAIN = f"{THREE}router_settings:\n  fallbacks: [{{a: [b, c]}}, {{b: [c]}}]\n"


def entry_d() -> str:
    return entry("d").removeprefix("\n") + "\n"


def chains() -> list[str]:
    return [f"{row.model}{row.to}{row.position} {row.on}" for row in Fallback.objects.all()]


def made(model: str, to: str, **fields: object) -> Fallback:
    """A fallback of the admin."""
    return Fallback.objects.create(
        model=Model.objects.get(name=model), to=Model.objects.get(name=to), **fields
    )


def test_fallbacks_are_rows_of_the_file(tmp_path: Path) -> None:
    report = imported(written(tmp_path, CHAIN))
    assert chains() == ["ab0 any", "ac1 any", "bc0 any"]
    assert {row.source for row in Fallback.objects.all()} == {"file"}
    assert item(report, "Fallback", "a to b after any")["action"] == "create"


def test_the_same_file_twice_changes_nothing(tmp_path: Path) -> None:
    imported(written(tmp_path, CHAIN))
    version = ConfigVersion.current()
    assert actions(imported(tmp_path / "config.yml")) == {"keep"}
    assert ConfigVersion.current() == version
    assert run("diff_config", tmp_path / "config.yml") == ""


def test_another_order_moves_the_rows_that_are_there(tmp_path: Path) -> None:
    imported(written(tmp_path, CHAIN))
    rows = set(Fallback.objects.values_list("pk", flat=True))
    imported(written(tmp_path, CHAIN.replace("[b, c]", "[c, b]")))
    assert chains() == ["ac0 any", "ab1 any", "bc0 any"]
    assert set(Fallback.objects.values_list("pk", flat=True)) == rows


def test_a_fallback_that_was_changed_in_the_admin_is_kept_until_overwritten(tmp_path: Path) -> None:
    imported(written(tmp_path, CHAIN))
    Fallback.objects.filter(model__name="b").update(on="content_policy")
    report = imported(tmp_path / "config.yml")
    assert "bc0 content_policy" in chains()
    assert "on was edited here" in item(report, "Fallback", "b to c after content_policy")["note"]
    imported(tmp_path / "config.yml", "--overwrite")
    assert chains() == ["ab0 any", "ac1 any", "bc0 any"]


def test_an_order_that_the_admin_changed_is_kept(tmp_path: Path) -> None:
    imported(written(tmp_path, CHAIN))
    Fallback.objects.filter(model__name="a", to__name="c").update(position=0)
    Fallback.objects.filter(model__name="a", to__name="b").update(position=1)
    report = imported(tmp_path / "config.yml")
    assert "position was edited here: kept 0" in item(report, "Fallback", "a to c after any")["note"]
    assert chains()[:2] == ["ac0 any", "ab1 any"]
    imported(tmp_path / "config.yml", "--overwrite")
    assert chains()[:2] == ["ab0 any", "ac1 any"]


def test_what_the_admin_put_in_front_goes_behind_once_the_list_changes(tmp_path: Path) -> None:
    imported(written(tmp_path, THREE + entry_d() + "router_settings: {fallbacks: [{a: [b]}]}\n"))
    Fallback.objects.update(position=4)
    made("a", "d", position=0)
    assert actions(imported(tmp_path / "config.yml")) == {"keep"}
    assert chains() == ["ad0 any", "ab4 any"]
    imported(written(tmp_path, THREE + entry_d() + "router_settings: {fallbacks: [{a: [b, c]}]}\n"))
    assert chains() == ["ab0 any", "ac1 any", "ad2 any"]


def test_a_fallback_that_the_admin_sent_elsewhere_is_kept(tmp_path: Path) -> None:
    imported(written(tmp_path, THREE + "router_settings: {fallbacks: [{a: [b]}]}\n"))
    Fallback.objects.update(to=Model.objects.get(name="c"))
    assert actions(imported(tmp_path / "config.yml")) == {"keep"}
    assert chains() == ["ac0 any"]


def test_a_fallback_that_the_admin_made_already_becomes_no_second_one(tmp_path: Path) -> None:
    imported(written(tmp_path, THREE))
    made("a", "b", position=7)
    report = imported(written(tmp_path, CHAIN))
    assert chains() == ["ab0 any", "ac1 any", "bc0 any"]
    assert item(report, "Fallback", "a to b after any")["note"] == ""


def test_the_order_counts_and_gaps_in_positions_do_not(tmp_path: Path) -> None:
    imported(written(tmp_path, THREE + entry_d()))
    for to, position in (("d", 9), ("c", 0), ("b", 0)):
        made("a", to, position=position)
    said = "router_settings: {fallbacks: [{a: [%s]}]}\n"
    same = written(tmp_path, THREE + entry_d() + said % "c, b, d")
    assert run("diff_config", same) == ""
    imported(same)
    imported(written(tmp_path, THREE + entry_d() + said % "b, c, d"), "--overwrite")
    assert chains() == ["ab0 any", "ac1 any", "ad2 any"]


def test_what_the_file_leaves_out_goes_with_prune_and_the_admins_stay(tmp_path: Path) -> None:
    imported(written(tmp_path, CHAIN))
    made("a", "c", on="content_policy")
    without = THREE + "router_settings: {fallbacks: [{a: [c]}]}\n"
    report = imported(written(tmp_path, without))
    assert "--prune deletes it" in item(report, "Fallback", "b to c after any")["note"]
    assert len(chains()) == 4
    imported(tmp_path / "config.yml", "--prune")
    assert [chain[:2] + chain[3:] for chain in chains()] == ["ac any", "ac content_policy"]


def test_a_model_that_a_fallback_of_the_admin_needs_is_not_pruned(tmp_path: Path) -> None:
    imported(written(tmp_path, THREE))
    made("a", "c")
    two = "model_list:" + entry("a") + entry("b") + "\n"
    report = imported(written(tmp_path, two), "--prune")
    assert "made here use it" in item(report, "Model", "c")["note"]
    Fallback.objects.all().delete()
    imported(tmp_path / "config.yml", "--prune")
    assert set(Model.objects.values_list("name", flat=True)) == {"a", "b"}


def test_a_model_goes_with_the_fallbacks_of_the_file(tmp_path: Path) -> None:
    imported(written(tmp_path, CHAIN))
    imported(
        written(
            tmp_path, "model_list:" + entry("a") + entry("b") + "\nrouter_settings: {fallbacks: [{a: [b]}]}\n"
        ),
        "--prune",
    )
    assert chains() == ["ab0 any"]


def test_a_renamed_model_keeps_its_fallbacks(tmp_path: Path) -> None:
    imported(written(tmp_path, CHAIN))
    Model.objects.filter(name="b").update(name="Bee")
    assert actions(imported(tmp_path / "config.yml")) == {"keep"}
    assert Fallback.objects.count() == 3


# --- loops -------------------------------------------------------------------------------------


def test_models_of_a_file_that_ask_each_other_make_no_loop(tmp_path: Path) -> None:
    imported(written(tmp_path, THREE + "router_settings:\n  fallbacks:\n    - a: [b]\n    - b: [a, c]\n"))
    assert chains() == ["ab0 any", "bc0 any"]


@pytest.mark.parametrize("flags", [["--dry-run"], []])
def test_a_loop_with_a_fallback_made_here_refuses_the_file(flags: list[str], tmp_path: Path) -> None:
    imported(written(tmp_path, THREE))
    made("c", "a")
    told = r"config\.yml:9: router_settings\.fallbacks\[.\]\..: .*back to itself.*"
    with pytest.raises(CommandError, match=told):
        run("import_config", written(tmp_path, CHAIN), *flags)
    assert chains() == ["ca0 any"]
    with pytest.raises(CommandError, match=told) as refusal:
        run("diff_config", tmp_path / "config.yml")
    assert refusal.value.returncode == 2


def test_a_loop_with_what_the_file_said_before_goes_with_prune(tmp_path: Path) -> None:
    imported(written(tmp_path, CHAIN))
    turned = THREE + "router_settings: {fallbacks: [{b: [a]}, {c: [b]}]}\n"
    with pytest.raises(CommandError, match="--prune deletes"):
        run("import_config", written(tmp_path, turned))
    imported(tmp_path / "config.yml", "--prune")
    assert chains() == ["ba0 any", "cb0 any"]


def test_a_loop_that_was_there_before_is_not_the_files_fault(tmp_path: Path) -> None:
    imported(written(tmp_path, THREE))
    made("a", "b")
    made("b", "a")
    imported(written(tmp_path, THREE + "router_settings: {fallbacks: [{a: [c]}]}\n"))
    assert "ac0 any" in chains()


# --- settings ----------------------------------------------------------------------------------

SET = """router_settings:
  num_retries: 1
  timeout: 30
  allowed_fails: 2
  cooldown_time: 20
  retry_policy: {TimeoutErrorRetries: 0}
  enable_tag_filtering: true
"""


def test_settings_of_models_and_deployments_become_rows(tmp_path: Path) -> None:
    imported(written(tmp_path, "model_list:" + entry("a", ", tags: [paid], cooldown_time: 3") + f"\n{SET}"))
    model, deployment = Model.objects.get(), Deployment.objects.get()
    assert (model.max_attempts, model.timeout, model.eject_after, model.eject_seconds) == (2, 30, 3, 20)
    assert model.retries_by_error == {"timeout": 0}
    assert (deployment.tags, deployment.eject_seconds, deployment.queue_seconds) == (["paid"], 3, None)
    model.full_clean()
    deployment.full_clean()


def test_settings_edited_in_the_admin_are_kept_and_told(tmp_path: Path) -> None:
    path = written(tmp_path, THREE + SET)
    imported(path)
    Model.objects.filter(name="a").update(max_attempts=5, hidden=True)
    Deployment.objects.update(tags=["mine"])
    report = imported(path)
    note = item(report, "Model", "a")["note"]
    assert "max_attempts was edited here: kept 5, the file says 2" in note
    assert "hidden was edited here" in note
    assert {tuple(row.tags) for row in Deployment.objects.all()} == {("mine",)}
    imported(path, "--overwrite")
    assert Model.objects.get(name="a").max_attempts == 2
    assert not Model.objects.filter(hidden=True).exists()


def test_a_setting_that_the_file_no_longer_has_is_unset(tmp_path: Path) -> None:
    imported(written(tmp_path, THREE + SET))
    imported(written(tmp_path, THREE))
    model = Model.objects.first()
    assert model is not None
    assert (model.max_attempts, model.timeout, model.retries_by_error) == (None, None, {})


NEW_OF_MODELS = (
    *("hidden", "max_attempts", "retries_by_error", "deadline", "connect_timeout", "timeout"),
    *("stream_timeout", "idle_timeout", "max_queue", "eject_after", "eject_seconds"),
)
NEW_OF_DEPLOYMENTS = ("queue_seconds", "tags", "connect_timeout", "idle_timeout", "eject_seconds")


def test_a_provider_that_was_switched_off_in_the_admin_stays_off(tmp_path: Path) -> None:
    path = written(tmp_path, THREE)
    imported(path)
    for row in Provider.objects.all():  # as an earlier version left it
        kept = {name: value for name, value in row.imported.items() if name != "enabled"}
        Provider.objects.update(imported=kept, enabled=False)
    report = imported(path)
    assert "enabled was edited here" in item(report, "Provider", "openai-10.0.0.1-8000")["note"]
    assert not Provider.objects.get().enabled


def test_rows_of_earlier_imports_are_not_taken_for_edited(tmp_path: Path) -> None:
    imported(written(tmp_path, THREE))
    for table, fields in ((Model, NEW_OF_MODELS), (Deployment, NEW_OF_DEPLOYMENTS)):
        for row in table.objects.all():
            kept = {name: value for name, value in row.imported.items() if name not in fields}
            table.objects.filter(pk=row.pk).update(imported=kept)
    report = imported(written(tmp_path, THREE + SET))
    assert {step["note"] for step in report["plan"]} == {""}
    assert Model.objects.filter(max_attempts=2, timeout=30).count() == 3


def test_a_file_that_an_earlier_version_imported_is_read_again_at_start(tmp_path: Path) -> None:
    path = written(tmp_path, THREE)
    imported(path)
    digest = ImportedFile.objects.get().sha256
    assert "unchanged" in str(import_at_start(str(path)))
    ImportedFile.objects.update(sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    assert import_at_start(str(path)).imported
    assert ImportedFile.objects.get().sha256 == digest


# --- out again ---------------------------------------------------------------------------------


def test_what_all_models_share_is_written_as_litellm_has_it(tmp_path: Path) -> None:
    imported(written(tmp_path, THREE + SET.replace("20", "20.5")))
    exported = yaml.safe_load(run("export_config"))
    assert exported["router_settings"] == {
        "num_retries": 1,
        "retry_policy": {"TimeoutErrorRetries": 0},
        "timeout": 30.0,
        "allowed_fails": 2,
        "cooldown_time": 20.5,
    }
    assert "switchyard" not in str(exported)


def test_deployments_that_are_never_put_aside_are_written_as_litellm_has_it(tmp_path: Path) -> None:
    imported(written(tmp_path, THREE + "router_settings: {disable_cooldowns: true}\n"))
    assert yaml.safe_load(run("export_config"))["router_settings"] == {"disable_cooldowns": True}


def test_fallbacks_of_each_kind_are_written_in_their_order(tmp_path: Path) -> None:
    imported(written(tmp_path, CHAIN))
    made("a", "c", on="context_window")
    made("b", "c", on="content_policy")
    settings = yaml.safe_load(run("export_config"))["router_settings"]
    assert settings == {
        "fallbacks": [{"a": ["b", "c"]}, {"b": ["c"]}],
        "context_window_fallbacks": [{"a": ["c"]}],
        "content_policy_fallbacks": [{"b": ["c"]}],
    }


def test_a_fallback_to_a_model_without_deployments_is_told(tmp_path: Path) -> None:
    imported(written(tmp_path, THREE))
    Model.objects.create(name="idle")
    made("a", "idle")
    exported = run("export_config")
    assert "# not in this file: a to idle after any other error; one of them has no deployment\n" in exported
    assert "router_settings" not in (yaml.safe_load(exported) or {})


def test_retries_that_differ_are_written_model_by_model(tmp_path: Path) -> None:
    imported(written(tmp_path, THREE))
    Model.objects.filter(name="a").update(retries_by_error={"server_error": 1, "connect": 1, "timeout": 0})
    Model.objects.filter(name="b").update(retries_by_error={"connect": 1})
    exported = yaml.safe_load(run("export_config"))
    assert exported["router_settings"]["model_group_retry_policy"] == {
        "a": {"InternalServerErrorRetries": 1, "TimeoutErrorRetries": 0}
    }
    assert exported["model_list"][1]["model_info"] == {
        "switchyard_model": {"retries_by_error": {"connect": 1}}
    }


def test_tags_of_keys_and_teams_are_told() -> None:
    Team.objects.create(name="Blue", tags=["eu"])
    alice, _ = issuing.issue("Alice")
    alice.tags = ["paid", "eu"]
    alice.save()
    exported = run("export_config")
    assert "# not in this format: key Alice has the tags paid, eu\n" in exported
    assert "# not in this format: team Blue has the tags eu\n" in exported


def test_the_inventory_tells_of_routing(tmp_path: Path) -> None:
    Team.objects.create(name="Blue", tags=["eu"])
    imported(written(tmp_path, CHAIN + SET.removeprefix("router_settings:\n")))
    inventory = yaml.safe_load(run("export_config", format="switchyard"))
    assert inventory["fallbacks"][0] == {
        "model": "a",
        "to": "b",
        "on": "any",
        "position": 0,
        "source": "file",
    }
    assert inventory["models"][0]["retries_by_error"] == {"timeout": 0}
    assert inventory["deployments"][0]["tags"] == []
    assert inventory["teams"] == [{"name": "Blue", "tags": ["eu"], "notes": ""}]
