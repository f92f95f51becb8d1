"""How much of what a limit counts was used, as the ledger has it: exact, and never months of raw rows."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db import connection

from keys.limits import Scope
from usage.cover import Cover, Span, cover
from usage.ids import first_uuid7
from usage.models import Attempt, DailyUsage, DirtyHour, DroppedHour, HourlyUsage

# What reached no provider used nothing.
_REFUSED, _NOT_SENT = ("refused",), ("refused", "cached")
_MOST_NAMES = 100_000
_FEW = 8
# An attempt that began before a window may end in it.
_LONGEST_ATTEMPT = timedelta(hours=1)
_ATTEMPTS, _HOURS, _DAYS = (model._meta.db_table for model in (Attempt, HourlyUsage, DailyUsage))
_DROPPED = DroppedHour._meta.db_table


@dataclass(frozen=True, slots=True)
class Spent:
    """Requests, tokens of prompts and completions, and cost.

    A retry is no request of its own, but it is one to the deployment that it went to.
    """

    requests: int = 0
    tokens: int = 0
    cost_nano: int = 0


@dataclass(frozen=True, slots=True)
class Bucket:
    """What was used in a short time, the last of it at `last_ms`."""

    last_ms: int
    requests: int = 0
    tokens: int = 0
    cost_nano: int = 0


@dataclass(frozen=True, slots=True)
class OfDay:
    """What one model used on one day (UTC)."""

    day: date
    model: str
    requests: int
    tokens: int
    cost_nano: int


@dataclass(frozen=True, slots=True)
class _Sql:
    text: str
    values: tuple[Any, ...] = ()

    def __add__(self, other: "_Sql") -> "_Sql":
        return _Sql(f"{self.text} {other.text}", self.values + other.values)


def spent(scope: Scope, since: datetime | None) -> Spent:
    """All that was used since then (None: ever), by the time that an attempt began.

    Rows that come meanwhile are in it or not. Where retention left only sums, the hour or day of `since`
    counts whole.
    """
    requests = "attempts" if scope.deployment else "requests"
    used = _used((requests, "tokens", "cost_nano"), scope, since)
    sums = _Sql(f"SELECT SUM({requests}), SUM(tokens), SUM(cost_nano) FROM") + used
    [found] = _fetched(sums)
    return Spent(*(int(amount or 0) for amount in found))


def by_model_and_day(key_id: str, since: date) -> list[OfDay]:
    """What a key spent, the newest day first, by model."""
    midnight = datetime(since.year, since.month, since.day, tzinfo=UTC)
    used = _used(("day", "model", "requests", "tokens", "cost_nano"), Scope(key_id=key_id), midnight)
    sums = _Sql("SELECT day, model, SUM(requests), SUM(tokens), SUM(cost_nano) FROM") + used
    found = _fetched(sums + _Sql("GROUP BY day, model ORDER BY day DESC, model"))
    return [
        OfDay(date.fromisoformat(str(day)), model, *map(int, measures)) for day, model, *measures in found
    ]


def named_end_users(key_id: str) -> set[str]:
    """The names that requests of a key were for, ever; of a great many not all."""
    used = _used(("end_user",), Scope(key_id=key_id), None, without=_REFUSED)
    names = _Sql("SELECT DISTINCT end_user FROM") + used
    return {name for (name,) in _fetched(names + _Sql(f"WHERE end_user <> '' LIMIT {_MOST_NAMES}"))}


# --- days, hours and attempts ------------------------------------------------------------------
def _used(
    columns: Iterable[str], scope: Scope, since: datetime | None, *, without: Sequence[str] = _NOT_SENT
) -> _Sql:
    """These columns of all that counts since then, to select from.

    Which hours changed is asked before: one that is summed meanwhile has the same attempts. All else is one
    statement, so that what retention moves from one table to the next is counted once.
    """
    covered = cover(since, DirtyHour.objects.values_list("hour", flat=True))
    where = _where(scope, without)
    parts = [(_OF_DAYS, _days(covered))]
    parts += [(_of_hours(), source) for source in _hours(covered)]
    parts += [(_of_attempts(), source) for source in _attempts(covered)]
    text, values = [], []
    for names, source in parts:
        part = _Sql("SELECT " + ", ".join(f"{names.get(name, name)} AS {name}" for name in columns)) + source
        text.append((part + where).text)
        values += [*part.values, *where.values]
    return _Sql(f"({' UNION ALL '.join(text)}) AS used", tuple(values))


_TOKENS = {"tokens": "prompt_tokens + completion_tokens"}
_OF_DAYS = {**_TOKENS, "requests": "requests - retries", "attempts": "requests"}


def _of_hours() -> dict[str, str]:
    return {**_OF_DAYS, "day": _day_of("hour")}


def _of_attempts() -> dict[str, str]:
    first = "CASE WHEN attempt_number > 1 THEN 0 ELSE 1 END"
    return {**_TOKENS, "requests": first, "attempts": "1", "day": _day_of("started_at")}


def _days(covered: Cover) -> _Sql:
    adapted = connection.ops.adapt_datefield_value
    whole = _Sql("day >= %s", (adapted(covered.first_whole_day),))
    whole += _not_in("day", map(adapted, covered.open_days))
    return _Sql(
        f"FROM {_DAYS} WHERE day >= %s AND (pruned OR ({whole.text}))",
        (adapted(covered.first_day), *whole.values),
    )


def _hours(covered: Cover) -> list[_Sql]:
    adapted = connection.ops.adapt_datetimefield_value
    summed = _not_in("hour", map(adapted, covered.unsummed))
    dropped = f"EXISTS (SELECT 1 FROM {_DROPPED} WHERE {_DROPPED}.hour = {_HOURS}.hour)"  # noqa: S608
    counts = _Sql(f"AND (pruned OR (TRUE {summed.text}) OR {dropped})", summed.values)
    return [rows + counts for rows in _within(covered.hours, _HOURS, "hour", adapted)]


def _attempts(covered: Cover) -> list[_Sql]:
    return _within(covered.rows, _ATTEMPTS, "attempt_id", _first_id)


def _within(spans: Sequence[Span], table: str, column: str, adapted: Callable[[datetime], Any]) -> list[_Sql]:
    """The rows of these spans by their index, to add conditions to."""
    bounds = [(adapted(span.begin), adapted(span.end)) for span in spans]
    if len(spans) <= _FEW:  # only of constants do planners know how few rows are between them
        return [_Sql(f"FROM {table} WHERE {column} >= %s AND {column} < %s", bound) for bound in bounds]
    marks = ", ".join(["(%s, %s)"] * len(spans))
    # SQLite keeps the order of a CROSS JOIN: a range of the index is read for each span.
    return [
        _Sql(
            f"FROM (VALUES {marks}) AS span CROSS JOIN {table} "
            f"WHERE {column} >= span.column1 AND {column} < span.column2",
            tuple(moment for bound in bounds for moment in bound),
        )
    ]


def _not_in(column: str, values: Iterable[Any]) -> _Sql:
    listed = tuple(values)
    return _Sql(f"AND {column} NOT IN ({', '.join(['%s'] * len(listed))})" if listed else "", listed)


def _where(scope: Scope, without: Sequence[str]) -> _Sql:
    """The scope and the statuses that count, to be added to other conditions."""
    names = ("key_id", "team", "model", "deployment")
    narrowed: dict[str, str] = {name: value for name in names if (value := getattr(scope, name))}
    if scope.end_user is not None:
        narrowed["end_user"] = scope.end_user
    text = "".join(f"AND {connection.ops.quote_name(name)} = %s " for name in narrowed)
    return _Sql(text, tuple(narrowed.values())) + _not_in("status", without)


def _first_id(moment: datetime) -> Any:
    return Attempt._meta.pk.get_db_prep_value(first_uuid7(moment), connection)


def _day_of(column: str) -> str:
    return f"({column} AT TIME ZONE 'UTC')::date" if _is_postgresql() else f"DATE({column})"


def _is_postgresql() -> bool:
    return connection.vendor == "postgresql"


def _fetched(sql: _Sql) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql.text, sql.values)
        return list(cursor.fetchall())


# --- the last minutes --------------------------------------------------------------------------
def recent(scope: Scope, since_ms: int, width_ms: int) -> list[Bucket]:
    """What was used after `since_ms` (Unix milliseconds, at most an hour ago), in short times of `width_ms`.

    Tokens and cost count when their attempt ended, requests when they began: there may be two of one time.
    """
    began = _began_ms()
    ended = f"({began} + COALESCE(latency_ms, 0))"
    sums = "0, SUM(prompt_tokens + completion_tokens), SUM(cost_nano)"
    only = "TRUE" if scope.deployment else "attempt_number <= 1"
    requests = _grouped(scope, since_ms, width_ms, at=began, sums="COUNT(*), 0, 0", only=only)
    return requests + _grouped(scope, since_ms, width_ms, at=ended, sums=sums, only="TRUE")


def _grouped(scope: Scope, since_ms: int, width_ms: int, *, at: str, sums: str, only: str) -> list[Bucket]:
    first = datetime.fromtimestamp(since_ms / 1000, UTC) - _LONGEST_ATTEMPT
    select = _Sql(
        f"SELECT MAX({at}), {sums} FROM {_ATTEMPTS} WHERE attempt_id >= %s AND {at} > %s AND {only}",  # noqa: S608
        (_first_id(first), since_ms),
    )
    grouped = select + _where(scope, _NOT_SENT) + _Sql(f"GROUP BY {at} / {int(width_ms)}")
    return [Bucket(*map(int, row)) for row in _fetched(grouped)]


def _began_ms() -> str:
    if _is_postgresql():
        return "ROUND(EXTRACT(EPOCH FROM started_at) * 1000)::bigint"
    return "CAST(ROUND((JULIANDAY(started_at) - 2440587.5) * 86400000.0) AS INTEGER)"
