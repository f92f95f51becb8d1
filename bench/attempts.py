"""Months of attempts in PostgreSQL, and how long sums and exports of them take.

`python -m bench.attempts [--rows 1000000] [--days 90] [--hour-rows 20000]` prints figures as JSON, from a
cluster of its own that is removed again; with `--database URL` it fills that database instead, and leaves it.
They are written to var/bench/attempts.json too.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import django
import psycopg
from django.core.management import call_command
from django.db import connection

from tests import services
from usage.ids import first_uuid7

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "var" / "bench" / "attempts.json"
CHUNK = 200_000

# Traffic swings over the day (a sine that never turns time back). Few people make most of it.
_ROWS = """
INSERT INTO usage_attempt (
    attempt_id, request_id, upstream_request_id, started_at, key, key_id, team, end_user, model, deployment,
    provider, endpoint, status, http_status, error_class, prompt_tokens, completion_tokens, cached_tokens,
    reasoning_tokens, cost_nano, priced, estimated, stream, ttft_ms, latency_ms, config_version, task
)
SELECT
    (lpad(to_hex(ms), 12, '0') || '7' || substr(digest, 1, 3) || '8' || substr(digest, 4, 15))::uuid,
    'req-' || substr(digest, 1, 20),
    'up-' || substr(digest, 12, 20),
    to_timestamp(ms / 1000.0),
    'key-' || key, 'pub' || lpad(key::text, 9, '0'), 'team-' || mod(key, 20),
    CASE WHEN mod(key, 3) > 0 THEN 'user-' || person ELSE '' END,
    'model-' || model,
    'model-' || model || ' @ provider-' || mod(model + turn, 5),
    'provider-' || mod(model + turn, 5),
    'chat/completions',
    CASE WHEN dice < 0.94 THEN 'ok' WHEN dice < 0.97 THEN 'failed' WHEN dice < 0.99 THEN 'cancelled'
         ELSE 'refused' END,
    CASE WHEN dice < 0.94 THEN 200 WHEN dice < 0.97 THEN 500 END,
    CASE WHEN dice BETWEEN 0.94 AND 0.97 THEN 'upstream_5xx' ELSE '' END,
    prompt, completion, prompt / 3, completion / 5, prompt * 150 + completion * 600, model < 11,
    dice BETWEEN 0.97 AND 0.99, turn = 0, 80 + completion, 300 + completion * 12, 1,
    CASE WHEN mod(key, 5) = 0 THEN 'task-' || turn ELSE '' END
FROM (
    SELECT *, mod(person, 200) AS key, CASE WHEN model_dice < 0.9 THEN mod(person, 12) ELSE 11 END AS model
    FROM (
    SELECT
        floor((since + line + %(swing)s * 86400 * sin(2 * pi() * line / 86400)) * 1000)::bigint AS ms,
        md5(number || ':' || salt) AS digest,
        floor(2000 * random() ^ 3)::int AS person, random() AS model_dice, floor(2 * random())::int AS turn,
        random() AS dice,
        floor(20 + 4000 * random() ^ 3)::int AS prompt, floor(1 + 900 * random() ^ 2)::int AS completion
    FROM (
        SELECT number, (number + random()) * %(seconds)s / %(rows)s AS line,
            %(since)s::float8 AS since, %(since)s::text AS salt
        FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS number
    ) AS times
    ) AS dice
) AS choices
"""


@dataclass(frozen=True, slots=True)
class Span:
    """So many rows between two moments; over whole days the traffic swings."""

    rows: int
    since: datetime
    until: datetime

    @property
    def swing(self) -> float:
        return 0.15 if (self.until - self.since) % timedelta(days=1) == timedelta(0) else 0.0


def fill(url: str, span: Span) -> None:
    """Write the rows, and mark their hours for the roll-up; their partitions must be there."""
    values = {
        "rows": span.rows,
        "since": span.since.timestamp(),
        "seconds": (span.until - span.since).total_seconds(),
        "swing": span.swing,
    }
    with psycopg.connect(url, autocommit=True) as session:
        for first in range(0, span.rows, CHUNK):
            last = min(first + CHUNK, span.rows) - 1
            session.execute(_ROWS, {**values, "first": first, "last": last})
        session.execute(
            "INSERT INTO usage_dirtyhour (hour, marked) "
            "SELECT hour, 1 FROM generate_series(%s, %s - interval '1 hour', interval '1 hour') AS hour "
            "ON CONFLICT (hour) DO UPDATE SET marked = usage_dirtyhour.marked + 1",
            [span.since, span.until],
        )
        session.execute("ANALYZE usage_attempt")


@dataclass(frozen=True, slots=True)
class Export:
    """One run of `manage.py export_usage`."""

    rows: int
    seconds: float
    peak_mb: float


def export(url: str, since: datetime, until: datetime) -> Export:
    """Export as an operator does, and watch the process's memory."""
    command = [sys.executable, str(ROOT / "manage.py"), "export_usage"]
    command += ["--since", since.isoformat(), "--until", until.isoformat()]
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as data:
        environment = {**os.environ, "DATABASE_URL": url, "SWITCHYARD_DATA": data, "SECRET_KEY": "bench"}
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
            assert process.stdout is not None, "piped"
            rows, peak = 0, 0.0
            while block := os.read(process.stdout.fileno(), 2**20):
                rows += block.count(b"\n")
                peak = max(peak, _peak_mb(process.pid))
    if process.returncode:
        raise RuntimeError(f"the export ended with {process.returncode}")
    return Export(rows, time.monotonic() - begun, peak)


