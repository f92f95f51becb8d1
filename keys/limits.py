"""From the limits that hold for a request to what it demands of them, and how a refusal is told."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from math import ceil
from typing import NamedTuple

from keys.windows import CALENDAR, ROLLING, period
from providers.routing import Allowance
from providers.state import MOST_AMOUNT, Demand, How, Refusal, Ticket

_HOW = {"requests": How.COUNT, "tokens": How.TOKENS, "cost": How.COST, "parallel": How.HOLD}
_NANO = 10**9


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
    """One limit as the hot path knows it. `owner` is told to clients: "key 'alice'".

    `each`: counted for each end user apart. `reset_at`: what was used before, in Unix milliseconds, does
    not count. `holder` tells what is counted by numbers of rows, which a new name does not change.
    """

    id: int
    owner: str
    metric: str
    amount: int
    window: str
    time_zone: str
    shadow: bool
    model: str | None = None
    scope: Scope = Scope()
    each: bool = False
    reset_at: int = 0
    holder: str = ""
    how: How = field(init=False, repr=False, compare=False)
    demand: Demand = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """`demand` asks for one: all that requests differ in are amounts, dates and end users."""
        how = _HOW[self.metric]
        # what was counted of something else, or in another window, means nothing after an edit
        zone = self.time_zone if self.window in CALENDAR else ""
        counted = repr((self.metric, self.window, zone, self.holder or self.scope))
        demand = Demand(
            counter=f"{self.id}:{_digest(counted)}",
            how=how,
            limit=self.amount,
            window=int(ROLLING.get(self.window, 0.0) * 1000),
            epoch=self.reset_at,
            shadow=self.shadow,
            # the last second is over before anybody could look it up
            seeded=self.window not in ("", "second"),
        )
        object.__setattr__(self, "how", how)
        object.__setattr__(self, "demand", demand)

    def scope_for(self, end_user: str) -> Scope:
        """The rows that count for a request of this end user."""
        scope = self.scope
        if not self.each:
            return scope
        return Scope(scope.key_id, scope.team, end_user, scope.model, scope.deployment)


class Need(NamedTuple):
    """Of tokens and nano-dollars, what must fit, and what is wanted if there is room."""

    least_tokens: int
    want_tokens: int
    least_cost: int = 0
    want_cost: int = 0


def holding(rules: Iterable[Rule], model: str, own: Sequence[Rule] = ()) -> list[Rule]:
    """The rules that speak of a request for `model`; `own` are its end user's, in place of those for each."""
    found = [rule for rule in rules if rule.model is None or rule.model == model]
    if not own:
        return found
    mine = [rule for rule in own if rule.model is None or rule.model == model]
    metrics = {rule.metric for rule in mine if not rule.shadow}
    return [*(rule for rule in found if not (rule.each and rule.metric in metrics)), *mine]


def allowances(rules: Mapping[int, Sequence[Rule]], deployments: Iterable[int]) -> dict[int, Allowance]:
    """What these deployments may take within a minute, by the limits that they have of their own."""
    return {id: _allowance(rules[id]) for id in deployments if id in rules}


def _allowance(rules: Sequence[Rule]) -> Allowance:
    def least(metric: str) -> int | None:
        in_force = (rule for rule in rules if rule.window == "minute" and not rule.shadow and not rule.each)
        return min((rule.amount for rule in in_force if rule.metric == metric), default=None)

    return Allowance(least("requests"), least("tokens"))


def demand_of(rule: Rule, need: Need, end_user: str, now: int) -> Demand:
    """What a request asks of a rule that speaks of it; `now` in Unix milliseconds."""
    demand, how = rule.demand, rule.how
    calendar = rule.window in CALENDAR
    if how == How.COUNT and not calendar and not rule.each:
        return demand
    least = want = 1
    if how == How.TOKENS:
        least, want = need.least_tokens, need.want_tokens
    elif how == How.COST:
        least, want = need.least_cost, need.want_cost
    epoch, ends, following = demand.epoch, 0, 0
    if calendar:
        start, ends, following = period(rule.window, now, rule.time_zone)
        epoch = max(start, epoch)
    counter = f"{demand.counter}:{_digest(end_user)}" if rule.each else demand.counter
    return Demand(
        counter, how, demand.limit, min(least, MOST_AMOUNT), min(want, MOST_AMOUNT), demand.window,
        epoch, ends, following, demand.shadow, demand.seeded,
    )  # fmt: skip


def _digest(text: str) -> str:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def end_users_demand(key_id: str, most: int, end_user: str) -> Demand:
    """Asks that a key names no more than so many different end users."""
    return Demand(f"end-users:{key_id}", How.MEMBER, most, seeded=True, member=member_of(end_user))


def member_of(end_user: str) -> str:
    """A name as the set of a key's end users keeps it."""
    return _digest(end_user)


# --- what clients are told ---------------------------------------------------------------------


