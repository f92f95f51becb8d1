"""Streams that stop, stall or break in their middle; each as one function of its size, judged by tests."""

import asyncio
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.gateway_process import Row
from tests.torture.bad_answers import words
from tests.torture.crowd import Answer, Order, ask
from tests.torture.hosts import Hosts
from tests.torture.routing_rig import IDLE, Models, failures, mixed, rows_of, streams
from tests.upstream import Behaviour

HEALTHY = Behaviour(tokens=20, delay=0.05)
STALLED = {
    "hangs": Behaviour(fault="hang", fault_after=3),
    "comments for ever": Behaviour(fault="comments", fault_after=3, delay=0.1),
    "a slow drip": Behaviour(fault="drip", fault_after=3, delay=0.1),
}


def broken_off(answer: Answer) -> bool:
    """Whether it is a stream that ends with one error, beside no choices, and without `[DONE]`."""
    try:
        *before, last = [json.loads(event) for event in answer.events]
    except ValueError:  # of HTTP or JSON; [DONE] is none
        return False
    return answer.status == 200 and list(last) == ["error"] and all("error" not in each for each in before)


def came(answer: Answer) -> list[str]:
    """The pieces of content of a stream that broke off."""
    chunks = [json.loads(event) for event in answer.events]
    choices = [choice for chunk in chunks for choice in chunk.get("choices", ())]
    return [text for choice in choices if (text := choice["delta"].get("content"))]


# --- silence -----------------------------------------------------------------------------------


@dataclass
class Stalls:
    """`cut_after`: shortest and longest silence before a stalled stream was ended; the limit is `idle`."""

    idle: float
    stalled: int = 0
    cut_after: dict[str, tuple[float, float]] = field(default_factory=dict)
    not_broken_off: dict[str, int] = field(default_factory=dict)
    wrong_rows: int = 0
    left_open: int = 0
    healthy: int = 0
    healthy_failed: dict[str, int] = field(default_factory=dict)
    healthy_wrong: int = 0


def stalls(hosts: Hosts, models: Models, key: str, each: int) -> Stalls:
    """So many streams of each kind stall at once, among as many healthy ones of the same provider."""
    told = Stalls(IDLE)
    named = {case: models.take("alone") for case in STALLED}
    for case, model in named.items():
        hosts.upstream.behave(STALLED[case], model=model)
    healthy = models.take("alone")
    hosts.upstream.behave(HEALTHY, model=healthy)
    orders = [one for model in named.values() for one in streams(hosts, key, model, each)]
    answers, others = asyncio.run(_beside(orders, mixed(hosts, key, healthy, each)))
    for number, (case, model) in enumerate(named.items()):
        mine = answers[number * each : (number + 1) * each]
        told.stalled += each
        told.cut_after[case] = min(one.gap for one in mine), max(one.gap for one in mine)
        told.not_broken_off[case] = sum(not broken_off(one) for one in mine)
        rows = rows_of(hosts, [model], each)
        told.wrong_rows += sum((row["status"], row["error_class"]) != ("failed", "timeout") for row in rows)
        log = hosts.upstream.wait(lambda log: all(seen.closed for seen in log), model)
        told.left_open += sum(seen.ended != "client left" for seen in log)
    told.healthy = len(others)
    told.healthy_failed = failures(others)
    whole = "".join(f"w{number} " for number in range(HEALTHY.tokens))
    told.healthy_wrong = sum(words(one) != whole for one in others if one.whole)
    return told


async def _beside(orders: Sequence[Order], healthy: Sequence[Order]) -> tuple[list[Answer], list[Answer]]:
    """All stalled ones at once; the healthy ones, one after the other, until all of those have ended."""
    over = asyncio.Event()

    async def all_the_time(one: Order) -> list[Answer]:
        answers = [await ask(one)]
        while not over.is_set():
            answers.append(await ask(one))
        return answers

    others = [asyncio.create_task(all_the_time(one)) for one in healthy]
    answers = await asyncio.gather(*(ask(one) for one in orders))
    over.set()
    return answers, [answer for one in await asyncio.gather(*others) for answer in one]


# --- breaks ------------------------------------------------------------------------------------


@dataclass
class Breaks:
    """`off`: rows whose tokens are not those delivered; `replayed`: words that came twice, or elsewhere."""

    streams: int
    not_broken_off: int = 0
    replayed: int = 0
    other_attempts: int = 0
    others_failed: int = 0
    not_failed: int = 0
    off: int = 0
    delivered: int = 0
    examples: list[str] = field(default_factory=list)


def breaks(hosts: Hosts, models: Models, key: str, count: int, seed: int = 1) -> Breaks:
    """The provider resets its connection after some events, which a second deployment must not say again."""
    dice = random.Random(seed)
    told = Breaks(count)
    model = models.take("pair")
    answers = []
    for one in streams(hosts, key, model, count):
        # of two that end well: who fails every second time is left out
        hosts.upstream.behave(_reset(dice.randint(2, 25)), Behaviour(), model=model)
        answers.append(asyncio.run(ask(one)))
        others = [asyncio.run(ask(one)) for _ in range(2)]
        told.others_failed += sum(not other.whole for other in others)
    found = rows_of(hosts, [model], 3 * count)
    rows = {row["request_id"]: row for row in found}
    for answer in answers:
        _judge(told, answer, rows[answer.headers["x-request-id"]])
    told.other_attempts = len(found) - 3 * count + len(hosts.spare.log(model))
    return told


def _reset(after: int) -> Behaviour:
    return Behaviour(tokens=30, delay=0.002, fault="reset", fault_after=after)


def _judge(told: Breaks, answer: Answer, row: Row) -> None:
    if not broken_off(answer):
        told.not_broken_off += 1
        told.examples.append(f"{answer.status} {answer.body[-200:]!r}")
        return
    texts = came(answer)
    told.delivered += len(texts)
    told.replayed += texts != [f"w{number} " for number in range(len(texts))]
    told.not_failed += row["status"] != "failed" or not row["estimated"]
    if row["completion_tokens"] != len(texts):
        told.off += 1
        told.examples.append(f"{row['completion_tokens']} of {len(texts)}")
