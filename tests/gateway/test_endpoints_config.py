"""What a provider serves itself is read from a config file, written into one, and chosen in the admin."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from providers.dialects import CHAT, COUNT_TOKENS, MESSAGES, RESPONSES, speech_of
from providers.forms import ProviderForm
from providers.models import Provider

pytestmark = pytest.mark.django_db


def config(tmp_path: Path, **info: Any) -> str:
    params = {"model": "openai/gpt", "api_base": "https://llm.example/v1", "api_key": "sk-1"}
    entry = {"model_name": "m", "litellm_params": params, "model_info": info}
    path = tmp_path / "config.yml"
    path.write_text(json.dumps({"model_list": [entry]}))
    return str(path)


def test_it_is_imported_and_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("import_config", config(tmp_path, switchyard_also_speaks=["responses"]))
    assert Provider.objects.get().also_speaks == ["responses"]
    capsys.readouterr()
    call_command("export_config")
    exported = tmp_path / "out.yml"
    exported.write_text(capsys.readouterr().out)
    assert "switchyard_also_speaks:" in exported.read_text()
    call_command("diff_config", config(tmp_path, switchyard_also_speaks=["responses"]))


def test_a_file_that_does_not_say_or_says_nonsense_leaves_it_open(tmp_path: Path) -> None:
    for info in ({}, {"switchyard_also_speaks": ["telex"]}):
        call_command("import_config", config(tmp_path, **info))
        assert Provider.objects.get().also_speaks is None


def test_entries_that_contradict_each_other_about_a_provider_are_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params = {"model": "openai/gpt", "api_base": "https://llm.example/v1", "api_key": "sk-1"}
    said: list[dict[str, Any]] = [
        {"switchyard_also_speaks": [], "switchyard_disconnect": "drain"},
        {"switchyard_also_speaks": ["responses"], "switchyard_provider_enabled": False},
        {"switchyard_also_speaks": [], "switchyard_disconnect": "not_billed"},
    ]
    entries = [{"model_name": "m", "litellm_params": params, "model_info": info} for info in said]
    path = tmp_path / "config.yml"
    path.write_text(json.dumps({"model_list": entries}))
    call_command("import_config", str(path), format="json")
    told = capsys.readouterr().out
    rows = json.loads(told)["verdicts"]
    warned = [row["path"] for row in rows if row["verdict"] == "warning"]
    assert warned == [
        "model_list[1].model_info.switchyard_also_speaks",
        "model_list[2].model_info.switchyard_disconnect",
    ]
    provider = Provider.objects.get()
    assert (provider.also_speaks, provider.disconnect_policy, provider.enabled) == ([], "drain", False)
    assert "an entry before says otherwise of the provider" in told


@pytest.mark.parametrize(
    ("chosen", "kept"),
    [("", None), ("-", []), ("responses", ["responses"]), ("messages,responses", ["messages", "responses"])],
)
def test_it_is_chosen_in_a_form(chosen: str, kept: list[str] | None) -> None:
    provider = Provider.objects.create(name="p", base_url="https://x.example/v1", also_speaks=["messages"])
    given = {"name": "p", "kind": "openai", "base_url": "https://x.example/v1", "extra_headers": "{}"}
    form = ProviderForm({**given, "disconnect_policy": "estimate", "endpoints": chosen}, instance=provider)
    assert form.is_valid(), form.errors
    form.save()
    provider.refresh_from_db()
    assert provider.also_speaks == kept
    assert ProviderForm(instance=provider).fields["endpoints"].initial == chosen


@pytest.mark.parametrize(
    ("kind", "host", "said", "native", "perhaps"),
    [
        ("openai", "api.openai.com", None, {CHAT, RESPONSES}, set()),
        ("openai", "10.0.0.1", None, {CHAT}, {RESPONSES}),
        ("groq", "api.groq.com", None, {CHAT}, set()),
        ("vllm", "h", [], {CHAT}, set()),
        ("vllm", "h", [MESSAGES], {CHAT, MESSAGES, COUNT_TOKENS}, set()),
        ("anthropic", "h", None, {MESSAGES, COUNT_TOKENS}, set()),
    ],
)
def test_what_a_provider_speaks(
    kind: str, host: str, said: list[str] | None, native: set[str], perhaps: set[str]
) -> None:
    speech = speech_of(kind, host, said)
    assert (set(speech.native), set(speech.perhaps)) == (native, perhaps)
