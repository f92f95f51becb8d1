"""CPU per request of the gateway and of nginx as a plain proxy: `python -m bench.cpu`.

The same provider behind both, interleaved rounds, one worker each, at saturation. Prints a JSON line per case
and writes var/bench/cpu.json. The ratio is the product; microseconds depend on the machine.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.rig import processes
from bench.rig.client import Job, Result
from bench.rig.nginx import Nginx, binary, nginx
from bench.rig.upstream import COMPLETION_TOKENS, PROMPT_TOKENS
from tests.gateway_process import Entry, Gateway, config_of
from tests.upstream import ROOT

RESULTS = ROOT / "var" / "bench" / "cpu.json"
DOORS = {"direct": "true", "drf": "false"}
LIMITS = ("requests=1000000000/minute", "tokens=1000000000000/minute", "parallel=10000")


@dataclass(frozen=True)
class Case:
    """One line of the table. nginx gets `nginx_times` as many requests, for the clock ticks by 10 ms."""

    name: str
    job: Job
    nginx_times: int
    targets: dict[str, float]


CASES = (
    Case("1 KB", Job(12_000, 64, 900, stream=False), 3, {"direct": 4.0, "drf": 12.0}),
    Case("100 KB prompt", Job(3_000, 64, 100_000, stream=False), 3, {"direct": 3.0}),
    Case("streams", Job(320, 64, 900, stream=True), 1, {"direct": 2.5}),
)


@dataclass(frozen=True)
class Figures:
    """A case as it is printed; times in microseconds of CPU per request (of 100 chunks for streams)."""

    case: str
    door: str
    ratio: float
    spread: tuple[float, float]
    target: float | None
    ours_us: float
    nginx_us: float
    ours_busy: float
    nginx_busy: float
    p99_chunk_delay_ms: tuple[float, float] | None
    rounds: int
    requests: int
    errors: int
    truncated: int


def measure(case: Case, door: str, ours: processes.Asker, theirs: processes.Asker, rounds: int) -> Figures:
    """Interleaved rounds of one case: ours, nginx, ours, nginx, ..."""
    job, nginx_job = case.job, Job(**{**asdict(case.job), "requests": case.job.requests * case.nginx_times})
    for asked, warming in ((ours, job), (theirs, nginx_job)):
        asked.ask(Job(**{**asdict(warming), "requests": max(64, warming.requests // 4)}))
    time.sleep(processes.QUIET)
    pairs = [(ours.measure(job), theirs.measure(nginx_job)) for _ in range(rounds)]
    ratios = [mine[0] / other[0] for mine, other in pairs]
    results = [result for pair in pairs for _, _, result in pair]
    return Figures(
        case=case.name,
        door=door,
        ratio=round(statistics.median(ratios), 2),
        spread=(round(min(ratios), 2), round(max(ratios), 2)),
        target=case.targets.get(door),
        ours_us=round(statistics.median(mine[0] for mine, _ in pairs) * 1e6, 1),
        nginx_us=round(statistics.median(other[0] for _, other in pairs) * 1e6, 1),
        ours_busy=round(statistics.median(mine[1] for mine, _ in pairs), 2),
        nginx_busy=round(statistics.median(other[1] for _, other in pairs), 2),
        p99_chunk_delay_ms=_delays(pairs) if job.stream else None,
        rounds=rounds,
        requests=sum(result.requests for result in results),
        errors=sum(result.errors for result in results),
        truncated=sum(result.truncated for result in results),
    )


type _Measured = tuple[float, float, Result]


def _delays(pairs: list[tuple[_Measured, _Measured]]) -> tuple[float, float]:
    def p99(results: Iterator[Result]) -> float:
        delays = [delay for result in results for delay in result.delays_us]
        return round(statistics.quantiles(delays, n=100)[98] / 1000, 2)

    return p99(mine[2] for mine, _ in pairs), p99(other[2] for _, other in pairs)


def rows_of(gateway: Gateway) -> dict[str, int]:
    """How many rows `export_usage` prints, and how many of them are exactly what the provider counted."""
    command = [sys.executable, "manage.py", "export_usage"]
    found = {"rows": 0, "exact": 0}
    with subprocess.Popen(command, cwd=ROOT, env=gateway.env, stdout=subprocess.PIPE, text=True) as export:
        assert export.stdout, "it was piped"
        for row in map(json.loads, export.stdout):
            found["rows"] += 1
            told = (row["prompt_tokens"], row["completion_tokens"], row["estimated"], row["status"])
            found["exact"] += told == (PROMPT_TOKENS, COMPLETION_TOKENS, False, "ok")
    return found


def checked_rows(gateway: Gateway, requests: int) -> dict[str, int]:
    """The rows once all are there. AssertionError when a row is missing, doubled or wrong after 20 s."""
    deadline = time.monotonic() + 20
    while (found := rows_of(gateway))["rows"] < requests and time.monotonic() < deadline:
        time.sleep(1)
    assert found == {"rows": requests, "exact": requests}, f"{found} for {requests} requests"
    return found


def through(door: str, port: int, server: Nginx, cases: list[Case], rounds: int) -> Iterator[Figures]:
    """All cases through one door of a gateway of its own."""
    config = config_of([Entry("m", f"http://127.0.0.1:{port}/v1")])
    with Gateway(config, {"DIRECT_DOOR": DOORS[door], "WEB_CONCURRENCY": "1"}) as gateway:
        options = [word for limit in LIMITS for word in ("--limit", limit)]
        key = gateway.create_key("bench", *options)
        assert gateway.process, "it was started"
        asked = 0
        for case in cases:
            nginx_port = server.streams if case.job.stream else server.whole
            with (
                processes.asker(gateway.port, key, gateway.process.pid) as ours,
                processes.asker(nginx_port, key, server.group) as theirs,
            ):
                yield measure(case, door, ours, theirs, rounds)
                asked += ours.requests
        checked_rows(gateway, asked)


def machine(server: Nginx) -> dict[str, str | int | None]:
    """What the figures were taken on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "nginx": server.version,
        "load": f"{os.getloadavg()[0]:.1f}",
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--door", choices=list(DOORS), action="append", help="default: both")
    parser.add_argument("--case", choices=[case.name for case in CASES], action="append", help="default: all")
    arguments = parser.parse_args()
    cases = [case for case in CASES if case.name in (arguments.case or [case.name])]
    program = binary()
    if program is None:
        print("bench.cpu: nginx is not on this machine, so there is nothing to compare with", file=sys.stderr)
        return 1
    figures: list[Figures] = []
    with processes.upstream() as port, nginx(program, port) as server:
        for door in arguments.door or DOORS:
            for found in through(door, port, server, cases, arguments.rounds):
                print(json.dumps(asdict(found)), flush=True)
                figures.append(found)
        told = {**machine(server), "cases": [asdict(each) for each in figures]}
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(told, indent=2) + "\n")
    return 1 if any(each.errors or each.truncated for each in figures) else 0


if __name__ == "__main__":
    sys.exit(main())
