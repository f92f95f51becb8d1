"""Clients that are not installed fail on CI, and are skipped loudly elsewhere."""

from pathlib import Path

import pytest

from tests.clients import outside


@pytest.mark.parametrize("client", [outside.node, outside.llama_index])
def test_a_missing_client_fails_on_ci_and_is_skipped_elsewhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, client: object
) -> None:
    assert callable(client)
    monkeypatch.setattr(outside, "VENV", tmp_path)
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="make clients"):
        client()
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception, match="NOT TESTED"):
        client()
