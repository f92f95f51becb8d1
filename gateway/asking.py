"""What one request asks of limits and deployments, and what it then used of them."""

from collections.abc import Collection, Sequence

from gateway import estimates
from gateway.attempts import Subject
from gateway.calls import Call
from gateway.counted import Counted, counted
from gateway.estimates import Estimate, Tariff
from gateway.runtime import Gateway
from keys import limits
from keys.entries import Entry, Standing
from keys.limits import Need, Rule
from providers.decisions import Fate
from providers.snapshot import ServedModel, Target
from providers.state import Ask, Candidate, Demand, Seed, Ticket
from providers.state.memory import now_ms
from usage.pricing import Used, rated


class Asking:
    """The limits that hold for a request, its estimate, and both as `admit` takes them.

    Costs are worked out only where a limit on cost holds.
    """

    def __init__(
        self,
        gateway: Gateway,
        caller: Entry,
        standing: Standing,
        call: Call,
        model: ServedModel,
        subject: Subject,
    ) -> None:
        self.subject = subject
        self._gateway = gateway
        self._caller = caller
        self._model = model
        self._beside = call.beside
        self._now = now_ms()
        own = standing.end_users.get(subject.end_user, ()) if standing.end_users else ()
        self.rules = limits.holding(caller.rules, model.name, own)
        self._of_deployments = standing.deployments
        self._tariffs: dict[int, Tariff | None] = {}
        self._origins: dict[str, tuple[Rule, Demand]] = {}
        self.estimate = Estimate(
            subject.prompt_tokens,
            call.cap,
            call.choices,
            model.most_output,
            gateway.completions.mean(model.name) * call.choices,
        )

    def ask(self, order: Sequence[int]) -> Ask:
        """For a slot at one of these deployments, the first that is free."""
        end_user, now = self.subject.end_user, self._now
        candidates = self.candidates(order)
        need = self._need(order, self.rules)
        demands = [limits.demand_of(rule, need, end_user, now) for rule in self.rules]
        if end_user:
            caller = self._caller
            demands.append(limits.end_users_demand(caller.public_id, caller.max_end_users, end_user))
        return Ask(
            demands, candidates, self.seeds, self.estimate.prompt + self.estimate.likely_output,
            self._caller.closed_without_redis,
        )  # fmt: skip

    def candidates(self, order: Sequence[int]) -> list[Candidate]:
        targets = self._model.targets
        return [self._candidate(targets[id]) for id in order]

    def _candidate(self, target: Target) -> Candidate:
        rules = self._of_deployments.get(target.id, ()) if self._of_deployments else ()
        slots = -1 if target.slots is None else target.slots
        if not rules and not self._counts_cost(self.rules):
            return Candidate(target.id, slots)
        need = self._need((target.id,), rules)
        demands = tuple(limits.demand_of(rule, need, self.subject.end_user, self._now) for rule in rules)
        return Candidate(target.id, slots, self.foreseen_cost(target), demands)

    def blocked(self, id: int) -> Fate:
        """What can have kept the deployment of this id from taking the request."""
        slots = self._model.targets[id].slots
        if not any(not rule.shadow for rule in self._of_deployments.get(id, ())):
            return Fate.PLACES
        return Fate.LIMIT if slots is None else Fate.FULL

    def foreseen_cost(self, target: Target) -> int:
        """What the estimate costs there, as the ledger rates it when nobody lives to say what it was."""
        prompt, completion = self.estimate.prompt, self.estimate.likely_output
        beside = self._beside
        used = Used(
            prompt=prompt, completion=completion,
            images=beside.pictures, seconds=beside.seconds, characters=beside.characters,
        )  # fmt: skip
        return rated(target.prices, self._now, used, status="interrupted", http_status=None).cost_nano

    def _need(self, order: Sequence[int], rules: Sequence[Rule]) -> Need:
        if not self._counts_cost(rules):
            return estimates.need(self.estimate)
        return estimates.need(self.estimate, self._tariffs_of(order))

    def _counts_cost(self, rules: Sequence[Rule]) -> bool:
        return any(rule.metric == "cost" for rule in rules)

    def _tariffs_of(self, order: Collection[int]) -> list[Tariff]:
        for id in order:
            if id not in self._tariffs:
                prices = self._model.targets[id].prices
                self._tariffs[id] = estimates.tariff(prices, self._now, self.estimate.prompt, self._beside)
        return [each for id in order if (each := self._tariffs[id]) is not None]

    def output_cap(self, ticket: Ticket) -> int | None:
        """The cap to send to the deployment whose slot the ticket has; None: none is needed."""
        if self.estimate.cap is not None:
            return None
        rules = self._of_deployments.get(ticket.slot, ()) if self._of_deployments else ()
        if not rules and not self.rules:
            return None
        grants = [
            (rule.how, granted)
            for rule, granted in zip(self.rules, ticket.granted, strict=False)
            if not rule.shadow
        ]
        if rules:
            enforced = {rule.demand.counter for rule in rules if not rule.shadow}
            grants += [(h.how, h.amount) for h in ticket.holds if h.of_slot and h.counter in enforced]
        tariffs = self._tariffs_of((ticket.slot,)) if self._counts_cost((*self.rules, *rules)) else ()
        return estimates.output_cap(grants, self.estimate, tariffs)

    # --- what a verdict is about ---------------------------------------------------------------

    def rule_of(self, demand: Demand) -> Rule | None:
        """The rule that a demand came from; None: the cap on end users."""
        for rule in self.rules:
            if demand.counter.startswith(rule.demand.counter):
                return rule
        return None

    def note_shadows(self, ticket: Ticket) -> None:
        """Tell of each limit in shadow mode that would have refused this request."""
        for rule, granted in zip(self.rules, ticket.granted, strict=False):
            if granted < 0:
                self._gateway.note_shadow(rule, self._caller.name)

    async def seeds(self, names: Collection[str]) -> Sequence[Seed]:
        """The past of these counters, from the ledger. Raises `StateUnavailable`."""
        return await self._gateway.seeding.seeds(
            self._counted(), names, closed=self._caller.closed_without_redis
        )

    def ask_again(self) -> None:
        """These counters may differ from their rows when this request's are there."""
        self._gateway.seeding.ask_again(self._counted())

    def _counted(self) -> list[Counted]:
        """Every counter that this request may touch, and its rows."""
        end_user, need = self.subject.end_user, estimates.need(self.estimate)
        rules = [
            *self.rules,
            *(rule for id in self._model.targets for rule in self._of_deployments.get(id, ())),
        ]
        found = [counted(rule, limits.demand_of(rule, need, end_user, self._now), end_user) for rule in rules]
        if end_user:
            caller = self._caller
            asked = limits.end_users_demand(caller.public_id, caller.max_end_users, end_user)
            found.append(Counted(asked, limits.Scope(), caller.public_id))
        return found
