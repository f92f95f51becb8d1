"""Which deployment is asked, in which order, and what a failure means for the next one."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

MOST_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Share:
    """What ordering needs of a deployment: its id, tier (lower first) and weight (0: standby)."""

    id: int
    priority: int
    weight: int


def order(
    shares: Sequence[Share], credits: Mapping[int, int], passed_over: Collection[int]
) -> tuple[list[int], dict[int, int]]:
    """Smooth weighted round robin: ids in the order to ask, and the credits after this step.

    Every usable deployment of a tier gains its weight; whoever has most goes first. The one that
    is really asked pays with `charge`, so that shares stay exact when the first one is full.
    Tiers go by priority; standby (weight 0) comes last in its tier. `passed_over` is left out.
    """
    usable = [share for share in shares if share.id not in passed_over]
    gained = {share.id: credits.get(share.id, 0) + share.weight for share in usable}
    ranked = sorted(usable, key=lambda s: (s.priority, s.weight == 0, -gained[s.id]))
    return [share.id for share in ranked], gained


def charge(shares: Sequence[Share], gained: Mapping[int, int], asked: int) -> dict[int, int]:
    """The credits once `asked` was chosen: it pays what its tier gained, and other tiers gain nothing.

    Debts and savings are bounded.
    """
    tier = next(share.priority for share in shares if share.id == asked)
    total = sum(share.weight for share in shares if share.priority == tier and share.id in gained)
    after = dict(gained)
    after[asked] -= total
    for share in shares:
        if share.priority != tier and share.id in after:
            after[share.id] -= share.weight
    bound = 4 * sum(share.weight for share in shares)
    return {id: max(-bound, min(bound, credit)) for id, credit in after.items()}


class Next(Enum):
    """What an upstream status means for the request."""

    FINAL = "the client's own doing: one attempt, passed on"
    RETRY = "ask another deployment"
    MISCONFIGURED = "ask another deployment; this one is set up wrongly"


_RETRIED = frozenset({408, 409, 429, 529})
_MISCONFIGURED = frozenset({401, 403, 404})


def after_status(status: int) -> Next:
    """The retry rule, in one place.

    Own fault of the request (400, 413, 422, a content filter): the next provider would say the same.
    Busy or broken (408, 409, 429, 5xx, 529): another may do better.
    401, 403, 404, redirects: the address or credential of the deployment is wrong, not the request.
    """
    if status in _MISCONFIGURED or 300 <= status < 400:
        return Next.MISCONFIGURED
    if status in _RETRIED or status >= 500:
        return Next.RETRY
    return Next.FINAL
