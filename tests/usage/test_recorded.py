"""What a replay reads of the ledger, page by page."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.usage.rows import settled
from usage import ledger, recorded
from usage.pricing import Used
from usage.reports import Period

pytestmark = pytest.mark.usefixtures("ledger_db")
NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def test_every_row_comes_once_in_the_order_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded, "_PAGE", 3)
    ledger.write([settled(at=NOON + number * MINUTE, request_id=f"req-{number}") for number in range(8)])
    found = list(recorded.rows(Period()))
    assert [row.request_id for row in found] == [f"req-{number}" for number in range(8)]
    some = list(recorded.rows(Period(NOON + 2 * MINUTE, NOON + 6 * MINUTE)))
    assert [row.request_id for row in some] == ["req-2", "req-3", "req-4", "req-5"]


def test_a_row_brings_what_a_replay_takes() -> None:
    ledger.write(
        [
            settled(
                at=NOON, prompt_tokens=9, completion_tokens=8, cached_tokens=7, cache_write_tokens=6,
                reasoning_tokens=5, audio_input_tokens=4, audio_output_tokens=3, images=2, cost_nano=11,
                audio_seconds=21,
                ttft_ms=12, latency_ms=13, attempt_number=2, decision='["weighted",[],0,0,"gpt",["paid"]]',
            )
        ]
    )  # fmt: skip
    [row] = recorded.rows(Period())
    assert row.used == Used(9, 8, 7, 6, 5, 4, 3, 2, seconds=21)
    assert (row.at_ms, row.cost_nano, row.ttft_ms, row.latency_ms, row.number) == (
        int(NOON.timestamp() * 1000), 11, 12, 13, 2,
    )  # fmt: skip
    assert row.decision is not None
    assert (row.asked, row.decision.tags) == ("gpt", ("paid",))
