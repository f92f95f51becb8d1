"""Providers that do not answer or say that they cannot; each as one function of its size, judged by tests."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime

from tests.gateway_process import Row
from tests.torture.bad_answers import WORDS, words
from tests.torture.crowd import Answer, Load, ask, crowd, order, stream_of
from tests.torture.hosts import Hosts
from tests.torture.routing_rig import (
    STORM,
    Models,
    bad,
    failures,
    mixed,
    requests_of,
    rows_of,
)
from tests.upstream import BEFORE_HEADERS, Behaviour, error

# What was seen at one host is known at the other within this time, if that one has time to listen.
SHARED_WITHIN = 0.25
FIRST_PAUSE = 5.0  # of a deployment that is put aside; then twice as long, again and again
OF_THREE = {
    "refuses": Behaviour(),  # nobody listens at its address
    "resets": Behaviour(fault="reset", fault_after=BEFORE_HEADERS),
    "503": error(503),
    "hangs": Behaviour(fault="hang", fault_after=BEFORE_HEADERS),
}


# --- one of three is bad -----------------------------------------------------------------------


@dataclass
class OneBad:
    """How often the bad one was asked, and may have been.

    `in_flight`: when the fifth failure was known everywhere; `probes`: requests that asked it after that (a
    kept connection that turns out to be dead is no try); `late`: how many seconds after the fifth failure;
    `probes_due`: as many as its pauses were over by then; `arrived` at the provider.
    """

    case: str
    requests: int
    failures: dict[str, int] = field(default_factory=dict)
    wrong_words: int = 0
    asked: int = 0
    in_flight: int = 0
    probes: int = 0
    probes_due: int = 0
    late: list[float] = field(default_factory=list)
    arrived: int = 0
    seconds: float = 0.0
    most_attempts: int = 0

    @property
    def success(self) -> float:
        return 1 - sum(self.failures.values()) / self.requests

    @property
    def beyond(self) -> int:
        """Asked more often than five times, by those in flight, and by one probe after each pause."""
        return self.probes - self.probes_due


def one_bad(
    hosts: Hosts,
    models: Models,
    key: str,
    case: str,
    requests: int,
    clients: int = 0,
    healthy: int = 0,
    rate: float = 0.0,
    shared_within: float = SHARED_WITHIN,
) -> OneBad:
    """One of three in one tier is bad, from its first request on or after so many `healthy` ones.

    So many clients ask, one request after the other; or as many come each second, however long answers take.
    """
    told = OneBad(case, requests)
    model = models.take(f"three-{case}")
    hosts.upstream.behave(*[Behaviour()] * healthy, OF_THREE[case], model=bad(model))
    begun = time.monotonic()
    orders = mixed(hosts, key, model, requests)
    answers = crowd(orders, clients) if clients else stream_of(orders, rate)
    told.seconds = round(time.monotonic() - begun, 1)
    rows = rows_of(hosts, [model], requests)
    told.failures = failures(answers)
    told.wrong_words = sum(words(answer) != WORDS for answer in answers if answer.whole)
    told.most_attempts = max(len(attempts) for attempts in requests_of(rows).values())
    arrived = hosts.upstream.log(bad(model))
    told.arrived = len(arrived[healthy:])
    _count_asked(told, [row for row in rows if row["status"] == "failed"], shared_within)
    return told


def _count_asked(told: OneBad, failed: Sequence[Row], shared_within: float) -> None:
    """Of attempts at the bad one: the only ones that failed."""
    spans = [(begun := _unix(row), begun + row["latency_ms"] / 1000) for row in failed]
    told.asked = len(spans)
    if len(spans) < 5:
        return
    fifth = sorted(ended for _, ended in spans)[4]
    known = fifth + shared_within
    told.in_flight = sum(begun <= known for begun, _ in spans) - 5
    told.probes = len({row["request_id"] for row in failed if _unix(row) > known})
    told.late = sorted(round(begun - fifth, 3) for begun, _ in spans if begun > known)
    last, pause, at = max(begun for begun, _ in spans), FIRST_PAUSE, known
    while (at := at + pause) - shared_within <= last:
        told.probes_due += 1
        pause *= 2


def _unix(row: Row) -> float:
    return datetime.fromisoformat(row["started_at"]).timestamp()


# --- all are bad -------------------------------------------------------------------------------


@dataclass
class Storm:
    """`others`: what clients heard during the storm that was not the provider's own error."""

    rate: float
    seconds: float
    requests: int = 0
    attempts: int = 0
    others: dict[str, int] = field(default_factory=dict)
    after: int = 0
    after_failed: dict[str, int] = field(default_factory=dict)
    recovered_after: float = 0.0

    @property
    def success_after(self) -> float:
        return 1 - sum(self.after_failed.values()) / self.after


