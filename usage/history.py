"""Requests as they were made, for those who ask what a limit would have done."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from keys.limits import Scope
from usage.ids import first_uuid7, unix_ms
from usage.models import Attempt
from usage.whatif import Request

MOST_ROWS = 200_000
_PAGE = 5000
_NOT_SENT = (Attempt.Status.REFUSED, Attempt.Status.CACHED)
_FIELDS = (
    "attempt_id",
    "request_id",
    "attempt_number",
    "latency_ms",
    "prompt_tokens",
    "completion_tokens",
    "cost_nano",
    "end_user",
)
type _Row = tuple[UUID, str, int, int | None, int, int, int, str]


@dataclass(frozen=True, slots=True)
class History:
    """The requests since then, the oldest first. `cut`: there were more, before `since`."""

    requests: tuple[Request, ...]
    since: datetime
    cut: bool


def requests(
    scope: Scope, since: datetime, *, most: int = MOST_ROWS, without: Collection[str] = ()
) -> History:
    """What was sent to providers for this scope, of the newest `most` attempts.

    `without`: end users who are left out, for they have limits of their own.
    """
    newest: list[_Row] = []
    for page in _pages(scope, since):
        newest += page
        if len(newest) > most:
            break
    cut = len(newest) > most
    rows = newest[:most][::-1]
    begin = datetime.fromtimestamp(unix_ms(rows[0][0]) / 1000, UTC) if cut else since
    left_out = frozenset(without)
    return History(tuple(_joined([row for row in rows if row[-1] not in left_out])), begin, cut)


def _pages(scope: Scope, since: datetime) -> Iterator[list[_Row]]:
    """From the newest on, in pages by key: no query lasts long, however many there are."""
    wanted = {name: getattr(scope, name) for name in ("key_id", "team", "model", "deployment")}
    found = Attempt.objects.filter(**{name: value for name, value in wanted.items() if value})
    if scope.end_user is not None:
        found = found.filter(end_user=scope.end_user)
    found = found.filter(attempt_id__gte=first_uuid7(since)).exclude(status__in=_NOT_SENT)
    ordered = found.order_by("-attempt_id").values_list(*_FIELDS)
    while page := list(ordered[:_PAGE]):
        yield page
        ordered = ordered.filter(attempt_id__lt=page[-1][0])


def _joined(rows: list[_Row]) -> list[Request]:
    """Retries are added to their request; not other rows of the same request id, which clients choose."""
    joined: list[Request] = []
    places: dict[str, int] = {}
    for attempt_id, request_id, number, latency_ms, prompt, completion, cost_nano, end_user in rows:
        began_ms = unix_ms(attempt_id)
        ended_ms = began_ms + (latency_ms or 0)
        place = places.get(request_id) if number > 1 else None
        if place is None:
            places[request_id] = len(joined)
            joined.append(Request(began_ms, ended_ms, prompt + completion, cost_nano, end_user))
            continue
        first = joined[place]
        joined[place] = Request(
            first.at_ms,
            max(first.ended_ms, ended_ms),
            first.tokens + prompt + completion,
            first.cost_nano + cost_nano,
            end_user,
        )
    return joined
