"""A counter, and which rows of the ledger it counts."""

from dataclasses import dataclass

from keys.limits import Rule, Scope
from providers.state import Demand


@dataclass(frozen=True, slots=True)
class Counted:
    """A demand, and which rows of the ledger it counts. `key_id`: of a key whose end users it counts."""

    demand: Demand
    scope: Scope
    key_id: str = ""


def counted(rule: Rule, demand: Demand, end_user: str) -> Counted:
    return Counted(demand, rule.scope_for(end_user))
