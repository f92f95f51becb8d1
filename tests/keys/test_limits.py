"""From the limits that hold for a request to what it demands, and how a refusal is told."""

from datetime import UTC, datetime

import pytest

from keys.limits import (
    Need,
    Rule,
    Scope,
    allowances,
    demand_of,
    explain,
    headers,
    holding,
    is_budget,
    refusal_headers,
)
from providers.routing import Allowance
from providers.state import Candidate, Demand, How, Refusal, Ticket
from providers.state.counters import Counters

NOW = int(datetime(2026, 3, 8, 12, tzinfo=UTC).timestamp() * 1000)
HALF_A_DAY = 43_200_000
NEED = Need(21, 4116, 300, 9000)


def limit(
    metric: str = "tokens",
    amount: int = 1000,
    window: str = "minute",
    *,
    id: int = 7,
    model: str | None = None,
    shadow: bool = False,
    each: bool = False,
    reset_at: int = 0,
) -> Rule:
    return Rule(
        id, "key 'Alice'", metric, amount, window, "UTC", shadow, model, Scope("alice"), each, reset_at
    )


def only(rule: Rule, need: Need = NEED, end_user: str = "") -> Demand:
    return demand_of(rule, need, end_user, NOW)


@pytest.mark.parametrize(
    ("metric", "how", "least", "want"),
    [
        ("requests", How.COUNT, 1, 1),
        ("parallel", How.HOLD, 1, 1),
        ("tokens", How.TOKENS, 21, 4116),
        ("cost", How.COST, 300, 9000),
    ],
)
def test_each_metric_asks_for_what_it_counts(metric: str, how: How, least: int, want: int) -> None:
    demand = only(limit(metric))
    assert (demand.how, demand.least, demand.want, demand.limit) == (how, least, want, 1000)


@pytest.mark.parametrize(
    ("window", "milliseconds"), [("second", 1000), ("minute", 60_000), ("hour", 3_600_000), ("total", 0)]
)
def test_short_windows_roll_and_totals_never_end(window: str, milliseconds: int) -> None:
    demand = only(limit(window=window))
    assert (demand.window, demand.ends, demand.epoch) == (milliseconds, 0, 0)


def test_calendar_windows_name_their_own_bounds_and_those_of_the_next() -> None:
    demand = only(limit(window="day"))
    assert demand.window == 0
    assert (demand.epoch, demand.ends, demand.following) == (
        NOW - HALF_A_DAY,
        NOW + HALF_A_DAY,
        NOW + 3 * HALF_A_DAY,
    )


@pytest.mark.parametrize("window", ["minute", "day", "total"])
def test_what_was_used_before_a_reset_is_of_another_epoch(window: str) -> None:
    assert only(limit(window=window, reset_at=NOW - 5)).epoch == NOW - 5


def test_a_reset_of_last_week_changes_nothing_today() -> None:
    assert only(limit(window="day", reset_at=NOW - 14 * HALF_A_DAY)) == only(limit(window="day"))


def test_an_edited_limit_counts_anew() -> None:
    rules = [
        limit(),
        limit(window="hour"),
        limit(window="total"),
        limit("requests"),
        limit("cost"),
        limit("parallel", window=""),
    ]
    assert len({only(rule).counter for rule in rules}) == len(rules)


def test_a_new_amount_keeps_what_was_counted() -> None:
    assert only(limit(amount=5)).counter == only(limit(amount=6)).counter


def test_only_rules_of_the_model_hold() -> None:
    rules = [limit(id=1), limit(id=2, model="llm"), limit(id=3, model="other")]
    assert [rule.id for rule in holding(rules, "llm")] == [1, 2]


def test_each_end_user_has_a_counter_and_a_part_of_the_ledger_of_their_own() -> None:
    rule = limit(each=True)
    counters = {only(rule, end_user=name).counter for name in ("", "bob", "carol")}
    assert len(counters) == 3
    assert rule.scope_for("bob") == Scope("alice", end_user="bob")
    assert limit().scope_for("bob") == Scope("alice")


def test_own_limits_of_an_end_user_stand_in_for_those_of_each() -> None:
    rules = [limit(id=1, each=True), limit("requests", id=2, each=True), limit(id=3)]
    own = [limit(id=4, amount=9), limit(id=5, amount=9, model="other")]
    assert [rule.id for rule in holding(rules, "llm", own)] == [2, 3, 4]
    assert [rule.id for rule in holding(rules, "llm")] == [1, 2, 3]


def test_a_shadow_limit_of_an_end_user_stands_in_for_nothing() -> None:
    rules = [limit(id=1, each=True)]
    assert [rule.id for rule in holding(rules, "llm", [limit(id=2, shadow=True)])] == [1, 2]


def test_a_new_name_of_the_holder_keeps_what_was_counted() -> None:
    red, blue = (
        Rule(7, f"team '{name}'", "tokens", 9, "month", "UTC", False, scope=Scope(team=name), holder="team 3")
        for name in ("red", "blue")
    )
    assert only(red).counter == only(blue).counter


