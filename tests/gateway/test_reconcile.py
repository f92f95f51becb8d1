"""`manage.py reconcile`: exit 0 equal, 1 different, 2 error, against rows in the database."""

import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from providers.models import Deployment, Model, Provider
from tests.usage.rows import settled
from usage import ledger
from usage.records import Settled

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def openai() -> None:
    provider = Provider.objects.create(name="openai", base_url="https://api.openai.example/v1")
    model = Model.objects.create(name="llm")
    Deployment.objects.create(name="llm/openai", model=model, provider=provider, upstream_model="gpt-4o")


def row(at: datetime = NOON, **values: Any) -> Settled:
    mine: dict[str, Any] = {
        "provider": "openai",
        "model": "llm",
        "deployment": "llm/openai",
        "cost_nano": 150,
        "priced": True,
    }
    return settled(at=at, **mine | values)


def reconciled(folder: Path, bill: str, *options: str, provider: str = "openai") -> tuple[int, str]:
    """Exit code and stdout."""
    path = folder / "bill.csv"
    path.write_text(bill)
    out = StringIO()
    try:
        call_command("reconcile", "--provider", provider, "--file", str(path), *options, stdout=out)
    except SystemExit as end:
        return int(end.code or 0), out.getvalue()
    return 0, out.getvalue()


def refusal(folder: Path, bill: str, *options: str, provider: str = "openai") -> str:
    with pytest.raises(CommandError) as refused:
        reconciled(folder, bill, *options, provider=provider)
    assert refused.value.returncode == 2
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_an_equal_bill_exits_0_with_its_totals(tmp_path: Path) -> None:
    ledger.write([row(), row(NOON + timedelta(hours=11, minutes=59)), row(NOON + timedelta(hours=12))])
    bill = (
        "date,model,n_requests,n_context_tokens_total,n_generated_tokens_total,cost\n"
        "2026-11-02,gpt-4o-2024-08-06,2,24,10,0.0000003\n"
        "2026-11-03,gpt-4o-2024-08-06,1,12,5,0.00000015\n"
    )
    code, told = reconciled(tmp_path, bill)
    assert code == 0, told
    assert told.splitlines() == [
        "total  requests: ours 3, theirs 3, delta 0",
        "total  prompt_tokens: ours 36, theirs 36, delta 0",
        "total  completion_tokens: ours 15, theirs 15, delta 0",
        "total  cost: ours $0.000000450, theirs $0.000000450, delta $0.000000000",
    ]


def test_a_different_bill_exits_1_and_says_where(tmp_path: Path) -> None:
    ledger.write([row(), row(estimated=True, status="interrupted", http_status=None, completion_tokens=0)])
    code, told = reconciled(tmp_path, "date,model,output_tokens\n2026-11-02,gpt-4o,13\n")
    assert code == 1
    assert told.splitlines()[0] == (
        "2026-11-02 gpt-4o  completion_tokens: ours 5, theirs 13, delta -8  (likely cause: 1 estimated)"
    )


def test_only_this_providers_charged_rows_of_the_bills_days_count(tmp_path: Path) -> None:
    failed: dict[str, Any] = {
        "status": "failed",
        "http_status": 503,
        "prompt_tokens": 0,
        "completion_tokens": 0,
    }
    ledger.write([row(), row(provider="other"), row(NOON - timedelta(days=1)), row(**failed)])
    assert reconciled(tmp_path, "date,requests\n2026-11-02,1\n")[0] == 0


def test_json_tells_requests_by_id(tmp_path: Path) -> None:
    known, alone = row(upstream_request_id="req-1"), row()
    ledger.write([known, alone])
    code, told = reconciled(
        tmp_path, "x-request-id,date,input_tokens\nreq-1,2026-11-02,12\nreq-9,2026-11-02,3\n", "--format=json"
    )
    assert code == 1
    report = json.loads(told)
    assert (report["by"], report["equal"], report["since"]) == ("request", False, "2026-11-02T00:00:00Z")
    missing = {each["request_id"]: each["missing"] for each in report["differences"]}
    assert missing == {"req-9": "ours", str(alone.attempt_id): "theirs"}
    assert report["totals"]["prompt_tokens"] == {"ours": 24, "theirs": 15, "delta": 9}


def test_a_request_that_began_before_midnight_and_was_billed_after_it_is_found(tmp_path: Path) -> None:
    ledger.write([row(datetime(2026, 11, 2, 23, 59, 58, tzinfo=UTC), upstream_request_id="req-1")])
    assert reconciled(tmp_path, "request_id,start_time\nreq-1,2026-11-03T00:00:04Z\n")[0] == 0


def test_since_and_until_cut_both_sides(tmp_path: Path) -> None:
    ledger.write([row(), row(NOON + timedelta(days=1)), row(NOON + timedelta(days=2))])
    bill = "date,requests\n2026-11-02,7\n2026-11-03,1\n2026-11-04,7\n"
    assert reconciled(tmp_path, bill)[0] == 1
    assert reconciled(tmp_path, bill, "--since", "2026-11-03", "--until", "2026-11-04")[0] == 0


def test_a_bill_without_dates_needs_a_time(tmp_path: Path) -> None:
    ledger.write([row(), row(NOON + timedelta(days=3))])
    assert "--since and --until" in refusal(tmp_path, "model,requests\ngpt-4o,2\n")
    whole = ("--since", "2026-11-01", "--until", "2026-12-01")
    assert reconciled(tmp_path, "model,requests\ngpt-4o,2\n", *whole)[0] == 0


def test_a_provider_that_is_gone_still_has_its_rows(tmp_path: Path) -> None:
    ledger.write([row(provider="gone", deployment="was", model="gpt-4o")])
    assert reconciled(tmp_path, "date,model,requests\n2026-11-02,gpt-4o,1\n", provider="gone")[0] == 0


def test_what_cannot_be_compared_exits_2_in_one_line(tmp_path: Path) -> None:
    sound = "date,requests\n2026-11-02,1\n"
    assert "there are: openai" in refusal(tmp_path, sound, provider="nobody")
    assert "bill.csv: line 2: 'x' is no count" in refusal(tmp_path, "date,requests\n2026-11-02,x\n")
    assert "--since 'x' is no date" in refusal(tmp_path, sound, "--since", "x")
    assert "is empty" in refusal(tmp_path, sound, "--until", "2026-11-01")
    assert "--format is text or json" in refusal(tmp_path, sound, "--format", "xml")
    with pytest.raises(CommandError, match="No such file") as refused:
        call_command("reconcile", "--provider", "openai", "--file", str(tmp_path / "none.csv"))
    assert refused.value.returncode == 2
