"""Many rows under changing prices, through journal, shipper and roll-up, against decimal arithmetic."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

from django.db.models import Count, Sum

from providers.models import Deployment, Model, Price, Provider
from providers.price_book import timelines
from providers.prices import PriceList
from tests.usage.rows import asked
from usage.ids import unix_ms
from usage.journal import Journal
from usage.models import Attempt, DailyUsage, DirtyHour, HourlyUsage, RatedBefore, Rerating
from usage.pricing import Used, rated
from usage.records import Settled
from usage.rerating import Span, rerate
from usage.rollup import roll_up
from usage.shipper import Shipper

START = datetime(2026, 11, 3, 8, tzinfo=UTC)
STEP = timedelta(hours=2)
# What a token costs, in and out, from each step on: three changes of the first price.
DOLLARS_PER_TOKEN = (
    ("0.00000015", "0.00000015"),
    ("0.000000123456789", "0.0000006"),
    ("0.000000000000375", "0.00000000015"),
    ("0.00000015", "0.000000000000005"),
)
CORRECTED = ("0.0000002", "0.000000000000001")


@dataclass(slots=True)
class Told:
    """What came of it: nano-dollars of the database and of decimal arithmetic, and seconds."""

    rows: int
    in_ledger: int = 0
    cost_nano: int = 0
    expected_nano: int = 0
    hourly_nano: int = 0
    daily_nano: int = 0
    rerated_rows: int = 0
    rerated_nano: int = 0
    expected_rerated_nano: int = 0
    kept_before_nano: int = 0
    expected_before_nano: int = 0
    rerated_again: int = 0
    hourly_after_nano: int = 0
    rows_by_price: list[int] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


def exactly(prompt: int, completion: int, dollars: tuple[str, str]) -> int:
    """Nano-dollars by decimal arithmetic, rounded half up."""
    asked_for = prompt * Decimal(dollars[0]) + completion * Decimal(dollars[1])
    return int((asked_for * 10**9).quantize(Decimal(1), ROUND_HALF_UP))


def play(rows: int, journal_root: Path) -> Told:
    """All of it, on the connected database."""
    told, deployment = Told(rows), _deployment()
    by_step = [0] * len(DOLLARS_PER_TOKEN)
    third: list[tuple[int, int]] = []
    with _timed(told, "write"), _shipping(journal_root, rows) as journal:
        for number, row, prompt, completion in _rows(rows, timelines([deployment])[deployment.pk]):
            step = number * len(by_step) // rows
            by_step[step] += exactly(prompt, completion, DOLLARS_PER_TOKEN[step])
            if step == 2:
                third.append((prompt, completion))
            journal.settled(row)
    told.expected_nano = sum(by_step)
    told.expected_before_nano = by_step[2]
    told.expected_rerated_nano = sum(by_step) - by_step[2] + sum(exactly(*pair, CORRECTED) for pair in third)
    _look(told)
    _correct(told, deployment)
    return told


def _deployment() -> Deployment:
    provider = Provider.objects.create(name="exact", base_url="https://api.openai.com/v1")
    model = Model.objects.create(name="llm")
    deployment = Deployment.objects.create(name="llm-a", model=model, provider=provider, upstream_model="m")
    for step, (paid_in, paid_out) in enumerate(DOLLARS_PER_TOKEN):
        Price.objects.create(
            kind="openai",
            upstream_model="m",
            effective_from=START + step * STEP,
            input=Decimal(paid_in) * 10**6,
            output=Decimal(paid_out) * 10**6,
        )
    return deployment


def _rows(rows: int, prices: tuple[PriceList, ...]) -> Iterator[tuple[int, Settled, int, int]]:
    """Number, usage row, prompt and completion tokens: spread evenly over the steps."""
    dice = random.Random(20261103)
    whole = len(DOLLARS_PER_TOKEN) * STEP
    for number in range(rows):
        attempt = asked(at=START + whole * number / rows)
        prompt, completion = dice.randrange(1, 200_000), dice.randrange(20_000)
        rating = rated(
            prices, unix_ms(attempt.attempt_id), Used(prompt, completion), status="ok", http_status=200
        )
        row = attempt.settled(
            prompt_tokens=prompt,
            completion_tokens=completion,
            cost_nano=rating.cost_nano,
            priced=rating.priced,
            price_id=rating.price_id,
        )
        yield number, row, prompt, completion


@contextmanager
def _shipping(root: Path, rows: int) -> Iterator[Journal]:
    """A journal whose rows are all in the ledger at the end."""
    journal = Journal(root)
    shipper = Shipper(journal, interval=0.05)
    shipper.start()
    try:
        yield journal
        deadline = time.monotonic() + 60 + rows / 1000
        while journal.pending and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        shipper.stop(60)
        journal.close()


@contextmanager
def _timed(told: Told, what: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    told.seconds[what] = round(time.monotonic() - began, 2)


def _cost(model: type[Attempt] | type[HourlyUsage] | type[DailyUsage]) -> int:
    return int(model._default_manager.aggregate(total=Sum("cost_nano"))["total"] or 0)


def _look(told: Told) -> None:
    counted = Attempt.objects.order_by().values("price_id").annotate(number=Count("pk")).order_by("price_id")
    told.rows_by_price = [row["number"] for row in counted]
    told.in_ledger, told.cost_nano = sum(told.rows_by_price), _cost(Attempt)
    with _timed(told, "roll_up"):
        roll_up()
    told.hourly_nano, told.daily_nano = _cost(HourlyUsage), _cost(DailyUsage)


def _correct(told: Told, deployment: Deployment) -> None:
    """The third price was wrong: mend it, rate all anew, twice."""
    third = Price.objects.order_by("effective_from")[2]
    third.input, third.output = (Decimal(dollars) * 10**6 for dollars in CORRECTED)
    third.save()
    span = Span("llm", START, START + len(DOLLARS_PER_TOKEN) * STEP)
    with _timed(told, "rerate"):
        run = rerate(span, "alice")
    told.rerated_rows, told.rerated_nano = run.changed, _cost(Attempt)
    told.kept_before_nano = int(RatedBefore.objects.aggregate(total=Sum("cost_nano"))["total"] or 0)
    with _timed(told, "rerate_again"):
        told.rerated_again = rerate(span, "alice").changed
    roll_up()
    told.hourly_after_nano = _cost(HourlyUsage)


def judge(told: Told) -> None:
    """Every sum is exact to the nano-dollar, and re-rating twice changes nothing."""
    assert told.in_ledger == told.rows
    assert told.cost_nano == told.hourly_nano == told.daily_nano == told.expected_nano
    assert told.rerated_nano == told.hourly_after_nano == told.expected_rerated_nano
    assert told.kept_before_nano == told.expected_before_nano
    assert len(told.rows_by_price) == len(DOLLARS_PER_TOKEN)
    assert max(told.rows_by_price) - min(told.rows_by_price) <= 1
    assert 0 < told.rerated_rows <= max(told.rows_by_price)
    assert told.rerated_again == 0


def clear() -> None:
    """Leave nothing of it behind for other tests of the same database."""
    for model in (RatedBefore, Rerating, Attempt, HourlyUsage, DailyUsage, DirtyHour):
        model._default_manager.all().delete()
    for table in (Price, Deployment, Model, Provider):
        table._default_manager.all().delete()
