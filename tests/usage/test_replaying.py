"""Requests that were made, through a draft: where each would have gone, and nothing is lost on the way."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.decisions import Candidate, Decision
from providers.prices import Charges
from providers.routing import Allowance, Share, Strategy
from usage.pricing import Used
from usage.replaying import NOBODY, Draft, DraftModel, DraftTarget, Recorded, Replay, with_shares

START = 1_762_171_200_000


def target(id: int, name: str, weight: int = 1, priority: int = 0, **more: Any) -> DraftTarget:
    return DraftTarget(name, "openai", "gpt", Share(id, priority, weight), **more)


def price(dollars: str, id: int = 1) -> Any:
    return (Charges(input=Decimal(dollars), output=Decimal(dollars)).price_list(id, 0),)


def model(*targets: DraftTarget, name: str = "llm", strategy: str = "weighted") -> DraftModel:
    return with_shares(DraftModel(name, Strategy(strategy), {each.share.id: each for each in targets}))


def draft(*models: DraftModel, **aliases: str) -> Draft:
    return Draft({each.name: each for each in models}, aliases)


def asked(at: int, deployment: str = "a", **more: Any) -> Recorded:
    usual: dict[str, Any] = {
        "at_ms": START + 100 * at, "request_id": f"req-{at}", "key_id": "alice", "model": "llm",
        "number": 1, "status": "ok", "http_status": 200, "error_class": "", "used": Used(10, 10),
        "cost_nano": 7, "ttft_ms": 20, "latency_ms": 50, "decision": Decision("weighted"),
    }  # fmt: skip
    return Recorded(deployment=deployment, **{**usual, **more})


def after(planned: Draft, rows: Iterable[Recorded]) -> dict[str, int]:
    replay = Replay(planned)
    replay.add_all(rows)
    return {name: line.requests_after for name, line in replay.outcome.lines.items() if line.requests_after}


def rows_by_weight(count: int) -> list[Recorded]:
    """As smooth weighted round robin gave them to `a` and `b`, three to one."""
    return [asked(number, "b" if number % 4 == 1 else "a") for number in range(count)]


def test_the_same_configuration_gives_the_same_shares() -> None:
    replay = Replay(draft(model(target(1, "a", 3), target(2, "b"))))
    replay.add_all(rows_by_weight(400))
    lines = replay.outcome.lines
    assert {name: (line.requests_before, line.requests_after) for name, line in lines.items()} == {
        "a": (300, 300),
        "b": (100, 100),
    }


def test_twice_the_weight_moves_just_that_share() -> None:
    assert after(draft(model(target(1, "a", 3), target(2, "b", 2))), rows_by_weight(400)) == {
        "a": 240,
        "b": 160,
    }


def test_what_a_removed_deployment_had_goes_to_the_others() -> None:
    assert after(draft(model(target(2, "b"))), rows_by_weight(400)) == {"b": 400}


def test_a_lower_priority_takes_all() -> None:
    assert after(draft(model(target(1, "a", 9, 1), target(2, "b"))), rows_by_weight(40)) == {"b": 40}


def test_the_cheapest_and_what_it_would_have_cost() -> None:
    cheap = target(1, "a", own=price("1")), target(2, "b", own=price("0.5", 2))
    replay = Replay(draft(model(*cheap, strategy="cost")))
    replay.add_all(asked(number) for number in range(10))
    assert replay.outcome.lines["b"].cost_after == 10 * 20 * 500
    assert replay.outcome.lines["a"].cost_before == 70
    assert replay.outcome.lines["a"].requests_after == 0


def test_prices_of_no_deployment_hold_where_there_is_none_of_its_own() -> None:
    planned = replace(draft(model(target(1, "a"))), general={("openai", "gpt"): price("2")})
    replay = Replay(planned)
    replay.add(asked(0))
    assert (replay.outcome.lines["a"].cost_after, replay.outcome.unpriced) == (20 * 2000, 0)


def test_tags_lead_to_those_that_have_them() -> None:
    tagged = target(1, "a", tags=frozenset({"paid"})), target(2, "b", tags=frozenset({"free"}))
    rows = [asked(n, decision=Decision("weighted", tags=("free",))) for n in range(5)]
    assert after(draft(model(*tagged)), rows) == {"b": 5}
    rows = [asked(n, decision=Decision("weighted", tags=("other",))) for n in range(5)]
    assert after(draft(model(*tagged)), rows) == {NOBODY: 5}


def test_an_alias_leads_where_the_draft_says() -> None:
    planned = draft(model(target(1, "a")), model(target(2, "b"), name="large"), gpt="large")
    assert after(planned, [asked(0, decision=Decision("weighted", asked="gpt"))]) == {"b": 1}


def test_a_wildcard_serves_what_fits_at_the_price_of_what_its_stars_stand_for() -> None:
    wild = with_shares(
        DraftModel("openai/*", Strategy.WEIGHTED, {1: DraftTarget("w", "openai", "*", Share(1, 0, 1))})
    )
    planned = Draft({"openai/*": wild}, general={("openai", "gpt-4o"): price("3")})
    replay = Replay(planned)
    replay.add(asked(0, decision=Decision("weighted", asked="openai/gpt-4o")))
    assert replay.outcome.lines["w"].cost_after == 20 * 3000


def test_one_that_was_ejected_then_takes_nothing_then() -> None:
    out = Decision("weighted", (Candidate("b", 0, 1, "chosen"), Candidate("a", 0, 1, "ejected")))
    rows = [asked(number, "b", decision=out) for number in range(10)]
    assert after(draft(model(target(1, "a"), target(2, "b"))), rows) == {"b": 10}
    assert after(draft(model(target(1, "a"))), rows) == {"a": 10}


def test_a_model_that_the_draft_does_not_have() -> None:
    replay = Replay(draft())
    replay.add_all(asked(number) for number in range(3))
    assert replay.outcome.missing == {"llm": 3}
    assert replay.outcome.lines["a"].requests_before == 3


def test_a_retry_is_the_same_request_and_counts_where_it_was_answered() -> None:
    failed = asked(0, "a", status="failed", http_status=503, error_class="http_503", used=Used(), cost_nano=0)
    again = asked(1, "b", request_id="req-0", number=2)
    replay = Replay(draft(model(target(1, "a"))))
    replay.add_all([failed, again])
    assert replay.outcome.requests == 1
    lines = replay.outcome.lines
    assert (lines["a"].requests_before, lines["a"].requests_after) == (0, 1)
    assert (lines["b"].requests_before, lines["b"].cost_before) == (1, 7)


def test_a_fallback_is_asked_again_for_what_its_model_could_not() -> None:
    full = asked(0, NOBODY, status="refused", http_status=None, error_class="deployments_full")
    instead = asked(
        1, "b", request_id="req-0", model="large", decision=Decision("weighted", instead_of="llm", on="any")
    )
    replay = Replay(draft(model(target(1, "a")), model(target(2, "c"), name="large")))
    replay.add_all([full, instead])
    assert replay.outcome.requests == 1
    assert {name: line.requests_after for name, line in replay.outcome.lines.items()} == {
        NOBODY: 0, "a": 0, "b": 0, "c": 1,
    }  # fmt: skip


def test_refusals_of_limits_are_left_out() -> None:
    replay = Replay(draft(model(target(1, "a"))))
    replay.add(asked(0, NOBODY, status="refused", error_class="limit_requests"))
    assert (replay.outcome.limited, replay.outcome.requests) == (1, 0)


@pytest.mark.parametrize("strategy", ["least-busy", "latency", "usage"])
def test_what_strategies_look_at_is_taken_from_the_records(strategy: str) -> None:
    """`a` answers in two seconds, `b` in a fiftieth; each is limited to a hundred requests a minute."""
    limit = Allowance(requests=100)
    planned = draft(
        model(target(1, "a", allowance=limit), target(2, "b", allowance=limit), strategy=strategy)
    )
    took = {"a": 2000, "b": 20}
    rows = [
        asked(number, name := "ab"[number % 2], ttft_ms=took[name], latency_ms=took[name])
        for number in range(200)
    ]
    found = after(planned, rows)
    assert found == after(planned, rows)
    if strategy == "usage":
        assert found == {"a": 100, "b": 100}
    else:
        assert found["b"] > 4 * found["a"]


names = st.sampled_from(["a", "b", "c"])
recorded = st.lists(
    st.tuples(
        names,
        st.sampled_from(["llm", "small", "gone"]),
        st.sampled_from(["ok", "failed", "refused", "cancelled"]),
        st.integers(1, 3),
        st.integers(0, 6),
        st.sampled_from([(), ("x",), ("y",)]),
        st.booleans(),
    ),
    max_size=60,
)


@given(
    rows=recorded,
    weights=st.lists(st.integers(0, 3), min_size=3, max_size=3),
    strategy=st.sampled_from(list(Strategy)),
    tags=st.lists(st.sampled_from(["", "x"]), min_size=3, max_size=3),
)
def test_nothing_is_lost(rows: list[Any], weights: list[int], strategy: Strategy, tags: list[str]) -> None:
    targets = [
        target(id, name, weight, tags=frozenset({tag} - {""}))
        for id, (name, weight, tag) in enumerate(zip("abc", weights, tags, strict=True), 1)
    ]
    planned = draft(model(*targets, strategy=strategy), model(targets[0], name="small"))
    replay = Replay(planned)
    cost = 0
    for at, (name, wanted, status, number, request, given_tags, fell_back) in enumerate(rows):
        refused = status == "refused"
        row = asked(
            at, NOBODY if refused else name, model=wanted, status=status, number=number,
            request_id=f"req-{request}", error_class="deployments_full" if refused else "",
            decision=Decision("weighted", tags=given_tags, instead_of="llm" if fell_back else ""),
        )  # fmt: skip
        cost += row.cost_nano
        replay.add(row)
    outcome = replay.outcome
    before = sum(line.requests_before for line in outcome.lines.values())
    there = sum(line.requests_after for line in outcome.lines.values())
    assert before == outcome.requests == there + sum(outcome.missing.values())
    assert all(line.requests_before >= 0 and line.requests_after >= 0 for line in outcome.lines.values())
    assert all(count >= 0 for count in Counter(outcome.missing).values())
    assert sum(line.cost_before for line in outcome.lines.values()) == cost