def storm(hosts: Hosts, key: str, rate: float, seconds: float, settle: float, after: float) -> Storm:
    """All three answer 503 for so long and are well then; `after` seconds are judged, `settle` later."""
    told = Storm(rate, seconds)
    names = [f"{STORM}-{number}" for number in range(3)]
    for name in names:
        hosts.upstream.behave(error(503), model=name)
    with Load(rate, lambda number: order(hosts.ports[number % 2], key, STORM, stream=number % 4 > 1)) as load:
        time.sleep(seconds)
        recovered = time.monotonic()
        for name in names:
            hosts.upstream.behave(Behaviour(), model=name)
        time.sleep(settle + after)
    answers = [answer for _, answer in load.answers]
    during = [answer for answer in answers if answer.at + answer.seconds < recovered]
    told.requests = len(during)
    arrivals = [seen for name in names for seen in hosts.upstream.log(name)]
    told.attempts = sum(bool(seen.sent) and seen.sent.startswith(b'{"error"') for seen in arrivals)
    told.others = dict(Counter(_heard(one) for one in during if not _is_theirs(one)))
    later = [answer for answer in answers if answer.at >= recovered + settle]
    told.after, told.after_failed = len(later), failures(later)
    failed = [answer.at for answer in answers if answer.at >= recovered and not answer.whole]
    told.recovered_after = round(max(failed, default=recovered) - recovered, 2)
    return told


def _is_theirs(answer: Answer) -> bool:
    return answer.status == 503 and b"upstream says 503" in answer.body


def _heard(answer: Answer) -> str:
    return f"{answer.status} {answer.code}"


# --- a provider that asks for a pause ----------------------------------------------------------


@dataclass
class Pauses:
    """`early`: requests that reached the provider before the time that it named, at any round."""

    rounds: int
    early: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    without_wait: dict[str, int] = field(default_factory=dict)
    served_after: dict[str, int] = field(default_factory=dict)


def _in_two_seconds() -> str:
    return format_datetime(datetime.fromtimestamp(round(time.time()) + 2, UTC), usegmt=True)


# How the wait is told -> the header, its value now, and the seconds that it is at least.
WAITS: dict[str, tuple[str, Callable[[], str], float]] = {
    "seconds": ("retry-after", lambda: "2", 1.9),
    "milliseconds": ("retry-after-ms", lambda: "2000", 1.9),
    "a date": ("retry-after", _in_two_seconds, 1.0),
}


def pauses(hosts: Hosts, models: Models, key: str, rounds: int, rate: float) -> Pauses:
    """The only deployment says 429 to one request; at both hosts others come all the time."""
    told = Pauses(rounds)
    named = {case: models.take("alone") for case in WAITS}

    async def all_at_once() -> None:
        await asyncio.gather(*(_one_pause(hosts, told, case, named[case], key, rate) for case in WAITS))

    for _ in range(rounds):
        asyncio.run(all_at_once())
    return told


async def _one_pause(hosts: Hosts, told: Pauses, case: str, model: str, key: str, rate: float) -> None:
    name, value, least = WAITS[case]
    seen_before = len(hosts.upstream.log(model))
    hosts.upstream.behave(error(429, headers=[(name, value())]), Behaviour(), model=model)
    first = await ask(order(hosts.a.port, key, model))
    assert first.status == 429, first
    said = time.time()
    others: list[asyncio.Task[Answer]] = []
    begun = time.monotonic()
    while time.monotonic() - begun < 2.6:
        one = order(hosts.ports[len(others) % 2], key, model, stream=len(others) % 4 > 1)
        others.append(asyncio.create_task(ask(one)))
        await asyncio.sleep(1 / rate)
    answers = await asyncio.gather(*others)
    arrivals = hosts.upstream.log(model)[seen_before + 1 :]
    _add(told.early, case, sum(seen.arrived < said + least for seen in arrivals))
    refused = [answer for answer in answers if answer.status == 429]
    _add(told.refused, case, len(refused))
    unsaid = [
        answer
        for answer in refused
        if answer.code != "provider_rate_limited" or "retry-after-ms" not in answer.headers
    ]
    _add(told.without_wait, case, len(unsaid))
    _add(told.served_after, case, sum(answer.whole for answer in answers))


def _add(counts: dict[str, int], case: str, more: int) -> None:
    counts[case] = counts.get(case, 0) + more
