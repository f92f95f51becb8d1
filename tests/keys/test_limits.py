"""From the limits of a key to what one request demands, and how a refusal is told."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keys.limits import Estimate, Rule, demands, explain, find_rule, output_cap
from providers.state import Candidate, Demand, Full, How, Refusal, Ticket
from providers.state.memory import MemoryState

NOW = datetime(2026, 3, 8, 12, tzinfo=UTC).timestamp()
HELLO = Estimate(prompt=20, cap=None, choices=1, most_output=None)


def limit(
    metric: str = "tokens",
    amount: int = 1000,
    window: str = "minute",
    *,
    id: int = 7,
    model: str | None = None,
    shadow: bool = False,
) -> Rule:
    return Rule(id, "key 'Alice'", metric, amount, window, "UTC", shadow, model)


def only(rule: Rule, estimate: Estimate = HELLO) -> Demand:
    (demand,) = demands([rule], "llm", estimate, NOW)
    return demand


def admitted(rules: list[Rule], estimate: Estimate) -> Ticket:
    ticket = MemoryState().admit(NOW, demands(rules, "llm", estimate, NOW), [Candidate(1, None)])
    assert isinstance(ticket, Ticket)
    return ticket


def test_requests_and_parallel_ask_for_one() -> None:
    for metric, how in [("requests", How.COUNT), ("parallel", How.HOLD)]:
        demand = only(limit(metric))
        assert (demand.least, demand.want, demand.how, demand.limit) == (1, 1, how, 1000)


@pytest.mark.parametrize(
    ("estimate", "least", "want"),
    [
        (Estimate(20, 100, 1, None), 120, 120),
        (Estimate(20, 100, 3, None), 320, 320),
        (Estimate(20, 100, 1, 50), 70, 70),
        (Estimate(20, None, 1, None), 21, 20 + 4096),
        (Estimate(20, None, 3, None), 23, 20 + 3 * 4096),
        (Estimate(20, None, 2, 50), 22, 120),
    ],
)
def test_tokens_ask_for_the_prompt_and_the_output(estimate: Estimate, least: int, want: int) -> None:
    demand = only(limit("tokens"), estimate)
    assert (demand.least, demand.want, demand.how) == (least, want, How.RESERVE)


@pytest.mark.parametrize(("window", "seconds"), [("second", 1), ("minute", 60), ("hour", 3600), ("total", 0)])
def test_short_windows_roll_and_totals_never_end(window: str, seconds: int) -> None:
    demand = only(limit(window=window))
    assert (demand.window, demand.ends_at) == (seconds, None)


def test_calendar_windows_are_told_apart_by_their_start() -> None:
    today = only(limit(window="day"))
    (tomorrow,) = demands([limit(window="day")], "llm", HELLO, NOW + 86400)
    assert today.counter != tomorrow.counter
    assert (today.window, today.ends_at) == (0, NOW + 43200)


def test_an_edited_limit_counts_anew() -> None:
    rules = [
        limit(),
        limit(window="hour"),
        limit(window="total"),
        limit("requests"),
        limit("parallel", window=""),
    ]
    assert len({only(rule).counter for rule in rules}) == len(rules)


def test_a_new_amount_keeps_what_was_counted() -> None:
    assert only(limit(amount=5)).counter == only(limit(amount=6)).counter


def test_only_rules_of_the_model_are_asked() -> None:
    rules = [limit(id=1), limit(id=2, model="llm"), limit(id=3, model="other")]
    asked = demands(rules, "llm", HELLO, NOW)
    assert [find_rule(rules, demand).id for demand in asked] == [1, 2]


def test_without_a_cap_of_the_client_the_answer_is_capped_to_what_is_left() -> None:
    assert output_cap(admitted([limit(amount=100)], HELLO), HELLO) == 80


def test_the_tightest_limit_decides() -> None:
    rules = [limit(id=1, amount=500), limit(id=2, amount=100), limit(id=3, amount=900)]
    assert output_cap(admitted(rules, HELLO), HELLO) == 80


def test_the_clients_own_cap_is_left_alone() -> None:
    estimate = Estimate(20, 50, 1, None)
    assert output_cap(admitted([limit()], estimate), estimate) is None


@pytest.mark.parametrize("rules", [[], [limit("requests")], [limit(amount=5, shadow=True)]])
def test_without_an_enforced_limit_of_tokens_nothing_is_capped(rules: list[Rule]) -> None:
    assert output_cap(admitted(rules, HELLO), HELLO) is None


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.integers(0, 20_000), min_size=1, max_size=3),
    st.builds(
        Estimate,
        prompt=st.integers(0, 9000),
        cap=st.one_of(st.none(), st.integers(1, 9000)),
        choices=st.integers(1, 9),
        most_output=st.one_of(st.none(), st.integers(1, 9000)),
    ),
)
def test_prompt_and_output_always_fit_in_what_was_granted(amounts: list[int], estimate: Estimate) -> None:
    rules = [limit(id=id, amount=amount) for id, amount in enumerate(amounts)]
    match MemoryState().admit(NOW, demands(rules, "llm", estimate, NOW), [Candidate(1, None)]):
        case Ticket() as ticket:
            granted = min(ticket.granted.values())
            output = output_cap(ticket, estimate) or min(
                estimate.cap or 0, estimate.most_output or estimate.cap or 0
            )
            assert output >= 1
            assert estimate.prompt + estimate.choices * output <= granted <= min(amounts)
        case Refusal() as refusal:
            assert refusal.demand.least > refusal.demand.limit
        case Full():
            raise AssertionError


def told(rule: Rule, *, used: int = 0, resets_at: float | None = None, least: int | None = None) -> str:
    demand = only(rule, Estimate(least - 1, 1, 1, None) if least else HELLO)
    return explain(rule, Refusal(demand, used, resets_at), NOW)


def test_a_refusal_names_the_limit_and_its_reset() -> None:
    assert told(limit("requests", 3), used=3, resets_at=NOW + 41.2) == (
        "Limit reached: 3 requests per minute for key 'Alice'. It resets in 42 s, at 2026-03-08T12:00:42Z."
    )


def test_a_refusal_of_tokens_says_how_full_it_is_and_what_was_needed() -> None:
    text = told(limit(amount=12_000, model="llm"), used=11_990, resets_at=NOW + 5, least=30)
    assert "12 000 tokens per minute for key 'Alice' on model 'llm'" in text
    assert "11990 are used or reserved, and this request needs about 30" in text


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
    assert "in flight" in told(limit(amount=1000), used=1000, least=30)
    assert "2 are in flight" in told(limit("parallel", 2, ""), used=2)


def test_a_reset_that_is_all_but_now_is_a_second_away() -> None:
    assert "resets in 1 s" in told(limit("requests", 3), used=3, resets_at=NOW + 0.0001)
