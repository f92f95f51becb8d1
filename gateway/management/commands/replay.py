"""`manage.py replay`: the requests of a time through a config file that is only a draft."""

from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

import msgspec
from django.core.management.base import CommandError
from django.db import Error

from gateway.command import LineCommand, database_problem
from gateway.configuration import read_file
from gateway.drafts import draft_of
from gateway.moments import moment
from providers.litellm_yaml import ConfigError
from providers.models import Price
from providers.price_book import general_prices
from usage import recorded
from usage.replaying import NOBODY, Outcome, Replay
from usage.reports import Period

_NOT_REPLAYED = (
    "Not replayed: limits of keys, teams and deployments, places, rights, and failures. "
    "A deployment that was ejected, at rest or full then takes nothing then; a request counts where its "
    "last attempt went."
)


class Command(LineCommand):
    help = "Print how requests and cost would have moved between deployments with a draft of config.yml."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--since", required=True, metavar="ISO", help="requests from this time on")
        parser.add_argument("--until", metavar="ISO", help="before this time; default: now")
        parser.add_argument("--config", required=True, metavar="FILE", help="the draft; nothing is imported")
        parser.add_argument("--format", default="text", metavar="text|json", help="default: text")

    def handle(self, *args: str, **options: Any) -> None:
        if options["format"] not in ("text", "json"):
            raise CommandError(f"--format is text or json, not {options['format']!r}.")
        since = moment("--since", options["since"])
        until = moment("--until", options["until"]) if options["until"] else datetime.now(UTC)
        try:
            config = read_file(options["config"]).config
        except ConfigError as error:
            raise CommandError(str(error)) from None
        try:
            replay = Replay(draft_of(config, general_prices(Price.objects.filter(deployment__isnull=True))))
            replay.add_all(recorded.rows(Period(since, until)))
        except Error as error:
            raise CommandError(database_problem(error)) from None
        if options["format"] == "json":
            told = msgspec.json.encode(as_data(replay.outcome))
            self.stdout.write(msgspec.json.format(told).decode())
        else:
            self.stdout.writelines(f"{line}\n" for line in as_lines(replay.outcome))


def as_data(outcome: Outcome) -> dict[str, Any]:
    """Costs are nano-dollars; `deployment` null: requests that nobody got."""
    return {
        "requests": outcome.requests,
        "from": _iso(outcome.first_ms),
        "to": _iso(outcome.last_ms),
        "deployments": [
            {
                "deployment": name or None,
                "requests": {"before": line.requests_before, "after": line.requests_after},
                "cost_nano": {"before": line.cost_before, "after": line.cost_after},
            }
            for name, line in sorted(outcome.lines.items(), key=lambda item: (item[0] == NOBODY, item[0]))
        ],
        "without_model": dict(sorted(_missing(outcome).items())),
        "refused_by_limits": outcome.limited,
        "without_decision": outcome.undecided,
        "attempts_without_price": outcome.unpriced,
        "note": _NOT_REPLAYED,
    }


def as_lines(outcome: Outcome) -> list[str]:
    if not outcome.requests:
        return ["No request of this time reached routing.", *_notes(outcome)]
    lines = sorted(outcome.lines.items(), key=lambda item: (item[0] == NOBODY, item[0]))
    head = ("deployment", "requests", "would be", "cost", "would be")
    rows = [
        (
            name or "(nobody)",
            f"{line.requests_before:,}",
            f"{line.requests_after:,}",
            _dollars(line.cost_before),
            _dollars(line.cost_after),
        )
        for name, line in lines
    ]
    every = [line for _, line in lines]
    rows.append(
        (
            "total",
            f"{sum(line.requests_before for line in every):,}",
            f"{sum(line.requests_after for line in every):,}",
            _dollars(sum(line.cost_before for line in every)),
            _dollars(sum(line.cost_after for line in every)),
        )
    )
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    table = [
        "  ".join(
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in (head, *rows)
    ]
    return [
        f"{outcome.requests:,} requests from {_iso(outcome.first_ms)} to {_iso(outcome.last_ms)}",
        *table,
        *_notes(outcome),
    ]


def _notes(outcome: Outcome) -> list[str]:
    notes = [
        f"The draft has no model {name!r}: {count:,} requests."
        for name, count in sorted(_missing(outcome).items(), key=lambda item: (-item[1], item[0]))
    ]
    if outcome.limited:
        notes.append(f"{outcome.limited:,} requests were refused by limits and are left out.")
    if outcome.undecided:
        notes.append(f"{outcome.undecided:,} rows keep no decision: their tags and aliases are not known.")
    if outcome.unpriced:
        notes.append(f"{outcome.unpriced:,} attempts would have no price.")
    return [*notes, _NOT_REPLAYED]


def _missing(outcome: Outcome) -> dict[str, int]:
    return {name: count for name, count in outcome.missing.items() if count}


def _dollars(nano: int) -> str:
    return f"${nano / 1e9:,.6f}"


def _iso(at_ms: int | None) -> str | None:
    if at_ms is None:
        return None
    told = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
    return told.replace("+00:00", "Z")
