"""Exports: block YAML without secrets, which imports to the same rows."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from keys import issuing
from keys.models import ApiKey, EndUser, Limit, Team
from providers.litellm_records import MODEL_SETTINGS
from providers.models import Deployment, Fallback, Model, Provider
from tests.gateway.config_files import SHIPPED, actions, imported, run, written

pytestmark = pytest.mark.django_db

RICH = """
model_list:
  - model_name: a
    litellm_params:
      model: openai/org/m
      api_base: http://10.0.0.1:8000/v1
      api_key: none
      weight: 0
      order: 2
      timeout: 30.5
      stream_timeout: 4
      stop: ["#", "two\\nlines"]
      extra_body: {vendor: {deep: [1, null, "yes"]}, num_retries: 3}
      extra_headers: {X-Team: blue}
    model_info: {id: fast, mode: embedding, max_input_tokens: 9, max_output_tokens: 5, team: "42"}
  - model_name: a
    litellm_params: {model: groq/m, order: 1, rpm: 60, tpm: 4000000000000000, max_budget: 0.000000001}
  - model_name: b
    litellm_params: {model: openai/n, api_base: os.environ/GPU_BASE_URL, api_key: os.environ/GPU_API_KEY}
  - model_name: b
    litellm_params: {model: openai/n, api_base: os.environ/GPU_BASE_URL, api_key: os.environ/GPU_API_KEY}
  - model_name: c
    litellm_params: {model: groq/n, tags: [paid, default], cooldown_time: 2.5}
    model_info: {switchyard_model: {deadline: 9, max_queue: 0, retries_by_error: {connect: 3}}}
  - model_name: b
    litellm_params: {model: ollama/n, api_base: 'http://h:11434', max_budget: 12.5, budget_duration: 24h}
litellm_settings: {max_budget: 1000, budget_duration: 30d, max_end_user_budget: 0.002}
router_settings:
  routing_strategy: usage-based-routing-v2
  model_group_alias: {gpt-4: a, old: {model: a, hidden: true}, small: b}
  num_retries: 4
  timeout: 40
  fallbacks: [{a: [b, c]}, {b: [c]}]
  context_window_fallbacks: [{"*": [c]}]
  enable_tag_filtering: true
general_settings:
  user_header_name: X-User
  max_parallel_requests: 4
  global_max_parallel_requests: 100
  master_key: os.environ/SWITCHYARD_MASTER_KEY
  usage_limits:
    os.environ/SWITCHYARD_MASTER_KEY: [{max_tokens: 7, max_cost: 1}, {max_requests: 9, window: day}]
    os.environ/ALICE_API_KEY: {max_requests: 2, max_cost: 3999999.999999999, window: total}
