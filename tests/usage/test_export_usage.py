"""`manage.py export_usage`: every row, in the contract's fields, as data."""

import csv
import io
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from tests.usage.rows import asked, settled
from usage import ledger, reports

ROOT = Path(__file__).resolve().parent.parent.parent
NOON = datetime(2026, 11, 3, 12, tzinfo=UTC)
FIELDS = [
    "attempt_id",
    "request_id",
    "upstream_request_id",
    "started_at",
    "key",
    "key_id",
    "team",
    "end_user",
    "model",
    "deployment",
    "provider",
    "endpoint",
    "status",
    "http_status",
    "error_class",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "cost_nano",
    "priced",
    "estimated",
    "stream",
    "ttft_ms",
    "latency_ms",
]


def _export(**options: Any) -> str:
    out = io.StringIO()
    call_command("export_usage", stdout=out, **options)
    return out.getvalue()


def _ids(**options: Any) -> list[str]:
    return [json.loads(line)["attempt_id"] for line in _export(**options).splitlines()]


def _command(url: str, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    environment = {**os.environ, "DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "gateway.settings"}
    return subprocess.Popen(
        [sys.executable, "manage.py", "export_usage", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment,
        **options,
    )


def test_a_row_has_the_fields_of_the_contract_in_their_order(ledger_db: str) -> None:
    ledger.write([settled("Älice", at=NOON + timedelta(milliseconds=7), upstream_request_id="up-1")])
    row = json.loads(_export())
    assert list(row) == FIELDS
    assert (row["started_at"], row["key"], row["priced"]) == ("2026-11-03T12:00:00.007Z", "Älice", False)
    assert (row["prompt_tokens"], row["ttft_ms"], row["upstream_request_id"]) == (12, None, "up-1")


def test_csv_has_a_header_and_the_same_values(ledger_db: str) -> None:
    ledger.write([settled('Bob, "the"\nbuilder', at=NOON, stream=True)])
    (row,) = csv.DictReader(io.StringIO(_export(format="csv"), newline=""))
    assert list(row) == FIELDS
    assert (row["key"], row["stream"], row["priced"]) == ('Bob, "the"\nbuilder', "true", "false")
    assert (row["ttft_ms"], row["latency_ms"], row["started_at"]) == ("", "40", "2026-11-03T12:00:00.000Z")


def test_nothing_used_is_no_line_and_in_csv_the_header_alone(ledger_db: str) -> None:
    assert _export() == ""
    assert _export(format="csv") == ",".join(FIELDS) + "\r\n"


def test_rows_come_in_the_order_of_their_ids_whatever_the_page(
    ledger_db: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "_PAGE", 7)
    rows = [settled() for _ in range(30)]
    ledger.write(rows[::-1])
    assert _ids() == [str(row.attempt_id) for row in rows]


def test_a_period_has_its_beginning_and_not_its_end(ledger_db: str) -> None:
    rows = [settled(at=NOON + timedelta(milliseconds=offset)) for offset in (-1, 0, 1, 2)]
    ledger.write(rows)
    period = {"since": "2026-11-03T12:00:00", "until": "2026-11-03T12:00:00.002Z"}
    assert _ids(**period) == [str(row.attempt_id) for row in rows[1:3]]


@pytest.mark.parametrize(
    "since", ["2026-11-03", "2026-11-03T00:00:00", "2026-11-03T00:00:00Z", "2026-11-03T02:00:00+02:00"]
)
def test_a_time_without_a_zone_is_utc(ledger_db: str, since: str) -> None:
    midnight = NOON - timedelta(hours=12)
    row = settled(at=midnight)
    ledger.write([settled(at=midnight - timedelta(milliseconds=1)), row])
    assert _ids(since=since) == [str(row.attempt_id)]


def test_the_widest_period_there_is_has_all_rows(ledger_db: str) -> None:
    ledger.write([settled()])
    assert len(_ids(since="0001-01-01", until="9999-12-31T23:59:59Z")) == 1


@pytest.mark.parametrize("option", ["since", "until"])
def test_a_bad_time_is_one_clear_line(sqlite_ledger: str, option: str) -> None:
    with pytest.raises(
        CommandError, match=f"^--{option} 'yesterday' is not an ISO date or time, such as .*$"
    ):
        _export(**{option: "yesterday"})


def test_a_bad_format_is_one_clear_line(sqlite_ledger: str) -> None:
    with pytest.raises(CommandError, match=r"^--format is jsonl or csv, not 'xml'\.$"):
        _export(format="xml")


def test_errors_of_the_command_are_one_line_on_stderr(sqlite_ledger: str, tmp_path: Path) -> None:
    run = _command(f"sqlite:///{tmp_path / 'nothing-here.sqlite3'}")
    out, error = run.communicate(timeout=60)
    assert (run.returncode, out, len(error.splitlines())) == (1, "", 1)
    assert error.startswith("CommandError: the database: ")


def test_a_reader_that_has_enough_ends_the_export_quietly(ledger_db: str) -> None:
    ledger.write([settled() for _ in range(3000)])
    run = _command(ledger_db)
    assert run.stdout is not None
    assert run.stderr is not None
    run.stdout.readline()
    run.stdout.close()
    error = run.stderr.read()
    run.stderr.close()
    assert (run.wait(timeout=60), error) == (0, "")


def test_memory_does_not_grow_with_the_rows(ledger_db: str) -> None:
    ledger.write([settled() for _ in range(500)])
    small = _peak_memory(ledger_db)
    for _ in range(10):
        ledger.write([asked().settled(end_user="x" * 200) for _ in range(3000)])
    assert _peak_memory(ledger_db) < small + 12_000


def _peak_memory(url: str) -> int:
    """KiB of the command that exports it all."""
    run = _command(url)
    assert run.stdout is not None
    for _ in run.stdout:
        pass
    _, status, usage = os.wait4(run.pid, 0)
    run.returncode = status
    assert run.stderr is not None
    run.stdout.close()
    run.stderr.close()
    assert status == 0
    return usage.ru_maxrss
