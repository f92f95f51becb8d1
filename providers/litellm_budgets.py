"""Budgets and limits of a config.yml: money, durations, and the limits of deployments and of everyone."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from providers.litellm_records import Desk, LimitRecord, Said
from providers.litellm_values import (
    LARGEST_AMOUNT,
    REFERENCE_NOTE,
    holds_reference,
    integer_of,
    number_of,
    text_of,
)
from providers.litellm_yaml import Node

_DURATION = re.compile(r"(?P<count>\d{1,9})(?P<unit>mo|[smhdw])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400, "mo": 30 * 86_400}
_WINDOWS = {
    1: "second",
    60: "minute",
    3600: "hour",
    86_400: "day",
    7 * 86_400: "week",
    30 * 86_400: "month",
    31 * 86_400: "month",
}
_WORDS = {"hourly": "hour", "daily": "day", "weekly": "week", "monthly": "month"}
_NANO_DOLLAR = Decimal("1e-9")
_CALENDAR = ("day", "week", "month")
_ONLY_A_WEIGHT = "only a weight in LiteLLM unless its usage-based routing is on, a limit here"
_PRICE_IT = (
    "without one its requests count as $0: write input_cost_per_token and output_cost_per_token, "
    "or bring prices by import_prices or sync_prices"
)


@dataclass(frozen=True, slots=True)
class _Duration:
    """A duration as a window of ours; "" where none is as long, `nearest` then says which ones come close."""

    window: str
    nearest: str = ""


def dollars_of(node: Node) -> int:
    """An amount of US dollars in nano-dollars, exactly as written."""
    number_of(node, 0)
    exact = Decimal(str(node.value).strip())
    dollars = exact.quantize(_NANO_DOLLAR)
    if dollars != exact:
        raise node.error("at most 9 decimals of a dollar are expected")
    nano = int(dollars.scaleb(9))
    if nano > LARGEST_AMOUNT:
        raise node.error(f"at most {in_dollars(LARGEST_AMOUNT)} are expected")
    return nano


def in_dollars(nano: int) -> str:
    """`$12.5`"""
    return f"${Decimal(nano).scaleb(-9).normalize():f}"


def at_most(metric: str, amount: int, window: str) -> str:
    """A limit in words."""
    what = {"cost": in_dollars(amount), "parallel": f"{amount} parallel requests"}.get(metric)
    per = {"": "", "total": " in total"}.get(window, f" per {window}")
    return f"at most {what or f'{amount} {metric}'}{per}"


def note_limit(node: Node, desk: Desk, verdict: Said, amount: int, note: str) -> None:
    """The verdict on a limit; one of nothing is a warning."""
    if amount:
        desk.note(node, verdict, note)
    else:
        desk.note(node, "warning", f"{note}; 0 lets nothing through, for no limit leave it out")


def deployment_limits(params: Mapping[str, Node], priced: bool, desk: Desk) -> tuple[LimitRecord, ...]:
    """What an entry limits its deployment to, which is not named yet."""
    found = []
    for name, metric in (("rpm", "requests"), ("tpm", "tokens")):
        node = params.get(name)
        if node is None:
            continue
        if holds_reference(node):
            desk.note(node, "unsupported", REFERENCE_NOTE)
            continue
        amount = integer_of(node, 0, LARGEST_AMOUNT)
        told = f"{at_most(metric, amount, 'minute')} of this deployment; {_ONLY_A_WEIGHT}"
        note_limit(node, desk, "changed", amount, told)
        found.append(LimitRecord(metric, amount, "minute"))
    budget = _budget(params, desk, "of this deployment")
    if budget is not None:
        found.append(budget)
        if "budget_duration" not in params:
            desk.more(params["max_budget"], "changed", "LiteLLM does nothing without budget_duration")
        if not priced:
            desk.more(
                params["max_budget"], "warning", f"this deployment has no price in this file; {_PRICE_IT}"
            )
    return tuple(found)


def limits_of_everyone(settings: Mapping[str, Node], desk: Desk) -> dict[Node, LimitRecord]:
    """The budgets of `litellm_settings`, by their keys."""
    found = {}
    total = settings.get("max_budget")
    if total is not None and not holds_reference(total) and dollars_of(total) == 0:
        desk.note(total, "inert", "0 is no budget in LiteLLM; none here")
        if duration := settings.get("budget_duration"):
            desk.note(duration, "inert", "no budget beside it")
    elif budget := _budget(settings, desk, "of all requests together"):
        found[settings["max_budget"]] = budget
    each = settings.get("max_end_user_budget")
    if each is not None and holds_reference(each):
        desk.note(each, "unsupported", REFERENCE_NOTE)
    elif each is not None:
        amount = dollars_of(each)
        told = f"{at_most('cost', amount, 'total')} for each end user without a limit of cost of their own"
        note_limit(each, desk, "applied", amount, told)
        found[each] = LimitRecord("cost", amount, "total", each_end_user=True)
    return found


def parallel_limit(node: Node, desk: Desk) -> LimitRecord | None:
    """`global_max_parallel_requests`."""
    if holds_reference(node):
        desk.note(node, "unsupported", REFERENCE_NOTE)
        return None
    amount = integer_of(node, 0)
    told = f"{at_most('parallel', amount, '')}, counted over all workers together; per process in LiteLLM"
    note_limit(node, desk, "changed", amount, told)
    return LimitRecord("parallel", amount, "")


def warn_of_missing_prices(node: Node, without: int, of: int, desk: Desk) -> None:
    """Tell on a budget of all deployments that the file knows no price of some."""
    if without:
        desk.more(node, "warning", f"{without} of {of} deployments have no price in this file; {_PRICE_IT}")


def _budget(fields: Mapping[str, Node], desk: Desk, whose: str) -> LimitRecord | None:
    """`max_budget` in the window of `budget_duration`: both are kept, or neither."""
    amount, duration = fields.get("max_budget"), fields.get("budget_duration")
    if amount is None:
        if duration is not None:
            desk.note(duration, "inert", "no max_budget beside it")
        return None
    given = [node for node in (amount, duration) if node is not None]
    if any(holds_reference(node) for node in given):
        for node in given:
            own = holds_reference(node)
            desk.note(node, "unsupported", REFERENCE_NOTE if own else "what stands beside it is not read")
        return None
    nano = dollars_of(amount)
    found = _Duration("total") if duration is None else _duration(duration)
    if not found.window:
        assert duration is not None  # without one the window is the total
        desk.note(duration, "unsupported", f"there is no such window; {found.nearest}")
        desk.note(amount, "unsupported", f"not applied: budget_duration is no window here; {found.nearest}")
        return None
    if duration is not None:
        _note_window(duration, found.window, desk)
    note_limit(amount, desk, "applied", nano, f"{at_most('cost', nano, found.window)} {whose}")
    return LimitRecord("cost", nano, found.window)


def _note_window(node: Node, window: str, desk: Desk) -> None:
    if window in _CALENDAR:
        desk.note(
            node, "changed", f"the {window} of the calendar, in UTC; the admin can set another time zone"
        )
    else:
        desk.note(node, "changed", f"the last {window} at any moment, rolling")


def _duration(node: Node) -> _Duration:
    text = text_of(node, 40).strip().lower()
    match = _DURATION.fullmatch(text)
    if text in _WORDS:
        return _Duration(_WORDS[text])
    if match is None or int(match["count"]) == 0:
        raise node.error("a duration such as 1h, 1d, 7d or 1mo is expected")
    seconds = int(match["count"]) * _SECONDS[match["unit"]]
    return _Duration(_WINDOWS[seconds]) if seconds in _WINDOWS else _Duration("", _nearest(seconds))


def _nearest(seconds: int) -> str:
    """`write 7d (week) or 1mo (month)`: the windows around a length."""
    forms = {1: "1s", 60: "1m", 3600: "1h", 86_400: "1d", 7 * 86_400: "7d", 30 * 86_400: "1mo"}
    shorter = max((length for length in forms if length < seconds), default=None)
    longer = min((length for length in forms if length > seconds), default=None)
    around = [f"{forms[length]} ({_WINDOWS[length]})" for length in (shorter, longer) if length is not None]
    return f"write {' or '.join(around)}"
