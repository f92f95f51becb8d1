"""The attempts of a request as the ledger has them, with the reasons for each."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any

import msgspec
from django.db.models import Q

from providers import decisions, explaining
from providers.decisions import Candidate, Decision
from usage.amounts import dollars, duration
from usage.models import Attempt
from usage.reports import FIELDS, Row, plain

# Of one request id, which clients choose and may use for every request that they make.
MOST = 100
_MORE_FIELDS = ("attempt_number", "config_version", "task", "upstream_model", "chat_id")


@dataclass(frozen=True, slots=True)
class Told:
    """One attempt and what is to be said of it."""

    attempt: Attempt
    decision: Decision | None
    lines: tuple[str, ...]

    def data(self) -> dict[str, Any]:
        """As JSON has it: the fields of an export and more, the decision, and `why` in words."""
        row: dict[str, Any] = plain_attempt(self.attempt)
        row["decision"] = None if self.decision is None else decision_data(self.decision)
        row["why"] = list(self.lines)
        return row


def of_request(request_id: str) -> list[Told]:
    """The newest attempts under this id, the oldest of them first; none: the ledger has no such id."""
    if not request_id.isprintable():  # PostgreSQL takes no NUL, and no id has one
        return []
    newest = Attempt.objects.filter(request_id=request_id).order_by("-attempt_id")[:MOST]
    return list(told(list(newest)[::-1]))


def told(attempts: Sequence[Attempt]) -> Iterator[Told]:
    """Each of these attempts, which are in the order of time and of one request id."""
    followed = _followed(attempts)
    for attempt in attempts:
        decision = decisions.decoded(attempt.decision)
        seen = explaining.Seen(
            attempt.status, attempt.http_status, attempt.error_class, attempt.attempt_id in followed
        )
        yield Told(attempt, decision, tuple(map(str, explaining.explained(decision, seen))))


def lines_of(attempt: Attempt) -> list[explaining.Line]:
    """What is to be said of one attempt alone."""
    retry = Q(model=attempt.model, attempt_number=attempt.attempt_number + 1)
    further = Attempt.objects.filter(
        retry | ~Q(model=attempt.model),
        request_id=attempt.request_id,
        key_id=attempt.key_id,
        attempt_id__gt=attempt.attempt_id,
    ).exclude(status=Attempt.Status.REFUSED)
    decision = decisions.decoded(attempt.decision)
    followed = attempt.status == Attempt.Status.FAILED and further.exists()
    seen = explaining.Seen(attempt.status, attempt.http_status, attempt.error_class, followed)
    return explaining.explained(decision, seen)


def _followed(attempts: Sequence[Attempt]) -> set[Any]:
    """Those after which the same request made another attempt; several requests may share an id."""
    # key, model -> attempts that nothing followed yet, with their numbers
    waiting: dict[tuple[str, str], list[tuple[int, Any]]] = {}
    followed = set()
    for attempt in attempts:
        if attempt.status != Attempt.Status.REFUSED and (before := _before(attempt, waiting)):
            followed.add(before)
        mine = waiting.setdefault((attempt.key_id, attempt.model), [])
        mine.append((attempt.attempt_number, attempt.attempt_id))
    return followed


def _before(attempt: Attempt, waiting: Mapping[tuple[str, str], list[tuple[int, Any]]]) -> Any:
    """The attempt that this one followed, taken out of those that wait: at its model or the one before."""
    if attempt.attempt_number > 1:
        mine = waiting.get((attempt.key_id, attempt.model), [])
        found = [each for each in mine if each[0] == attempt.attempt_number - 1]
    else:
        decision = decisions.decoded(attempt.decision)
        mine = waiting.get((attempt.key_id, decision.instead_of if decision else ""), [])
        found = mine
    if not found:
        return None
    last = found[-1]
    mine.remove(last)
    return last[1]


def plain_attempt(attempt: Attempt) -> Row:
    return plain({name: getattr(attempt, name) for name in (*FIELDS, *_MORE_FIELDS)})


def decision_data(decision: Decision) -> dict[str, Any]:
    """With names in place of the order in which a record has its values."""
    data = {name: getattr(decision, name) for name in Decision.__struct_fields__}
    data["tags"] = list(decision.tags)
    data["candidates"] = [_candidate_data(each) for each in decision.candidates]
    return data


def _candidate_data(each: Candidate) -> Mapping[str, Any]:
    return msgspec.structs.asdict(each)


# --- in words -----------------------------------------------------------------------------------


def text(every: Sequence[Told]) -> str:
    """All attempts for people, a paragraph each."""
    return "\n\n".join(
        "\n".join([_head(each.attempt), *(f"  {line}" for line in each.lines)]) for each in every
    )


def _head(attempt: Attempt) -> str:
    """When, where, how it ended, and what it took."""
    moment = attempt.started_at.astimezone(UTC).isoformat(" ", "milliseconds").replace("+00:00", " UTC")
    ended = attempt.status + (f" ({attempt.error_class})" if attempt.error_class else "")
    if attempt.status in (Attempt.Status.REFUSED, Attempt.Status.CACHED):
        return f"{moment}  {attempt.model}: {ended}, no deployment was asked"
    where = f"{attempt.deployment} at {attempt.provider}"
    if attempt.upstream_model:
        where += f" as {attempt.upstream_model}"
    tokens = f"{attempt.prompt_tokens} + {attempt.completion_tokens} tokens"
    cost = dollars(attempt.cost_nano) if attempt.priced else "no price"
    took = duration(attempt.latency_ms)
    estimated = ", estimated" if attempt.estimated else ""
    return (
        f"{moment}  attempt {attempt.attempt_number}, {attempt.model} -> {where}: {ended}, "
        f"{tokens}, {cost}{estimated}, {took}"
    )
