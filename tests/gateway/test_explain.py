"""`manage.py explain REQUEST_ID`."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from gateway.management.commands import explain
from tests.usage.rows import settled
from usage import ledger

CHOICE = '["weighted",[["llm-a",0,1,"chosen"]]]'


def told(*options: str) -> str:
    out = StringIO()
    call_command("explain", *options, stdout=out)
    return out.getvalue()


@pytest.mark.django_db
def test_a_request_is_explained() -> None:
    ledger.write([settled(request_id="req-1", decision=CHOICE)])
    assert "llm-a: asked, it is the only deployment (priority 0, weight 1).\n" in told("req-1")


@pytest.mark.django_db
def test_as_json() -> None:
    ledger.write([settled(request_id="req-1", decision=CHOICE)])
    data = json.loads(told("req-1", "--format", "json"))
    assert data["request_id"] == "req-1"
    (attempt,) = data["attempts"]
    assert attempt["decision"]["strategy"] == "weighted"


@pytest.mark.django_db
def test_a_request_of_before_is_told_as_such() -> None:
    ledger.write([settled(request_id="req-1")])
    assert "No decision was recorded: the row is of a version that kept none." in told("req-1")


@pytest.mark.django_db
def test_an_unknown_request_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explain, "_SHIPPED_WITHIN", 0.0)
    with pytest.raises(CommandError, match=r"^No request 'req-9' is in the ledger\.$"):
        told("req-9")


def test_a_wrong_format_is_told() -> None:
    with pytest.raises(CommandError, match="--format is text or json"):
        told("req-1", "--format", "xml")


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--model", "llm"),
        ("--key", "alice"),
        ("req-1", "--model", "llm", "--key", "alice"),
        ("req-1", "--stream"),
    ],
)
def test_half_a_question_is_told(options: tuple[str, ...]) -> None:
    with pytest.raises(CommandError, match="REQUEST_ID, or --model and --key"):
        told(*options)


def test_without_a_server_nobody_knows(tmp_path: Path, settings: Any) -> None:
    settings.DATA_DIR = tmp_path
    with pytest.raises(CommandError, match="No server runs on this data directory"):
        told("--model", "llm", "--key", "alice")
