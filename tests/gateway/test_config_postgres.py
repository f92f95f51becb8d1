"""Config files in and out on PostgreSQL, where lists and mappings are stored and compared otherwise."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import transaction

from providers.models import Deployment, Fallback, Model, Provider
from tests.gateway.config_files import actions, imported, run, written
from tests.usage.conftest import (  # noqa: F401  fixtures
    migrated_postgres_url,
    postgres_ledger,
)

pytestmark = pytest.mark.postgres

TEXT = """
model_list:
  - model_name: a
    litellm_params: {model: openai/m, api_base: 'http://10.0.0.1/v1', api_key: none, tags: [paid, default]}
    model_info: {switchyard_model: {deadline: 9.5, retries_by_error: {server_error: 1, connect: 2}}}
  - model_name: b
    litellm_params: {model: openai/n, api_base: 'http://10.0.0.1/v1', api_key: none, cooldown_time: 2}
  - model_name: v/*
    litellm_params: {model: openai/*, api_base: 'http://10.0.0.1/v1', api_key: none}
router_settings:
  num_retries: 4
  enable_tag_filtering: true
  fallbacks: [{v/*: [a, b]}, {a: [b]}]
"""


@pytest.fixture
def _empty(postgres_ledger: str) -> Iterator[None]:  # noqa: F811
    with transaction.atomic():
        yield
        transaction.set_rollback(True)  # other tests of this process share the database


@pytest.mark.usefixtures("_empty")
def test_a_file_goes_in_and_out_unchanged(tmp_path: Path) -> None:
    path = written(tmp_path, TEXT)
    assert "create" in actions(imported(path))
    assert actions(imported(path)) == {"keep"}
    exported = run("export_config")
    assert run("diff_config", written(tmp_path, exported)) == ""
    for table in (Fallback, Deployment, Model, Provider):
        table.objects.all().delete()
    imported(tmp_path / "config.yml")
    assert run("export_config") == exported
    assert run("diff_config", written(tmp_path, TEXT)) == ""
