"""A bill against the ledger, as data: columns, exact money, matching, and what is told of a difference."""

from datetime import UTC, date, datetime
from fractions import Fraction

import pytest

from usage.bills import BadBill, Bill, read
from usage.reconcile import Booked, Pair, as_lines, reconcile

MONDAY, TUESDAY = date(2026, 11, 2), date(2026, 11, 3)


def bill(*lines: str) -> Bill:
    return read(f"{line}\n" for line in lines)


def booked(day: date = MONDAY, model: str = "gpt-4o", **amounts: int) -> Booked:
    return Booked(day, (model, "llm"), {"requests": 1, **amounts})


def asked(id: str, *others: str, charged: bool = True, inside: bool = True, **amounts: int) -> Booked:
    return Booked(
        MONDAY,
        ("gpt-4o",),
        {"requests": 1, **amounts},
        ids=(id, *others),
        charged=charged,
        inside=inside,
    )


# --- reading -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        "date,model,requests,prompt_tokens,completion_tokens,cost",
        "Day,Model,n_requests,n_context_tokens_total,n_generated_tokens_total,Amount (USD)",
        "start_time_iso;model;num_model_requests;input_tokens;output_tokens;Cost USD",
        "\ufeffDATE\tMODEL\tREQUESTS\tINPUT TOKENS\tOUTPUT TOKENS\tCOST_USD",
    ],
)
def test_columns_are_known_by_their_names_in_any_handwriting(header: str) -> None:
    sign = next(sign for sign in ";\t," if sign in header)
    [line] = bill(header, sign.join(["2026-11-02", "gpt-4o", "3", "100", "20", "0.5"])).lines
    assert (line.moment, line.model) == (datetime(2026, 11, 2, tzinfo=UTC), "gpt-4o")
    assert line.amounts == {
        "requests": 3,
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "cost_nano": 500_000_000,
    }


def test_columns_come_in_any_order_beside_others() -> None:
    [line] = bill("cost,project,day,output_tokens", "1,Alice's,2026-11-02,7").lines
    assert line.amounts == {"completion_tokens": 7, "cost_nano": 10**9}
    assert line.model is None


@pytest.mark.parametrize(
    ("text", "nano"),
    [
        ("0.00000015", 150),
        ("$1,234.5", 1_234_500_000_000),
        ("1.5e-7", 150),
        ("-0.25", -250_000_000),
        (".3", 300_000_000),
        ("12 USD", 12 * 10**9),
        ("", 0),
        ("0.0000000001", Fraction(1, 10)),
    ],
)
def test_money_is_read_exactly(text: str, nano: int | Fraction) -> None:
    [line] = bill("date;cost", f"2026-11-02;{text}").lines
    assert line.amounts["cost_nano"] == nano


@pytest.mark.parametrize(
    "text",
    ["2026-11-02", "20261102", "2026-11-02T23:30:00Z", "1793662200", "1793662200123", "2026-11-02 UTC"],
)
def test_days_are_read_as_date_time_or_unix_seconds(text: str) -> None:
    [line] = bill("start_time,requests", f"{text},1").lines
    assert line.moment is not None
    assert line.moment.date() == MONDAY


def test_a_time_in_another_zone_belongs_to_its_day_in_utc() -> None:
    [line] = bill("start_time,requests", "2026-11-02T20:00:00-05:00,1").lines
    assert line.moment is not None
    assert line.moment.date() == TUESDAY


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "empty"),
        (["alpha,beta", "1,2"], "line 1: no column for requests, tokens, cost or a request id in: alpha"),
        (["cost,beta", "1,2"], "line 1: no column for a date, a model"),
        (["date,cost", "2026-11-02"], "line 2: it has fewer columns"),
        (["date,cost", "2026-11-02,1", "", "11/03/2026,1"], "line 4: '11/03/2026' is no date"),
        (["date,cost", "2026-11-02,much"], "line 2: 'much' is no amount of dollars"),
        (["date;cost", "2026-11-02;1,5"], "line 2: '1,5' is no amount of dollars"),
        (["date,tokens_input", "2026-11-02,-1"], "line 2: '-1' is no count"),
        (["date,cost,currency", "2026-11-02,1,EUR"], "line 2: it is in EUR"),
    ],
)
def test_what_is_no_bill_is_refused_with_its_line(lines: list[str], message: str) -> None:
    with pytest.raises(BadBill) as refusal:
        bill(*lines)
    assert message in str(refusal.value)


# --- by day and model --------------------------------------------------------------------------


def test_equal_sides_have_no_difference_whatever_the_order_of_lines() -> None:
    theirs = bill("day,model,requests,prompt_tokens", "2026-11-03,gpt-4o,1,9", *["2026-11-02,gpt-4o,1,5"] * 2)
    found = reconcile(theirs, [booked(requests=2, prompt_tokens=10), booked(TUESDAY, prompt_tokens=9)])
    assert found.differences == []
    assert found.totals == {"requests": Pair(3, 3), "prompt_tokens": Pair(19, 19)}


