"""All attempts of a request, the oldest first, with what each failure led to."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from tests.usage.rows import settled
from usage import explained, ledger
from usage.records import Settled

pytestmark = pytest.mark.usefixtures("ledger_db")
NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
CHOICE = '["weighted",[["llm-a",0,1,"chosen"],["llm-b",0,1,"next"]]]'


def attempt(number: int, *, second: int = 0, key: str = "alice", **values: object) -> Settled:
    return settled(
        key, at=NOON + timedelta(seconds=second), request_id="req-1", attempt_number=number,
        decision=CHOICE, **values,
    )  # fmt: skip


def failed(number: int, *, second: int = 0, key: str = "alice") -> Settled:
    return attempt(
        number, second=second, key=key, status="failed", http_status=503, error_class="http_503",
        prompt_tokens=0, completion_tokens=0, latency_ms=8,
    )  # fmt: skip


def test_attempts_are_told_in_their_order() -> None:
    ledger.write([attempt(2, second=1, deployment="llm-b", cost_nano=2000, priced=True), failed(1)])
    assert explained.text(explained.of_request("req-1")) == (
        "2026-11-02 12:00:00.000 UTC  attempt 1, llm -> llm-a at local: failed (http_503), "
        "0 + 0 tokens, no price, 8 ms\n"
        "  Order: lower priority first, then shares by weight.\n"
        "  llm-a: asked, it was its turn (priority 0, weight 1).\n"
        "  llm-b: would have been next (priority 0, weight 1).\n"
        "  It failed with HTTP status 503: another attempt was made.\n"
        "\n"
        "2026-11-02 12:00:01.000 UTC  attempt 2, llm -> llm-b at local: ok, "
        "12 + 5 tokens, $0.000002, 40 ms\n"
        "  Order: lower priority first, then shares by weight.\n"
        "  llm-a: asked, it was its turn (priority 0, weight 1).\n"
        "  llm-b: would have been next (priority 0, weight 1)."
    )


def test_an_attempt_at_a_fallback_follows_the_last_one_at_the_model_before() -> None:
    other = '["weighted",[["big-a",0,1,"chosen"]],0,0,"",[],"llm","any"]'
    fallback = attempt(1, second=2, model="big", deployment="big-a")
    ledger.write([failed(1), failed(2, second=1), msgspec.structs.replace(fallback, decision=other)])
    first, second, third = explained.of_request("req-1")
    assert first.lines[-1] == second.lines[-1] == "It failed with HTTP status 503: another attempt was made."
    assert third.lines[0] == "Asked instead of llm: it could not answer."
    alone = [str(explained.lines_of(each.attempt)[-1]) for each in (first, second)]
    assert alone == [first.lines[-1], second.lines[-1]]


def test_another_keys_attempt_of_the_same_id_follows_none_of_alice() -> None:
    ledger.write([failed(1), attempt(2, second=1, key="bob")])
    first, _ = explained.of_request("req-1")
    assert first.lines[-1] == "It failed with HTTP status 503: the client was told."


def test_an_id_that_is_used_again_and_again_shows_its_newest() -> None:
    ledger.write([attempt(1, second=second) for second in range(explained.MOST + 5)])
    found = explained.of_request("req-1")
    assert len(found) == explained.MOST
    assert found[0].attempt.started_at == NOON + timedelta(seconds=5)


def test_data_has_the_fields_of_an_export_and_the_decision_by_names() -> None:
    ledger.write([attempt(1, upstream_model="gpt-4o")])
    (found,) = explained.of_request("req-1")
    data = found.data()
    assert (data["request_id"], data["deployment"], data["upstream_model"]) == ("req-1", "llm-a", "gpt-4o")
    assert data["decision"]["candidates"][0] == {
        "name": "llm-a", "priority": 0, "weight": 1, "fate": "chosen", "score": None, "part": 100,
    }  # fmt: skip
    assert data["why"] == list(found.lines)


def test_a_refused_request_names_its_limit() -> None:
    note = "Limit reached: 5 requests per minute for key 'alice'."
    ledger.write([
        settled(at=NOON, request_id="req-1", status="refused", error_class="limit_requests",
                deployment="", decision=f'["weighted",[],0,0,"",[],"","","{note}"]')
    ])  # fmt: skip
    assert explained.text(explained.of_request("req-1")) == (
        f"2026-11-02 12:00:00.000 UTC  llm: refused (limit_requests), no deployment was asked\n  {note}"
    )


def test_an_unknown_id_has_nothing() -> None:
    assert explained.of_request("req-9") == []
    assert explained.of_request("nul\0") == []


def test_one_attempt_alone_is_told_as_among_the_others() -> None:
    ledger.write([failed(1), attempt(2, second=1)])
    for found in explained.of_request("req-1"):
        assert tuple(map(str, explained.lines_of(found.attempt))) == found.lines