def test_amounts_beyond_reason_are_cut_to_what_counters_hold() -> None:
    demand = only(limit(), Need(10**18, 10**18))
    assert demand.least == demand.want == 10**15


# --- what clients are told ---------------------------------------------------------------------


def admitted(*rules: Rule) -> Ticket:
    demands = [only(rule) for rule in rules]
    ticket = Counters().admit(NOW, "1", "anna", [d for d in demands if not d.seeded], [Candidate(1)])
    assert isinstance(ticket, Ticket)
    return Ticket("1", 1, demands, [1] * len(demands), [10] * len(demands), NOW)


def test_success_tells_the_tightest_limit_of_each_metric() -> None:
    rules = [
        limit(id=1, amount=1000, window="hour"),
        limit(id=2, amount=20),
        limit("cost", 5_000_000_000, "month", id=3),
        limit(id=4, amount=11, shadow=True),
    ]
    assert headers(rules, admitted(*rules)) == {
        "x-ratelimit-limit-tokens": "20",
        "x-ratelimit-remaining-tokens": "10",
        "x-ratelimit-reset-tokens": "60.000s",
        "x-ratelimit-limit-cost": "5",
        "x-ratelimit-remaining-cost": "4.99999999",
        "x-ratelimit-reset-cost": "2030400.000s",
    }


def refusal(
    rule: Rule, *, used: int = 0, held: int = 0, resets_in: int | None = None, least: int | None = None
) -> Refusal:
    demand = only(rule, Need(least, least, least, least) if least else Need(1, 1, 1, 1))
    return Refusal(demand, used, held, None if resets_in is None else NOW + resets_in, NOW)


def told(rule: Rule, **facts: int) -> str:
    return explain(rule, refusal(rule, **facts))


def test_a_refusal_names_the_limit_and_its_reset() -> None:
    assert told(limit("requests", 3), used=3, resets_in=41_200) == (
        "Limit reached: 3 requests per minute for key 'Alice'. It resets in 42 s, at 2026-03-08T12:00:42Z."
    )


def test_a_refusal_of_tokens_says_how_full_it_is_and_what_was_needed() -> None:
    text = told(limit(amount=12_000, model="llm"), used=11_990, resets_in=5000, least=30)
    assert "12 000 tokens per minute for key 'Alice' on model 'llm'" in text
    assert "11 990 tokens are used or reserved, and this request needs about 30 tokens" in text


def test_a_refusal_of_cost_speaks_of_dollars() -> None:
    text = told(limit("cost", 12_500_000_000, "month"), used=12_499_999_000, resets_in=5000, least=2_000_000)
    assert "$12.5 per month" in text
    assert "$12.499999 are used or reserved, and this request needs about $0.002" in text


def test_a_request_larger_than_the_limit_is_told_to_shrink() -> None:
    assert "never fit: shorten the prompt" in told(limit(amount=10), least=11)


def test_a_limit_of_nothing_says_so() -> None:
    text = told(limit("requests", 0))
    assert "never fit: it allows none" in text
    assert "prompt" not in text


def test_a_total_says_that_it_does_not_reset() -> None:
    assert told(limit("requests", 5, "total"), used=5).endswith(
        "5 requests in total for key 'Alice'. It does not reset by itself."
    )


def test_what_is_only_held_in_flight_says_so() -> None:
    assert "in flight hold the rest" in told(limit(amount=1000), used=1000, held=100, least=30)
    assert "2 are in flight" in told(limit("parallel", 2, ""), used=2, held=2)


def test_a_reset_that_is_all_but_now_is_a_second_away() -> None:
    assert "resets in 1 s" in told(limit("requests", 3), used=3, resets_in=1)


def test_waits_come_in_seconds_and_in_milliseconds() -> None:
    rule = limit("requests", 3)
    assert refusal_headers(rule, refusal(rule, used=3, resets_in=1500)) == {
        "x-ratelimit-limit-requests": "3",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "1.500s",
        "retry-after": "2",
        "retry-after-ms": "1501",
    }


@pytest.mark.parametrize("rule", [limit("cost", 9, "minute"), limit(window="month"), limit(window="total")])
def test_an_exhausted_budget_is_not_worth_a_retry(rule: Rule) -> None:
    assert is_budget(rule)
    assert refusal_headers(rule, refusal(rule, used=1000))["x-should-retry"] == "false"


def test_a_budget_that_requests_in_flight_hold_is_worth_one() -> None:
    rule = limit(window="month")
    answer = refusal_headers(rule, refusal(rule, used=1000, held=900, resets_in=10**6))
    assert "x-should-retry" not in answer
    assert answer["retry-after"] == "1"


def test_what_a_deployment_may_take_is_its_smallest_limit_per_minute_in_force() -> None:
    rules = [
        limit("requests", 60),
        limit("requests", 20),
        limit("requests", 5, shadow=True),
        limit("requests", 5, each=True),
        limit("tokens", 5, "hour"),
        limit("cost", 5),
    ]
    known = {1: rules, 2: [limit("tokens", 9)], 3: rules}
    assert allowances(known, [1, 2, 4]) == {1: Allowance(requests=20), 2: Allowance(tokens=9)}
