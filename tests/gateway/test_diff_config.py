"""Comparing a config.yml with what is configured: exit 0 same, 1 different, 2 error."""

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from keys import issuing
from providers.models import Deployment, Provider
from tests.gateway.config_files import SHIPPED, imported, run, written

pytestmark = pytest.mark.django_db


def difference(path: Path) -> str:
    """What is printed when there is a difference, which exit code 1 tells."""
    out = StringIO()
    with pytest.raises(SystemExit) as end:
        call_command("diff_config", str(path), stdout=out)
    assert end.value.code == 1
    return out.getvalue()


def test_a_file_just_imported_is_the_same() -> None:
    imported(SHIPPED)
    issuing.issue("Alice")
    assert run("diff_config", SHIPPED) == ""


def test_an_empty_installation_differs_by_every_row_and_stays_empty() -> None:
    assert "+ create Deployment llm/nebius" in difference(SHIPPED)
    assert not Provider.objects.exists()


def test_an_edit_in_the_admin_is_a_difference_and_stays() -> None:
    imported(SHIPPED)
    Deployment.objects.filter(name="llm/nebius").update(weight=9)
    assert "weight: 9 -> 2" in difference(SHIPPED)
    assert Deployment.objects.get(name="llm/nebius").weight == 9


def test_what_is_only_here_is_a_difference() -> None:
    imported(SHIPPED)
    Provider.objects.create(name="own", base_url="https://own.example/v1")
    assert difference(SHIPPED) == "  - delete Provider   own  (only here, not in the file)\n"


def test_what_the_file_no_longer_names_is_told_once(tmp_path: Path) -> None:
    imported(SHIPPED)
    assert difference(written(tmp_path, "model_list: []")).count("llm/nebius") == 1


def test_a_broken_file_is_an_error_and_no_difference(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"config\.yml:1: broken YAML") as refusal:
        run("diff_config", written(tmp_path, "a: ["))
    assert refusal.value.returncode == 2
