"""The limits as keys of a config.yml; what the format has no key for is said in comments."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from keys.models import ApiKey, Limit
from keys.windows import CALENDAR

_COUNTED = ("requests", "tokens", "cost")
_DURATIONS = {"second": "1s", "minute": "1m", "hour": "1h", "day": "1d", "week": "7d", "month": "1mo"}


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a limit stands: the section, whose it is there, and the key; two of one place are one line."""

    section: str
    owner: int
    key: str
    window: str = ""


@dataclass(slots=True)
class WrittenLimits:
    """`params` by the id of a deployment, `usage` by that of a key and by window.

    `comments` tell what is not in the file.
    """

    params: dict[int, dict[str, object]] = field(default_factory=dict)
    everyone: dict[str, object] = field(default_factory=dict)
    general: dict[str, object] = field(default_factory=dict)
    usage: dict[int, dict[str, dict[str, object]]] = field(default_factory=dict)
    keys: dict[int, ApiKey] = field(default_factory=dict)
    comments: list[str] = field(default_factory=list)

    def write(self, place: _Place, limit: Limit) -> None:
        match place.section:
            case "model_list":
                self.params.setdefault(place.owner, {}).update(_said(place.key, limit))
            case "litellm_settings":
                self.everyone.update(_said(place.key, limit))
            case "general_settings":
                self.general.update(_said(place.key, limit))
            case _:
                assert limit.key is not None  # only limits of keys have this place
                self.keys[place.owner] = limit.key
                windows = self.usage.setdefault(place.owner, {})
                windows.setdefault(limit.window, {}).update(_said(place.key, limit))


def written_limits() -> WrittenLimits:
    """All limits of now."""
    written = WrittenLimits()
    limits = Limit.objects.select_related("key", "model", "team", "end_user", "deployment")
    for place, found in _by_place(limits.order_by("pk"), written.comments).items():
        written.write(place, found)
    return written


def _by_place(limits: Iterable[Limit], comments: list[str]) -> dict[_Place, Limit]:
    """One limit per place: of two with the same window the smaller, which is the one that holds."""
    found: dict[_Place, Limit] = {}
    for limit in limits:
        place = _place(limit)
        known = found.get(place) if place else None
        if place is None or (known is not None and known.window != limit.window):
            comments.append(_not_said(limit))
            continue
        kept, left = (known, limit) if known is not None and known.amount <= limit.amount else (limit, known)
        found[place] = kept
        if left is not None:
            comments.append(_not_said(left))
    comments += [_zone(limit) for limit in found.values() if limit.window in CALENDAR and _elsewhere(limit)]
    return found


def _place(limit: Limit) -> _Place | None:
    """Where the format says such a limit, None where it cannot."""
    narrowed = limit.model_id or limit.team_id or limit.end_user_id or limit.mode != Limit.Mode.ENFORCE
    if narrowed or (limit.each_end_user and limit.key_id):
        return None
    if limit.key_id:
        counted = limit.metric in _COUNTED
        return _Place("usage_limits", limit.key_id, f"max_{limit.metric}", limit.window) if counted else None
    if limit.deployment_id:
        return _place_of_deployment(limit, limit.deployment_id)
    return _place_of_everyone(limit)


def _place_of_deployment(limit: Limit, deployment: int) -> _Place | None:
    match (limit.metric, limit.window):
        case ("requests", "minute"):
            return _Place("model_list", deployment, "rpm")
        case ("tokens", "minute"):
            return _Place("model_list", deployment, "tpm")
        case ("cost", _):
            return _Place("model_list", deployment, "max_budget")
    return None


def _place_of_everyone(limit: Limit) -> _Place | None:
    match (limit.metric, limit.window, limit.each_end_user):
        case ("cost", "total", True):
            return _Place("litellm_settings", 0, "max_end_user_budget")
        case ("cost", _, False) if limit.amount:  # a budget of 0 is none there
            return _Place("litellm_settings", 0, "max_budget")
        case ("parallel", _, False):
            return _Place("general_settings", 0, "global_max_parallel_requests")
    return None


def _said(key: str, limit: Limit) -> dict[str, object]:
    amount: object = limit.amount
    if limit.metric == Limit.Metric.COST:
        dollars = Decimal(limit.amount).scaleb(-9)
        amount = int(dollars) if dollars == int(dollars) else float(dollars)
    if key == "max_budget" and limit.window in _DURATIONS:
        return {key: amount, "budget_duration": _DURATIONS[limit.window]}
    return {key: amount}


def _holder(limit: Limit) -> str:
    if limit.key or limit.team:
        holder = str(limit.key or f"team {limit.team}")
    elif limit.end_user:
        holder = f"end user {limit.end_user}"
    else:
        holder = f"deployment {limit.deployment}" if limit.deployment else "everyone"
    return f"each end user of {holder}" if limit.each_end_user else holder


def _not_said(limit: Limit) -> str:
    return f"not in this format: {_holder(limit)}: {limit}, {limit.mode}, model {limit.model or 'any'}"


def _elsewhere(limit: Limit) -> bool:
    return limit.time_zone != "UTC"


def _zone(limit: Limit) -> str:
    return f"{_holder(limit)}: {limit}: in the time zone {limit.time_zone} here, in UTC after an import"