def test_a_difference_tells_both_sides_and_only_what_differs() -> None:
    theirs = bill("day,model,requests,output_tokens", "2026-11-02,gpt-4o,1,7")
    [found] = reconcile(theirs, [booked(completion_tokens=5)]).differences
    assert (found.day, found.model, found.missing) == (MONDAY, "gpt-4o", "")
    assert found.measures == {"completion_tokens": Pair(5, 7)}
    assert found.measures["completion_tokens"].delta == -2


def test_what_only_one_side_has_is_missing_on_the_other() -> None:
    theirs = bill("day,model,requests", "2026-11-02,o3,4")
    ours_only, theirs_only = reconcile(theirs, [booked(model="gpt-4o")]).differences
    assert (ours_only.model, ours_only.missing, ours_only.measures["requests"]) == (
        "gpt-4o",
        "theirs",
        Pair(1, None),
    )
    assert (theirs_only.model, theirs_only.missing, theirs_only.measures["requests"]) == (
        "o3",
        "ours",
        Pair(None, 4),
    )


@pytest.mark.parametrize("name", ["gpt-4o", "GPT-4o", "gpt-4o-2024-08-06", "gpt-4o-20240806", "llm"])
def test_a_model_is_known_by_its_name_its_dated_name_and_ours(name: str) -> None:
    theirs = bill("day,model,requests", f"2026-11-02,{name},1")
    assert reconcile(theirs, [booked()]).differences == []


def test_a_bill_without_models_is_compared_by_day_and_one_without_days_by_model() -> None:
    ledger = [booked(), booked(model="o3"), booked(TUESDAY)]
    assert reconcile(bill("day,requests", "2026-11-02,2", "2026-11-03,1"), ledger).differences == []
    assert reconcile(bill("model,requests", "gpt-4o,2", "o3,1"), ledger).differences == []


def test_attempts_that_a_provider_did_no_work_for_are_not_expected_on_its_bill() -> None:
    theirs = bill("day,model,requests", "2026-11-02,gpt-4o,1")
    assert reconcile(theirs, [booked(), asked("x", charged=False)]).differences == []


def test_money_is_summed_exactly_and_rounded_once() -> None:
    third = ["2026-11-02,gpt-4o,0.0000000004"] * 5  # 2 nano-dollars; rounded each they would be none
    assert reconcile(bill("day,model,cost", *third), [booked(cost_nano=2)]).differences == []
    [found] = reconcile(bill("day,model,cost", *third), [booked(cost_nano=3)]).differences
    assert found.measures == {"cost_nano": Pair(3, 2)}


def test_estimated_and_unpriced_rows_are_named_as_the_likely_cause() -> None:
    ours = Booked(MONDAY, ("gpt-4o",), {"requests": 3, "cost_nano": 10}, estimated=2, unpriced=1)
    told = "\n".join(as_lines(reconcile(bill("day,model,cost", "2026-11-02,gpt-4o,0.00000002"), [ours])))
    assert told.splitlines() == [
        "2026-11-02 gpt-4o  cost: ours $0.000000010, theirs $0.000000020, delta -$0.000000010"
        "  (likely cause: 2 estimated; 1 without a price)",
        "total  cost: ours $0.000000010, theirs $0.000000020, delta -$0.000000010",
    ]


# --- by request --------------------------------------------------------------------------------


def test_requests_are_matched_by_either_id() -> None:
    theirs = bill("request_id,input_tokens", "REQ-1,5", "0193-b,6")
    ledger = [asked("req-1", "0193-a", prompt_tokens=5), asked("req-2", "0193-b", prompt_tokens=6)]
    assert reconcile(theirs, ledger).differences == []


def test_a_request_billed_in_several_lines_is_one_and_billed_twice_is_a_difference() -> None:
    ledger = [asked("r", prompt_tokens=5, completion_tokens=2)]
    header = "request_id,input_tokens,output_tokens"
    assert reconcile(bill(header, "r,5,0", "r,0,2"), ledger).differences == []
    [found] = reconcile(bill(header, "r,5,2", "r,5,2"), ledger).differences
    assert found.measures == {"prompt_tokens": Pair(5, 10), "completion_tokens": Pair(2, 4)}


def test_a_request_missing_on_either_side_is_listed_even_without_amounts() -> None:
    found = reconcile(bill("request_id,model", "theirs,gpt-4o"), [asked("ours")]).differences
    assert [(each.request_id, each.missing) for each in found] == [("theirs", "ours"), ("ours", "theirs")]


def test_rows_that_failed_or_are_outside_the_time_only_explain_lines() -> None:
    ledger = [asked("failed", charged=False), asked("late", inside=False, prompt_tokens=5)]
    assert reconcile(bill("request_id,input_tokens", "late,5"), ledger).differences == []


def test_a_line_without_its_id_is_in_nobodys_ledger() -> None:
    [found] = reconcile(bill("request_id,input_tokens", ",5"), []).differences
    assert (found.request_id, found.missing) == ("line 2", "ours")
