"""From the limits of a key to what one request demands of them, and how a refusal is told."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import ceil

from keys.windows import CALENDAR, ROLLING, bounds
from providers.state import Demand, How, Refusal, Ticket

DEFAULT_OUTPUT = 4096
_HOW = {"requests": How.COUNT, "tokens": How.RESERVE, "parallel": How.HOLD}


@dataclass(frozen=True, slots=True)
class Scope:
    """Which usage rows a limit counts, by the fields of `usage.models.Attempt`; "" does not narrow.

    `end_user` None does not narrow; "" means the rows that name nobody.
    """

    key_id: str = ""
    team: str = ""
    end_user: str | None = None
    model: str = ""
    deployment: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """One limit as the hot path knows it. `owner` is told to clients: "key 'alice'"."""

    id: int
    owner: str
    metric: str
    amount: int
    window: str
    time_zone: str
    shadow: bool
    model: str | None
    demand: Demand = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """`demand` asks for one: all that requests differ in are tokens, and the dates of a calendar."""
        demand = Demand(
            # metric and window are in the name: what was counted before an edit means nothing after it
            counter=f"limit:{self.id}:{self.metric}:{self.window}",
            limit=self.amount,
            least=1,
            want=1,
            how=_HOW[self.metric],
            window=ROLLING.get(self.window, 0.0),
            shadow=self.shadow,
        )
        object.__setattr__(self, "demand", demand)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a request may use: prompt tokens, output tokens per choice asked for (None: no cap), choices."""

    prompt: int
    cap: int | None
    choices: int
    most_output: int | None


def demands(rules: Iterable[Rule], model: str, estimate: Estimate, now: float) -> list[Demand]:
    """What a request for `model` asks of each rule that speaks of it."""
    return [_demand(rule, estimate, now) for rule in rules if rule.model is None or rule.model == model]


def _demand(rule: Rule, estimate: Estimate, now: float) -> Demand:
    demand = rule.demand
    if rule.metric != "tokens" and rule.window not in CALENDAR:
        return demand
    least, want = _tokens(estimate) if rule.metric == "tokens" else (1, 1)
    counter, ends_at = demand.counter, None
    if rule.window in CALENDAR:
        start, ends_at = bounds(rule.window, now, rule.time_zone)
        counter = f"{counter}:{start:.0f}"
    return Demand(
        counter, demand.limit, least, want, demand.how, demand.window, ends_at=ends_at, shadow=demand.shadow
    )


def _tokens(estimate: Estimate) -> tuple[int, int]:
    """With a cap of the client's all of it must fit; without one, any output at all."""
    most = estimate.most_output
    if estimate.cap is not None:
        output = min(estimate.cap, most) if most else estimate.cap
        total = estimate.prompt + output * estimate.choices
        return total, total
    least = estimate.prompt + estimate.choices
    return least, max(least, estimate.prompt + (most or DEFAULT_OUTPUT) * estimate.choices)


def output_cap(ticket: Ticket, estimate: Estimate) -> int | None:
    """The cap to send upstream so that the answer stays in what was reserved; None: send none."""
    if estimate.cap is not None:
        return None
    granted = [
        ticket.granted[demand.counter]
        for demand in ticket.demands
        if demand.how is How.RESERVE and not demand.shadow
    ]
    return max(1, (min(granted) - estimate.prompt) // estimate.choices) if granted else None


def find_rule(rules: Sequence[Rule], demand: Demand) -> Rule:
    """The rule that a demand came from."""
    id = int(demand.counter.split(":")[1])
    return next(rule for rule in rules if rule.id == id)


def explain(rule: Rule, refusal: Refusal, now: float) -> str:
    """The refusal in words, for people: which limit, how full, when it resets."""
    what = f"{rule.amount:,} {_UNIT[rule.metric]}{_per(rule.window)}".replace(",", " ")
    scope = f"{rule.owner}" + (f" on model '{rule.model}'" if rule.model else "")
    text = f"Limit reached: {what} for {scope}."
    if rule.metric == "parallel":
        return f"{text} {refusal.used} are in flight; try again when one of them has ended."
    if rule.metric == "tokens":
        text += f" {refusal.used} are used or reserved, and this request needs about {refusal.demand.least}."
    if is_hopeless(rule, refusal):
        advice = "shorten the prompt or ask for fewer output tokens" if rule.amount else "it allows none"
        return f"{text} It can never fit: {advice}."
    if refusal.resets_at is not None:
        moment = datetime.fromtimestamp(ceil(refusal.resets_at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return f"{text} It resets in {max(1, ceil(refusal.resets_at - now))} s, at {moment}."
    if rule.window == "total":
        return f"{text} It does not reset by itself."
    return f"{text} Requests in flight hold the rest; try again when one of them has ended."


def is_hopeless(rule: Rule, refusal: Refusal) -> bool:
    """Whether this request is more than the whole limit."""
    return refusal.demand.least > rule.amount


_UNIT = {"requests": "requests", "tokens": "tokens", "parallel": "parallel requests"}


def _per(window: str) -> str:
    return "" if not window else " in total" if window == "total" else f" per {window}"
