"""`manage.py replay`: a draft of config.yml over what the ledger has; nothing is changed by it."""

import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from providers.models import Model
from tests.usage.rows import settled
from usage import ledger, recorded

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)


def entry(weight: int, upstream: str, model: str = "llm") -> dict[str, Any]:
    params = {"model": f"openai/{upstream}", "api_key": "sk-x", "weight": weight}
    return {
        "model_name": model,
        "litellm_params": params | {"input_cost_per_token": 0.000001, "output_cost_per_token": 0.000002},
    }


def replayed(tmp_path: Path, entries: list[dict[str, Any]], *options: str) -> str:
    file = tmp_path / "draft.yml"
    file.write_text(json.dumps({"model_list": entries}))
    out = StringIO()
    call_command(
        "replay",
        "--since",
        "2026-11-02",
        "--until",
        "2026-11-03",
        "--config",
        str(file),
        *options,
        stdout=out,
    )
    return out.getvalue()


def requests(count: int, **more: Any) -> None:
    rows = [
        settled(
            at=NOON + timedelta(seconds=number), request_id=f"req-{number}", deployment="old", cost_nano=100,
            priced=True, decision='["weighted",[]]', **more,
        )
        for number in range(count)
    ]  # fmt: skip
    ledger.write(rows)


def test_in_words(tmp_path: Path) -> None:
    requests(40)
    ledger.write([settled(at=NOON, status="refused", error_class="limit_requests", deployment="")])
    told = replayed(tmp_path, [entry(3, "gpt-a"), entry(1, "gpt-b")]).splitlines()
    assert told == [
        "40 requests from 2026-11-02T12:00:00.000Z to 2026-11-02T12:00:39.000Z",
        "deployment        requests  would be       cost   would be",
        "llm/openai               0        30  $0.000000  $0.000660",
        "llm/openai/gpt-b         0        10  $0.000000  $0.000220",
        "old                     40         0  $0.000004  $0.000000",
        "total                   40        40  $0.000004  $0.000880",
        "1 requests were refused by limits and are left out.",
        told[-1],
    ]
    assert told[-1].startswith("Not replayed: limits of keys")
    assert not Model.objects.exists()


def test_as_json_with_a_model_that_the_draft_does_not_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorded, "_PAGE", 3)
    requests(5)
    requests(2, model="gone")
    found = json.loads(replayed(tmp_path, [entry(1, "gpt-a")], "--format", "json"))
    assert found["requests"] == 7
    assert found["without_model"] == {"gone": 2}
    [new, old] = found["deployments"]
    assert new["requests"] == {"before": 0, "after": 5}
    assert old == {
        "deployment": "old",
        "requests": {"before": 7, "after": 0},
        "cost_nano": {"before": 700, "after": 0},
    }


def test_only_requests_of_that_time(tmp_path: Path) -> None:
    ledger.write([settled(at=NOON + timedelta(days=1)), settled(at=NOON - timedelta(days=1))])
    told = replayed(tmp_path, [entry(1, "gpt-a")])
    assert told.splitlines()[0] == "No request of this time reached routing."


def test_a_file_that_cannot_be_read_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"nothing\.yml"):
        call_command("replay", "--since", "2026-11-02", "--config", str(tmp_path / "nothing.yml"))


def test_a_time_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="--since 'yesterday' is not an ISO date"):
        call_command("replay", "--since", "yesterday", "--config", "x.yml")
