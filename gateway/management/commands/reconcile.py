"""`manage.py reconcile`: a provider's bill against the ledger."""

import sys
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from django.core.management.base import CommandError, CommandParser
from django.db import DatabaseError

from gateway.command import LineCommand, database_problem
from providers.models import Deployment, Provider
from usage import billed, bills
from usage.reconcile import Difference, Pair, Reconciliation, as_lines, reconcile

_FORMATS = ("text", "json")


class Command(LineCommand):
    error_exit_code = 2
    help = "Compare a provider's bill (CSV) with the ledger; exit 0 equal, 1 different, 2 error."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--provider", required=True, metavar="P", help="its name in the gateway")
        parser.add_argument("--file", required=True, metavar="CSV")
        parser.add_argument("--since", metavar="ISO", help="default: the first day of the bill")
        parser.add_argument("--until", metavar="ISO", help="before this time; default: behind its last day")
        parser.add_argument("--format", default="text", metavar="text|json", help="default: text")

    def handle(self, *args: str, **options: Any) -> None:
        if options["format"] not in _FORMATS:
            raise _error(f"--format is text or json, not {options['format']!r}.")
        bill = _bill(Path(options["file"]))
        since, until = _moment("--since", options["since"]), _moment("--until", options["until"])
        try:
            subject = _subject(options["provider"], _period(bill, since, until))
            found = _compared(bill, subject)
        except DatabaseError as error:
            raise _error(database_problem(error)) from None
        if options["format"] == "json":
            self.stdout.write(_json(found, subject))
        else:
            self.stdout.writelines(f"{line}\n" for line in as_lines(found))
        if found.differences:
            sys.exit(1)


def _error(message: str) -> CommandError:
    return CommandError(message, returncode=2)


def _bill(path: Path) -> bills.Bill:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return bills.read(file)
    except OSError as error:
        raise _error(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise _error(f"{path}: it is not UTF-8 text") from None
    except bills.BadBill as bad:
        raise _error(f"{path}: {bad}") from None


def _moment(option: str, text: str | None) -> datetime | None:
    try:
        return None if text is None else bills.moment_of(text)
    except ValueError as error:
        raise _error(f"{option} {error}") from None


def _period(bill: bills.Bill, since: datetime | None, until: datetime | None) -> tuple[datetime, datetime]:
    """What was asked for, else the whole days of the bill."""
    moments = [line.moment for line in bill.lines if line.moment is not None]
    if not moments and (since is None or until is None):
        raise _error("the bill has no dates, so --since and --until must say its time")
    since = since or min(moments).astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if until is None:
        last = max(moments).astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        until = last + timedelta(days=1)
    if since >= until:
        raise _error(f"the time from {since.isoformat()} to {until.isoformat()} is empty")
    return since, until


def _subject(provider: str, period: tuple[datetime, datetime]) -> billed.Subject:
    names = list(Provider.objects.order_by("name").values_list("name", flat=True))
    if provider not in names and not billed.is_known(provider):
        raise _error(f"there is no provider {provider!r}; there are: {', '.join(names) or 'none'}")
    upstream = Deployment.objects.filter(provider__name=provider).values_list("name", "upstream_model")
    return billed.Subject(provider, *period, dict(upstream))


def _compared(bill: bills.Bill, subject: billed.Subject) -> Reconciliation:
    def inside(line: bills.Line) -> bool:
        return line.moment is None or subject.since <= line.moment < subject.until

    part = replace(bill, lines=[line for line in bill.lines if inside(line)])
    ledger = billed.rows(subject) if "request_id" in bill.columns else billed.sums(subject)
    return reconcile(part, ledger)


def _json(found: Reconciliation, subject: billed.Subject) -> str:
    told = {
        "provider": subject.provider,
        "since": subject.since,
        "until": subject.until,
        "by": found.by,
        "equal": not found.differences,
        "differences": [_difference(difference) for difference in found.differences],
        "totals": {measure: _pair(pair) for measure, pair in found.totals.items()},
    }
    return msgspec.json.encode(told).decode()


def _difference(difference: Difference) -> dict[str, Any]:
    measures = {measure: _pair(pair) for measure, pair in difference.measures.items()}
    return {**asdict(difference), "measures": measures}


def _pair(pair: Pair) -> dict[str, int | None]:
    return {"ours": pair.ours, "theirs": pair.theirs, "delta": pair.delta}