"""


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWITCHYARD_MASTER_KEY", "sk-a-long-and-random-master-key")
    monkeypatch.setenv("ALICE_API_KEY", "sk-alice-0123456789-abcdef")


LIMIT_FIELDS = ("key__name", "deployment__name", "each_end_user", "metric", "window", "amount", "source")


def rows() -> dict[str, Any]:
    """Every field that an import decides; neither ids nor times."""
    deployments = ("name", "model__name", "provider__name", "upstream_model", "weight", "priority", "timeout")
    more = ("max_parallel_requests", "stream_timeout", "default_params", "drop_params", "state", "source")
    times = ("queue_seconds", "connect_timeout", "idle_timeout", "eject_seconds", "tags")
    return {
        "providers": list(
            Provider.objects.order_by("name").values(
                "name", "kind", "base_url", "secret_reference", "extra_headers", "confirmed_host", "source"
            )
        ),
        "models": list(
            Model.objects.order_by("name").values(
                *("name", "kind", "max_input_tokens", "max_output_tokens", "info"),
                *("strategy", "aliases", "hidden_aliases", *MODEL_SETTINGS),
            )
        ),
        "deployments": list(Deployment.objects.order_by("name").values(*deployments, *more, *times)),
        "fallbacks": sorted(
            Fallback.objects.values_list("model__name", "to__name", "on", "position", "source")
        ),
        "keys": list(
            ApiKey.objects.order_by("name").values("name", "public_id", "is_admin", "end_user_header")
        ),
        "limits": sorted(Limit.objects.values_list(*LIMIT_FIELDS), key=repr),
    }


def forget_everything() -> None:
    for model in (Limit, Deployment, Fallback, Model, Provider, ApiKey):
        model.objects.all().delete()


@pytest.mark.parametrize(
    "text", [SHIPPED.read_text().replace("sk-litellm-admin", "os.environ/SWITCHYARD_MASTER_KEY"), RICH]
)
def test_an_export_imports_to_the_same_rows(text: str, tmp_path: Path) -> None:
    imported(written(tmp_path, text))
    before, exported = rows(), run("export_config")
    assert actions(imported(written(tmp_path, exported))) == {"keep"}
    forget_everything()
    assert actions(imported(tmp_path / "config.yml")) == {"create"}
    assert rows() == before
    assert run("export_config") == exported


def test_a_strategy_of_all_models_is_written_as_litellm_has_it(tmp_path: Path) -> None:
    imported(written(tmp_path, RICH))
    file = yaml.safe_load(run("export_config"))
    assert file["router_settings"]["routing_strategy"] == "usage-based-routing-v2"
    assert "switchyard_strategy" not in str(file)


def test_strategies_that_differ_are_written_with_each_model(tmp_path: Path) -> None:
    imported(written(tmp_path, RICH))
    Model.objects.filter(name="b").update(strategy="weighted")
    exported = run("export_config")
    assert "routing_strategy" not in exported
    forget_everything()
    imported(written(tmp_path, exported))
    assert dict(Model.objects.values_list("name", "strategy")) == {
        "a": "usage",
        "b": "weighted",
        "c": "usage",
    }


def test_rows_that_were_renamed_or_switched_off_keep_that(tmp_path: Path) -> None:
    imported(written(tmp_path, RICH))
    Provider.objects.filter(name="groq").update(name="Groq of Bob", enabled=False)
    Deployment.objects.filter(name="fast").update(state="disabled")
    exported = run("export_config")
    forget_everything()
    imported(written(tmp_path, exported))
    assert not Provider.objects.get(name="Groq of Bob").enabled
    assert Provider.objects.filter(enabled=True).count() == Provider.objects.count() - 1
    assert Deployment.objects.get(name="fast").state == "disabled"
    assert Deployment.objects.filter(name="a/groq").exists()


def test_a_sealed_key_is_exported_as_a_reference_with_a_comment() -> None:
    provider = Provider(name="Bob's GPU", kind="openai", base_url="https://gpu.example/v1")
    provider.set_secret("sk-bob-secret")
    provider.save()
    model = Model.objects.create(name="m")
    Deployment.objects.create(name="m/x", model=model, provider=provider, upstream_model="x")
    exported = run("export_config")
    assert "sk-bob-secret" not in exported
    assert "# BOB_S_GPU_API_KEY: the key that is stored for Bob's GPU" in exported
    assert (
        yaml.safe_load(exported)["model_list"][0]["litellm_params"]["api_key"]
        == "os.environ/BOB_S_GPU_API_KEY"
    )


def test_no_key_text_is_exported_in_any_format() -> None:
    imported(SHIPPED)
    for wanted in ("litellm", "switchyard"):
        assert "sk-litellm-admin" not in run("export_config", format=wanted)


def test_an_export_is_block_yaml() -> None:
    imported(SHIPPED)
    assert not any("{" in line for line in run("export_config").splitlines())
    assert "      max_parallel_requests: 10\n" in run("export_config")


def test_what_the_format_cannot_say_is_said_in_a_comment() -> None:
    alice, _ = issuing.issue("Alice")
    Limit.objects.create(key=alice, metric="tokens", amount=5, mode="shadow")
    Model.objects.create(name="idle")
    exported = run("export_config")
    assert "# model idle has no deployment" in exported
    master = issuing.issue("master", is_admin=True)[0]
    assert "# not in this format: Alice: 5 tokens per minute, shadow, model any" in run("export_config")
    assert yaml.safe_load(run("export_config"))["general_settings"] == {
        "master_key": "os.environ/SWITCHYARD_MASTER_KEY"
    }
    assert master.name in run("export_config")


def furnished() -> tuple[ApiKey, Deployment]:
    """Alice's key and one deployment."""
    alice, _ = issuing.issue("Alice", text="sk-alice-0123456789-abcdef")
    provider = Provider.objects.create(name="openai-10.0.0.1", kind="openai", base_url="http://10.0.0.1/v1")
    model = Model.objects.create(name="m")
    row = Deployment.objects.create(
        name="m/openai-10.0.0.1", model=model, provider=provider, upstream_model="x"
    )
    return alice, row


def test_limits_made_in_the_admin_are_exported_and_import_as_they_are(tmp_path: Path) -> None:
    alice, deployment = furnished()
    Limit.objects.create(metric="cost", amount=250_000_000, window="week")
    Limit.objects.create(metric="cost", amount=5_000, window="total", each_end_user=True)
    Limit.objects.create(metric="parallel", amount=0, window="")
    Limit.objects.create(deployment=deployment, metric="requests", amount=6, window="minute")
    Limit.objects.create(deployment=deployment, metric="cost", amount=7 * 10**9, window="second")
    Limit.objects.create(key=alice, metric="cost", amount=1, window="hour")
    before = Limit.objects.count()
    exported = run("export_config")
    assert "not in this format" not in exported
    file = yaml.safe_load(exported)
    assert file["litellm_settings"] == {
        "max_budget": 0.25,
        "budget_duration": "7d",
        "max_end_user_budget": 0.000005,
    }
    params = file["model_list"][0]["litellm_params"]
    assert {name: params[name] for name in ("rpm", "max_budget", "budget_duration")} == {
        "rpm": 6,
        "max_budget": 7,
        "budget_duration": "1s",
    }
    report = imported(written(tmp_path, exported))
    assert {(item["action"], item["note"]) for item in report["plan"] if item["object"] == "Limit"} == {
        ("keep", "")
    }
    assert Limit.objects.count() == before


