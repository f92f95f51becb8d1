"""How long a provider asks to be left alone, and how many attempts more than requests there may be."""

from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import Enum, StrEnum
from math import isfinite

LONGEST_REST = 3600.0
MOST_ATTEMPTS = 3


class Kind(StrEnum):
    """Errors after which another deployment is asked, as operators tell them apart."""

    CONNECT = "connect"
    TIMEOUT = "timeout"
    RATE_LIMIT = "rate_limit"
    AUTHENTICATION = "authentication"
    SERVER_ERROR = "server_error"


RETRIED_KINDS = tuple(kind.value for kind in Kind)
MOST_RETRIES = 9


def problem_of_retries(by_error: object) -> str:
    """What is wrong with a map of kinds of errors to numbers of retries, or ""."""
    if not isinstance(by_error, dict):
        return 'This is a JSON object, such as {"timeout": 0}.'
    for name, number in by_error.items():
        if name not in RETRIED_KINDS:
            return f"'{str(name)[:40]}' is no kind of error; there are {', '.join(RETRIED_KINDS)}."
        if type(number) is not int or not 0 <= number <= MOST_RETRIES:
            return f"The retries after {name} are a whole number from 0 to {MOST_RETRIES}."
    return ""


_BUDGET_SHARE, _BUDGET_LEAST, _BUDGET_SECONDS = 0.2, 10, 10


def rest_of(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to wait by `retry-after-ms` or `retry-after` (seconds or a date); None: no usable value.

    Header names are lower-case, `now` is Unix seconds.
    """
    if (milliseconds := _number(headers.get("retry-after-ms", ""))) is not None:
        return _bounded(milliseconds / 1000)
    text = headers.get("retry-after", "")
    if (seconds := _number(text)) is not None:
        return _bounded(seconds)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return _bounded((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if isfinite(value) else None


def _bounded(seconds: float) -> float | None:
    return min(seconds, LONGEST_REST) if seconds > 0 else None


class Next(Enum):
    """What an upstream status means for the request."""

    FINAL = "the client's own doing: one attempt, passed on"
    RETRY = "ask another deployment"
    MISCONFIGURED = "ask another deployment; this one is set up wrongly"


_RETRIED = frozenset({408, 409, 429, 529})
_MISCONFIGURED = frozenset({401, 403, 404})
# At a wildcard a client chose the provider's name of the model: these may say no more than that it has none
# of that name, or not for this account. Else anybody could have a deployment ejected.
WRONG_NAME = frozenset({403, 404})


def after_status(status: int) -> Next:
    """Own fault of the request (400, 413, 422, a content filter): the next provider would say the same.

    Busy or broken (408, 409, 429, 5xx, 529): another may do better.
    401, 403, 404, redirects: the address or credential of the deployment is wrong, not the request.
    """
    if status in _MISCONFIGURED or 300 <= status < 400:
        return Next.MISCONFIGURED
    if status in _RETRIED or status >= 500:
        return Next.RETRY
    return Next.FINAL


def kind_of(status: int) -> Kind | None:
    """The kind of error that a status is; None: it is final."""
    match after_status(status):
        case Next.FINAL:
            return None
        case Next.MISCONFIGURED:
            return Kind.AUTHENTICATION
    return {408: Kind.TIMEOUT, 429: Kind.RATE_LIMIT}.get(status, Kind.SERVER_ERROR)


# uvloop's timers are of whole milliseconds: one that is set to the deadline ends up to two of them before it.
LEAST_SECONDS = 0.005


class Stop(StrEnum):
    """Why a failed attempt is the last one."""

    FINAL = "final"
    LEFT = "client_left"
    ATTEMPTS = "attempts"
    KIND = "kind"
    DEADLINE = "deadline"
    BUDGET = "budget"
    NOBODY = "nobody_left"


def stop(
    kind: Kind | None,
    attempts: int,
    most: int,
    by_kind: Mapping[str, int],
    seconds_left: float,
    *,
    fresh: bool = False,
) -> Stop | None:
    """The retry rule in one place: why there is no further attempt after this error; None: there may be one.

    `attempts` so far of at most `most`; `by_kind`: how many retries there are after a kind of error where
    that differs; `seconds_left` of the request's deadline. `fresh`: a kept connection had died, which is no
    answer of anybody, so a new one is made whatever else is allowed. The budget is asked after it, as it is
    used up.
    """
    if kind is None:
        return Stop.FINAL
    if fresh:
        return Stop.DEADLINE if seconds_left < LEAST_SECONDS else None
    if kind in by_kind and attempts > by_kind[kind]:
        return Stop.KIND
    if kind not in by_kind and attempts >= most:
        return Stop.ATTEMPTS
    return Stop.DEADLINE if seconds_left < LEAST_SECONDS else None


class RetryBudget:
    """At most 20 % of the requests of the last ten seconds are retried, and ten by all workers always may be.

    Without it three attempts for each request are three times the load on providers that have too much.
    """

    def __init__(self) -> None:
        self._seconds: dict[int, list[int]] = {}  # second -> [requests, retries]

    def asked(self, now: float) -> None:
        """A request came; `now` is seconds on a monotonic clock."""
        self._of(now)[0] += 1

    def take(self, now: float, workers: int = 1) -> bool:
        """Whether one more retry is in the budget of one of so many workers; if so, it is used up."""
        here = self._of(now)
        requests, retries = (sum(counts) for counts in zip(*self._seconds.values(), strict=True))
        if retries + 1 > max(1, _BUDGET_LEAST / workers, _BUDGET_SHARE * requests):
            return False
        here[1] += 1
        return True

    def note(self, now: float) -> None:
        """A retry was made that needed no room: others have less."""
        self._of(now)[1] += 1

    def _of(self, now: float) -> list[int]:
        second = int(now)
        found = self._seconds.get(second)
        if found is None:
            for old in [old for old in self._seconds if old <= second - _BUDGET_SECONDS]:
                del self._seconds[old]
            found = self._seconds[second] = [0, 0]
        return found
