"""One counter of a limit: what was spent and what is held, in one epoch."""

from providers.state import BUCKETS, MOST_SPENT, Demand


class Counter:
    """What was spent (in buckets when the window rolls) and what is held in flight, in one epoch.

    `flying`: how many open tickets have something of it; requests are spent and not held meanwhile.
    """

    __slots__ = ("buckets", "epoch", "flying", "held", "seeded", "spent", "touched")

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.spent = self.held = self.flying = self.touched = 0
        self.seeded = False
        self.buckets: list[list[int]] = []  # [time of the last amount, sum], oldest first

    def enter(self, epoch: int) -> None:
        """Start anew in a later epoch; an earlier one changes nothing."""
        if self.epoch < epoch:
            self.epoch = epoch
            self.spent = self.held = self.flying = 0
            self.buckets = []

    def advance(self, window: int, now: int) -> None:
        """Forget buckets that are wholly out of the window: late by one width at most, never early."""
        gone = 0
        for last, amount in self.buckets:
            if last + window > now:
                break
            self.spent -= amount
            gone += 1
        if gone:
            del self.buckets[:gone]

    def spend(self, window: int, now: int, amount: int) -> None:
        self.touched = now
        if not window:
            self.spent = min(self.spent + amount, MOST_SPENT)
            return
        if not amount:
            return
        self.spent += amount
        width = max(1, window // BUCKETS)
        if self.buckets:
            newest = self.buckets[-1]
            now = max(now, newest[0])
            if newest[0] // width == now // width:
                newest[0] = now
                newest[1] += amount
                return
        self.buckets.append([now, amount])

    def unspend(self, window: int, now: int, amount: int) -> None:
        """Take back what turned out not to be used, the newest first."""
        self.touched = now
        if not window:
            self.spent = max(0, self.spent - amount)
            return
        while amount and self.buckets:
            part = min(amount, self.buckets[-1][1])
            self.buckets[-1][1] -= part
            self.spent -= part
            amount -= part
            if not self.buckets[-1][1]:
                self.buckets.pop()


def fits_at(counter: Counter, demand: Demand, now: int) -> int | None:
    """When `least` will fit, as far as what is spent decides it; None: not by waiting alone."""
    if demand.least > demand.limit:
        return None
    if not demand.window:
        if demand.ends and now >= demand.ends:
            return demand.following or None
        return demand.ends or None
    over = counter.spent + counter.held + demand.least - demand.limit
    for last, amount in counter.buckets:
        over -= amount
        if over <= 0:
            return last + demand.window
    return None