def test_limits_that_the_format_cannot_say_are_said_in_comments() -> None:
    alice, deployment = furnished()
    team, bob = Team.objects.create(name="Blue"), EndUser.objects.create(name="bob")
    Limit.objects.create(team=team, metric="cost", amount=2 * 10**9, window="day")
    Limit.objects.create(end_user=bob, metric="tokens", amount=5)
    Limit.objects.create(deployment=deployment, metric="tokens", amount=5, window="day")
    Limit.objects.create(key=alice, metric="cost", amount=1, window="day", each_end_user=True)
    Limit.objects.create(key=alice, metric="parallel", amount=2, window="")
    Limit.objects.create(model=deployment.model, metric="requests", amount=3)
    Limit.objects.create(metric="requests", amount=3)
    Limit.objects.create(metric="cost", amount=0, window="day")
    exported = run("export_config")
    assert yaml.safe_load(exported).keys() == {"model_list"}
    for told in (
        "team Blue: $2 per day, enforce, model any",
        "end user bob: 5 tokens per minute, enforce, model any",
        "deployment m/openai-10.0.0.1: 5 tokens per day, enforce, model any",
        "each end user of Alice: $0.000000001 per day, enforce, model any",
        "Alice: 2 parallel, enforce, model any",
        "everyone: 3 requests per minute, enforce, model m",
        "everyone: 3 requests per minute, enforce, model any",
        "everyone: $0 per day, enforce, model any",
    ):
        assert f"# not in this format: {told}\n" in exported


def test_of_two_limits_in_one_place_the_smaller_is_exported_and_the_other_told() -> None:
    alice, deployment = furnished()
    for amount in (9, 5, 7):
        Limit.objects.create(key=alice, metric="tokens", amount=amount)
    for window in ("day", "month"):
        Limit.objects.create(deployment=deployment, metric="cost", amount=10**9, window=window)
    exported = run("export_config")
    file = yaml.safe_load(exported)
    assert file["general_settings"]["usage_limits"] == {
        "os.environ/ALICE_API_KEY": {"max_tokens": 5, "window": "minute"}
    }
    assert file["model_list"][0]["litellm_params"]["budget_duration"] == "1d"
    assert exported.count("# not in this format: Alice: ") == 2
    assert "# not in this format: deployment m/openai-10.0.0.1: $1 per month" in exported


def test_days_of_another_time_zone_are_told() -> None:
    alice, _ = furnished()
    Limit.objects.create(key=alice, metric="cost", amount=1, window="day", time_zone="Europe/Berlin")
    Limit.objects.create(key=alice, metric="cost", amount=1, window="hour", time_zone="Europe/Berlin")
    exported = run("export_config")
    assert exported.count("in the time zone Europe/Berlin here, in UTC after an import") == 1


def test_a_header_that_not_all_keys_share_is_told_and_not_exported() -> None:
    alice, _ = furnished()
    Limit.objects.create(key=alice, metric="tokens", amount=1)
    ApiKey.objects.update(end_user_header="X-User")
    assert yaml.safe_load(run("export_config"))["general_settings"]["user_header_name"] == "X-User"
    issuing.issue("master", is_admin=True)
    exported = run("export_config")
    assert "user_header_name" not in exported
    assert "# not in this format: key Alice names the end user in X-User\n" in exported


def test_the_inventory_tells_whose_each_limit_is() -> None:
    alice, deployment = furnished()
    bob = EndUser.objects.create(name="bob")
    Limit.objects.create(end_user=bob, metric="cost", amount=5, window="day", time_zone="Europe/Berlin")
    Limit.objects.create(deployment=deployment, metric="tokens", amount=5, alerts=False)
    Limit.objects.create(key=alice, metric="tokens", amount=5, each_end_user=True)
    inventory = yaml.safe_load(run("export_config", format="switchyard"))
    first, second, third = inventory["limits"]
    assert (first["end_user"], first["deployment"], first["time_zone"]) == ("bob", None, "Europe/Berlin")
    assert (second["deployment"], second["alerts"]) == (deployment.name, False)
    assert (third["key"], third["each_end_user"], third["reset_at"]) == ("Alice", True, None)
    assert inventory["keys"][0]["without_redis"] == "local"


def test_the_inventory_names_every_row() -> None:
    imported(SHIPPED)
    issuing.issue("Alice")
    inventory = yaml.safe_load(run("export_config", format="switchyard"))
    assert [row["name"] for row in inventory["keys"]] == ["Alice", "master"]
    assert {name: len(found) for name, found in inventory.items()} == {
        "providers": 2,
        "models": 1,
        "deployments": 2,
        "fallbacks": 0,
        "prices": 0,
        "teams": 0,
        "keys": 2,
        "limits": 2,
    }


def test_an_empty_installation_exports_an_empty_list() -> None:
    assert yaml.safe_load(run("export_config")) == {"model_list": []}
