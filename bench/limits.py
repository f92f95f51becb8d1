"""What admitting and settling a request costs the worker: CPU time of it alone, with and without Redis.

`python -m bench.limits` counts with three limits (requests per minute, tokens per day, cost in total) and one
deployment's slots, 64 requests at a time, and writes var/bench/limits.json. Redis is started for it.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Collection, Sequence
from pathlib import Path

import uvloop

from providers.state import Ask, Candidate, Demand, How, Seed, Settlement, State, Ticket
from providers.state.memory import MemoryState
from providers.state.redis import RedisState
from providers.state.wire import address_of
from tests.services import Redis

RESULTS = Path(__file__).resolve().parent.parent / "var" / "bench" / "limits.json"
AT_ONCE = 64
MUCH = 10**14
DAY = 86_400_000


async def _no_past(counters: Collection[str]) -> Sequence[Seed]:
    return [Seed(counter, 0) for counter in counters]


def _ask() -> Ask:
    today = int(time.time() * 1000) // DAY * DAY
    demands = [
        Demand("1:requests", How.COUNT, MUCH, window=60_000, seeded=True),
        Demand("2:tokens", How.TOKENS, MUCH, 100, 4000, 0, today, today + DAY, today + 2 * DAY, seeded=True),
        Demand("3:cost", How.COST, MUCH, 1000, 40_000, seeded=True),
    ]
    return Ask(demands, [Candidate(1, 100_000, 500)], _no_past, 300)


async def _one_after_the_other(state: State, count: int) -> None:
    used = Settlement(300, 3000, 300, 3000)
    for _ in range(count):
        ticket = await state.admit(_ask())
        assert isinstance(ticket, Ticket), "the limits are far away"
        state.settle(ticket, used)


async def _cpu(state: State, requests: int) -> float:
    """Microseconds of this process's CPU for each request, admitted and settled."""
    await state.start()
    await _one_after_the_other(state, 500)
    began = time.process_time()
    each = requests // AT_ONCE
    await asyncio.gather(*(_one_after_the_other(state, each) for _ in range(AT_ONCE)))
    spent = time.process_time() - began
    await state.stop()
    return spent / (each * AT_ONCE) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    server = Redis()
    server.start()
    found: dict[str, list[float]] = {"in process": [], "with redis": []}
    try:
        for _ in range(options.rounds):
            found["in process"].append(uvloop.run(_cpu(MemoryState(), options.requests)))
            found["with redis"].append(uvloop.run(_cpu(RedisState(address_of(server.url)), options.requests)))
    finally:
        server.stop()
    told = {
        name: {"microseconds": round(sorted(took)[len(took) // 2], 2), "rounds": [round(t, 2) for t in took]}
        for name, took in found.items()
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(told, indent=2) + "\n")
    print(json.dumps(told, indent=2))


if __name__ == "__main__":
    main()
