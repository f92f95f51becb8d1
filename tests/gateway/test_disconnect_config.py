"""The policy for clients that leave is read from a config file and written into one."""

import json
from pathlib import Path

import pytest
from django.core.management import call_command

from providers.models import Provider

pytestmark = pytest.mark.django_db


def config(tmp_path: Path, **info: str) -> str:
    params = {"model": "openai/gpt", "api_base": "https://llm.example/v1", "api_key": "sk-1"}
    entry = {"model_name": "m", "litellm_params": params, "model_info": info}
    path = tmp_path / "config.yml"
    path.write_text(json.dumps({"model_list": [entry]}))
    return str(path)


def test_it_is_imported_and_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("import_config", config(tmp_path, switchyard_disconnect="drain"))
    assert Provider.objects.get().disconnect_policy == "drain"
    capsys.readouterr()
    call_command("export_config")
    assert "switchyard_disconnect: drain" in capsys.readouterr().out


def test_a_file_that_does_not_say_means_an_estimate(tmp_path: Path) -> None:
    call_command("import_config", config(tmp_path))
    assert Provider.objects.get().disconnect_policy == "estimate"