def headers(rules: Sequence[Rule], ticket: Ticket) -> dict[str, str]:
    """`x-ratelimit-*` of the tightest limit of each metric, once a request was admitted."""
    tightest: dict[str, tuple[float, Rule, Demand, int]] = {}
    for rule, demand, used in zip(rules, ticket.demands, ticket.used, strict=False):
        if rule.shadow:
            continue
        left = max(0, demand.limit - used)
        room = left / demand.limit if demand.limit else 0.0
        known = tightest.get(rule.metric)
        if known is None or room < known[0]:
            tightest[rule.metric] = (room, rule, demand, left)
    told: dict[str, str] = {}
    for metric, (_, rule, demand, left) in tightest.items():
        told[f"x-ratelimit-limit-{metric}"] = amount_text(metric, rule.amount)
        told[f"x-ratelimit-remaining-{metric}"] = amount_text(metric, left)
        if resets_in := (demand.window or max(0, demand.ends - ticket.now)):
            told[f"x-ratelimit-reset-{metric}"] = f"{resets_in / 1000:.3f}s"
    return told


def refusal_headers(rule: Rule, refusal: Refusal) -> dict[str, str]:
    """When to come back, or that it is of no use."""
    left = max(0, refusal.demand.limit - refusal.used)
    told = {
        f"x-ratelimit-limit-{rule.metric}": amount_text(rule.metric, rule.amount),
        f"x-ratelimit-remaining-{rule.metric}": amount_text(rule.metric, left),
    }
    wait = wait_of(rule, refusal)
    if refusal.resets_at is not None:
        told[f"x-ratelimit-reset-{rule.metric}"] = f"{max(1, refusal.resets_at - refusal.now) / 1000:.3f}s"
    if wait is not None:
        told |= waiting(wait)
    if wait is None or (is_budget(rule) and not _is_held(refusal)):
        told["x-should-retry"] = "false"
    return told


def waiting(milliseconds: int) -> dict[str, str]:
    """A wait in both forms that clients read."""
    return {"retry-after": str(max(1, -(-milliseconds // 1000))), "retry-after-ms": str(milliseconds + 1)}


def wait_of(rule: Rule, refusal: Refusal) -> int | None:
    """Milliseconds after which to try again; None: it is of no use."""
    if is_hopeless(rule, refusal):
        return None
    if _is_held(refusal):  # it may end at any moment
        return 1000
    if refusal.resets_at is None:
        # only a part of the limit is this worker's own while the shared state is away
        return 1000 if refusal.demand.limit < rule.amount else None
    return max(1, refusal.resets_at - refusal.now)


def _is_held(refusal: Refusal) -> bool:
    """Whether only requests in flight stand in the way."""
    demand = refusal.demand
    return refusal.used - refusal.held + demand.least <= demand.limit


def is_budget(rule: Rule) -> bool:
    """Whether it is for days and longer, or money: a client that retries at once only makes noise."""
    return rule.metric == "cost" or rule.window in CALENDAR or rule.window == "total"


def explain(rule: Rule, refusal: Refusal) -> str:
    """The refusal in words, for people: which limit, how full, when it resets."""
    what = f"{_words(rule.metric, rule.amount)}{_per(rule.window)}"
    text = f"Limit reached: {what} for {rule.owner}" + (f" on model '{rule.model}'." if rule.model else ".")
    if rule.metric == "parallel":
        return f"{text} {refusal.used} are in flight; try again when one of them has ended."
    if rule.metric in ("tokens", "cost"):
        used = _words(rule.metric, refusal.used)
        least = _words(rule.metric, refusal.demand.least)
        text += f" {used} are used or reserved, and this request needs about {least}."
    if is_hopeless(rule, refusal):
        advice = "shorten the prompt or ask for fewer output tokens" if rule.amount else "it allows none"
        return f"{text} It can never fit: {advice}."
    if _is_held(refusal):
        return f"{text} Requests in flight hold the rest; try again when one of them has ended."
    if refusal.resets_at is not None:
        moment = datetime.fromtimestamp(ceil(refusal.resets_at / 1000), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return f"{text} It resets in {max(1, ceil((refusal.resets_at - refusal.now) / 1000))} s, at {moment}."
    return f"{text} It does not reset by itself."


def is_hopeless(rule: Rule, refusal: Refusal) -> bool:
    """Whether this request is more than the whole limit."""
    return refusal.demand.least > rule.amount


def amount_text(metric: str, amount: int) -> str:
    """As a header has it: a whole number, of cost dollars."""
    if metric != "cost":
        return str(amount)
    whole, nano = divmod(amount, _NANO)
    return f"{whole}.{nano:09}".rstrip("0").rstrip(".")


_UNIT: Mapping[str, str] = {"requests": "requests", "tokens": "tokens", "parallel": "parallel requests"}


def _words(metric: str, amount: int) -> str:
    if metric == "cost":
        return f"${amount_text(metric, amount)}"
    return f"{amount:,} {_UNIT[metric]}".replace(",", " ")


def _per(window: str) -> str:
    return "" if not window else " in total" if window == "total" else f" per {window}"
