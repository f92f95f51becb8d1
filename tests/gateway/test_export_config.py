"""Exports: block YAML without secrets, which imports to the same rows."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from keys import issuing
from keys.models import ApiKey, Limit
from providers.models import Deployment, Model, Provider
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
    litellm_params: {model: groq/m, order: 1}
  - model_name: b
    litellm_params: {model: openai/n, api_base: os.environ/GPU_BASE_URL, api_key: os.environ/GPU_API_KEY}
  - model_name: b
    litellm_params: {model: openai/n, api_base: os.environ/GPU_BASE_URL, api_key: os.environ/GPU_API_KEY}
  - model_name: b
    litellm_params: {model: ollama/n, api_base: 'http://h:11434'}
general_settings:
  master_key: os.environ/SWITCHYARD_MASTER_KEY
  usage_limits:
    os.environ/SWITCHYARD_MASTER_KEY: [{max_tokens: 7}, {max_requests: 9, window: day}]
    os.environ/ALICE_API_KEY: {max_requests: 2, window: total}
"""


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWITCHYARD_MASTER_KEY", "sk-a-long-and-random-master-key")
    monkeypatch.setenv("ALICE_API_KEY", "sk-alice-0123456789-abcdef")


def rows() -> dict[str, Any]:
    """Every field that an import decides; neither ids nor times."""
    deployments = ("name", "model__name", "provider__name", "upstream_model", "weight", "priority", "timeout")
    more = ("max_parallel_requests", "stream_timeout", "default_params", "drop_params", "state", "source")
    return {
        "providers": list(
            Provider.objects.order_by("name").values(
                "name", "kind", "base_url", "secret_reference", "extra_headers", "confirmed_host", "source"
            )
        ),
        "models": list(
            Model.objects.order_by("name").values(
                "name", "kind", "max_input_tokens", "max_output_tokens", "info"
            )
        ),
        "deployments": list(Deployment.objects.order_by("name").values(*deployments, *more)),
        "keys": list(ApiKey.objects.order_by("name").values("name", "public_id", "is_admin")),
        "limits": list(
            Limit.objects.order_by("key__name", "metric", "window").values(
                "key__name", "metric", "window", "amount"
            )
        ),
    }


def forget_everything() -> None:
    for model in (Deployment, Model, Provider, ApiKey):
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


def test_rows_that_were_renamed_or_switched_off_keep_that(tmp_path: Path) -> None:
    imported(written(tmp_path, RICH))
    Provider.objects.filter(name="groq").update(name="Groq of Bob")
    Deployment.objects.filter(name="fast").update(state="disabled")
    exported = run("export_config")
    forget_everything()
    imported(written(tmp_path, exported))
    assert Provider.objects.filter(name="Groq of Bob").exists()
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


def test_the_inventory_names_every_row() -> None:
    imported(SHIPPED)
    issuing.issue("Alice")
    inventory = yaml.safe_load(run("export_config", format="switchyard"))
    assert [row["name"] for row in inventory["keys"]] == ["Alice", "master"]
    assert {name: len(found) for name, found in inventory.items()} == {
        "providers": 2,
        "models": 1,
        "deployments": 2,
        "prices": 0,
        "keys": 2,
        "limits": 2,
    }


def test_an_empty_installation_exports_an_empty_list() -> None:
    assert yaml.safe_load(run("export_config")) == {"model_list": []}
