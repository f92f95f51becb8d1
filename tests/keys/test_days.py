"""A limit per day, on days on which clocks change: it begins anew once a day, at the day's first instant."""

import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from keys.limits import Need, Rule, demand_of
from providers.state import Candidate, Refusal, Seed, Settlement, Ticket, Unseeded
from providers.state.counters import Counters

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
YEARS = (2026, 2027)
ZONES = ("America/New_York", "Australia/Lord_Howe", "America/Havana", "Africa/Cairo")
ONE = Need(1, 1)


def changes(zone: str, year: int) -> list[int]:
    """Unix milliseconds of this year from which on clocks differ from UTC by another time than before."""
    tz, found = ZoneInfo(zone), []
    first = int(datetime(year, 1, 1, tzinfo=UTC).timestamp() * 1000)
    before = datetime.fromtimestamp(first / 1000, tz).utcoffset()
    for moment in range(first, first + 365 * DAY, MINUTE * 30):
        offset = datetime.fromtimestamp(moment / 1000, tz).utcoffset()
        if offset != before:
            found.append(moment)
            before = offset
    return found


def first_instants(begin: int, end: int, zone: str) -> list[int]:
    """Every second of a time is looked at: those that have a date which none before them had."""
    tz, found = ZoneInfo(zone), []
    latest = datetime.fromtimestamp(begin / 1000 - 1, tz).date()
    for moment in range(begin, end, 1000):
        date = datetime.fromtimestamp(moment / 1000, tz).date()
        if date > latest:
            found.append(moment)
            latest = date
    return found


CHANGES = [(zone, moment) for zone in ZONES for year in YEARS for moment in changes(zone, year)]
EACH = pytest.mark.parametrize(
    ("zone", "change"),
    CHANGES,
    ids=[f"{zone}-{datetime.fromtimestamp(moment / 1000, UTC):%Y-%m-%d}" for zone, moment in CHANGES],
)


class Alice:
    """Asks one day's limit of hers at any moment."""

    def __init__(self, zone: str, metric: str, amount: int) -> None:
        self.rule = Rule(1, "key 'alice'", metric, amount, "day", zone, shadow=False)
        self.counters = Counters()
        self.asked = 0

    def ask(self, now: int, *, looked_up: int | None = None) -> Ticket | Refusal:
        """`looked_up`: when the worker worked out which day it is; `now` unless given."""
        demand = demand_of(self.rule, ONE, "", now if looked_up is None else looked_up)
        self.asked += 1
        told = self.counters.admit(now, str(self.asked), "anna", [demand], [Candidate(1)])
        if not isinstance(told, Ticket | Refusal):
            self.counters.seed(now, [Seed(demand.counter, demand.epoch)])
            told = self.counters.admit(now, str(self.asked), "anna", [demand], [Candidate(1)])
        assert isinstance(told, Ticket | Refusal), told
        return told

    def used(self, now: int) -> int:
        told = self.counters.peek(now, [demand_of(self.rule, ONE, "", now)])
        assert not isinstance(told, Unseeded), told
        return told[0]


def test_each_of_these_zones_changes_its_clocks_twice_a_year() -> None:
    assert [len(changes(zone, year)) for zone in ZONES for year in YEARS] == [2] * 8


@EACH
def test_a_limit_of_one_a_day_passes_one_at_each_first_instant(zone: str, change: int) -> None:
    begin, end = change - 2 * DAY, change + 2 * DAY
    alice = Alice(zone, "requests", 1)
    alice.ask(begin - MINUTE)
    passed = [now for now in range(begin, end, MINUTE) if isinstance(alice.ask(now), Ticket)]
    assert passed == first_instants(begin, end, zone)
    dates = [datetime.fromtimestamp(now / 1000, ZoneInfo(zone)).date() for now in passed]
    assert dates == [dates[0] + timedelta(days=number) for number in range(len(passed))]


@EACH
def test_a_refusal_tells_the_first_instant_of_the_next_day(zone: str, change: int) -> None:
    starts = first_instants(change - 2 * DAY, change + 3 * DAY, zone)
    alice = Alice(zone, "requests", 1)
    for start, following in itertools.pairwise(starts):
        assert isinstance(alice.ask(start), Ticket)
        for now in range(start, following, HOUR // 4):
            refusal = alice.ask(now)
            assert isinstance(refusal, Refusal)
            assert refusal.resets_at == following
        assert isinstance(alice.ask(following - 1), Refusal)


@EACH
def test_a_day_that_was_looked_up_before_it_ended_counts_in_the_next_one(zone: str, change: int) -> None:
    alice = Alice(zone, "requests", 1)
    for start in first_instants(change - 2 * DAY, change + 2 * DAY, zone):
        alice.ask(start - 1)
        assert isinstance(alice.ask(start, looked_up=start - 1), Ticket)
        assert isinstance(alice.ask(start + 1), Refusal)


@EACH
def test_what_is_settled_after_midnight_belongs_to_the_day_before(zone: str, change: int) -> None:
    for start in first_instants(change - 2 * DAY, change + 2 * DAY, zone):
        alice = Alice(zone, "tokens", 10)
        ticket = alice.ask(start - 1)
        assert isinstance(ticket, Ticket)
        assert isinstance(alice.ask(start), Ticket)
        alice.counters.settle(start + 1, ticket.id, Settlement(tokens=9))
        assert alice.used(start + 2) == 1


def test_a_day_as_long_as_its_clocks_say_is_one_window() -> None:
    """Havana's 25 hours, with midnight twice: the second one is no new day."""
    alice = Alice("America/Havana", "requests", 1)
    first = datetime(2026, 11, 1, 4, tzinfo=UTC)
    assert isinstance(alice.ask(_ms(first)), Ticket)
    assert isinstance(alice.ask(_ms(first + timedelta(hours=1))), Refusal)
    assert isinstance(alice.ask(_ms(first + timedelta(hours=25)) - 1), Refusal)
    assert isinstance(alice.ask(_ms(first + timedelta(hours=25))), Ticket)


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
