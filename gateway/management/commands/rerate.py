"""`manage.py rerate`: rate history anew with the prices that held then; the old costs are kept."""

import getpass
import os
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import Error

from gateway.command import LineCommand, database_problem
from gateway.moments import moment
from providers.models import Model
from providers.spelling import nearest
from usage.amounts import dollars
from usage.models import Attempt
from usage.rerating import Span, Tally, foresee, rerate


class Command(LineCommand):
    help = (
        "Rate the attempts of a model anew, each with the price that held when it started. "
        "The old costs are kept; roll-ups follow. Running it twice changes nothing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--model", required=True, metavar="M", help="the name that clients ask for")
        parser.add_argument(
            "--since",
            required=True,
            metavar="ISO",
            help="attempts from this time on, such as 2026-11-01T00:00:00Z",
        )
        parser.add_argument("--until", metavar="ISO", help="attempts before this time; default: now")
        parser.add_argument(
            "--dry-run", action="store_true", help="say what it would come to, change nothing"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        until = options["until"]
        span = Span(options["model"], moment("--since", options["since"]), until and moment("--until", until))
        if span.until is not None and span.until <= span.since:
            raise CommandError("--until is not after --since.")
        try:
            _check(span.model)
            if options["dry_run"]:
                self.stdout.write(_summary(span, foresee(span), "would change"))
                return
            run = rerate(span, _who(), self._tell)
        except Error as error:
            raise CommandError(database_problem(error)) from None
        tally = Tally(run.rows, run.changed, run.unresolved, run.cost_before, run.cost_after)
        self.stdout.write(f"{_summary(span, tally, 'changed')} (rerating {run.pk})")

    def _tell(self, tally: Tally) -> None:
        if tally.rows and tally.rows % 100_000 == 0:
            self.stderr.write(f"{tally.rows:,} attempts looked at, {tally.changed:,} changed")


def _check(model: str) -> None:
    """A name with no row of its own is a slip; a model that was deleted still has its attempts."""
    known = set(Model.objects.values_list("name", flat=True))
    if model not in known and not Attempt.objects.filter(model=model).exists():
        raise CommandError(f"there is no model {model!r} and no attempt of it{nearest(model, known)}")


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as containers have
        return f"uid {os.getuid()}"


def _summary(span: Span, tally: Tally, changed: str) -> str:
    kept = f", {tally.unresolved} left alone: their deployments are gone" if tally.unresolved else ""
    return (
        f"{span.model}: {tally.rows} attempts, {tally.changed} {changed}{kept}; "
        f"cost {dollars(tally.cost_before)} -> {dollars(tally.cost_after)} "
        f"({tally.cost_before} -> {tally.cost_after} nano-dollars)"
    )