def _peak_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def measure(url: str, rows: int, days: int, hour_rows: int) -> dict[str, object]:
    """Fill the database that Django is connected to, and time what the gateway does with it."""
    from usage import ledger, partitions  # needs Django
    from usage.rollup import roll_up

    # The new hour is the last one of its day, whose sums are of 24 hours then.
    end = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    since, hour = end - timedelta(days=days), end - timedelta(hours=1)
    partitions.ensure_partitions(partitions.months_from(since.date(), days // 28 + 2))
    filled = _timed(lambda: fill(url, Span(rows, since, end)))
    _remove(url, hour)
    backlog = _timed(roll_up)
    fill(url, Span(hour_rows, hour, end))
    new_hour = _timed(roll_up)
    ledger.mark([hour])
    again = _timed(roll_up)
    hour_export = export(url, end - timedelta(hours=2), hour)
    day_export = export(url, end - timedelta(days=1), end)
    return {
        "rows": rows,
        "days": days,
        "fill_seconds": filled,
        "backlog_roll_up_seconds": backlog,
        "new_hour_rows": hour_rows,
        "new_hour_roll_up_seconds": new_hour,
        "same_hour_again_seconds": again,
        "hour_export": asdict(hour_export),
        "day_export": asdict(day_export),
        "drift": _drift(url),
        **_sizes(url),
    }


def _timed(what: Callable[[], object]) -> float:
    begun = time.monotonic()
    what()
    return round(time.monotonic() - begun, 3)


def _remove(url: str, hour: datetime) -> None:
    """Nothing happened in this hour yet."""
    with psycopg.connect(url, autocommit=True) as session:
        session.execute("DELETE FROM usage_attempt WHERE attempt_id >= %s", [first_uuid7(hour)])
        session.execute("DELETE FROM usage_dirtyhour WHERE hour >= %s", [hour])


def _drift(url: str) -> list[str]:
    """The sums over everything that are not those of the attempts."""
    from usage.sums import OF_ATTEMPTS  # needs Django

    of_attempts = ", ".join(f"{sql}::text" for sql in OF_ATTEMPTS.values())
    of_sums = ", ".join(f"sum({name})::text" for name in OF_ATTEMPTS)
    with psycopg.connect(url) as session:
        true = session.execute(f"SELECT {of_attempts} FROM usage_attempt").fetchone()
        made = [
            session.execute(f"SELECT {of_sums} FROM usage_{name}usage").fetchone()
            for name in ("hourly", "daily")
        ]
    return [
        f"{name}: {found} not {wanted}"
        for sums in made
        for name, found, wanted in zip(OF_ATTEMPTS, sums or (), true or (), strict=True)
        if found != wanted
    ]


def _sizes(url: str) -> dict[str, object]:
    with psycopg.connect(url) as session:
        hours, days = (
            session.execute(f"SELECT count(*) FROM usage_{name}usage").fetchone()
            for name in ("hourly", "daily")
        )
        last_day = session.execute(
            "SELECT sum(requests)::int FROM usage_dailyusage GROUP BY day ORDER BY day DESC LIMIT 1"
        ).fetchone()
        size = session.execute("SELECT pg_database_size(current_database())").fetchone()
    assert hours is not None, "a count"
    assert days is not None, "a count"
    assert size is not None, "a size"
    assert last_day is not None, "a count"
    return {
        "rows_of_last_day": last_day[0],
        "hourly_rows": hours[0],
        "daily_rows": days[0],
        "database_mb": size[0] // 2**20,
    }


@contextmanager
def _own_cluster() -> Iterator[str]:
    """A database that is removed again."""
    server = services.Postgres()
    try:
        server.start()
        yield server.url("postgres")
    finally:
        server.stop()
        services.sweep()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--hour-rows", type=int, default=20_000)
    parser.add_argument("--database", metavar="URL", help="fill this one, and leave it")
    given = parser.parse_args()
    with (
        nullcontext(given.database) if given.database else _own_cluster() as url,
        tempfile.TemporaryDirectory() as data,
    ):
        os.environ.update(DATABASE_URL=url, SWITCHYARD_DATA=data, DJANGO_SETTINGS_MODULE="gateway.settings")
        django.setup()
        call_command("migrate", verbosity=0)
        told = json.dumps(measure(url, given.rows, given.days, given.hour_rows), indent=2)
        print(told)
        RESULTS.parent.mkdir(parents=True, exist_ok=True)
        RESULTS.write_text(told + "\n")
        connection.close()


if __name__ == "__main__":
    main()
