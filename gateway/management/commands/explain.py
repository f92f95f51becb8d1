"""`manage.py explain REQUEST_ID`: where a request went, and why."""

import time
from argparse import ArgumentParser
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from django.core.management.base import CommandError
from django.db import Error

from gateway.command import LineCommand, database_problem
from providers.decisions import RETRY
from usage import explained
from usage.explained import Told

# So long a row may be on its way from the journal.
_SHIPPED_WITHIN = 5.0
_LOOK_EVERY = 0.25


class Command(LineCommand):
    help = "Tell of every attempt of a request why it went where it went."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("request_id", metavar="REQUEST_ID", help="the x-request-id of the answer")
        parser.add_argument("--format", default="text", metavar="text|json", help="default: text")

    def handle(self, *args: str, **options: Any) -> None:
        if options["format"] not in ("text", "json"):
            raise CommandError(f"--format is text or json, not {options['format']!r}.")
        try:
            found = _wait_for(options["request_id"])
        except Error as error:
            raise CommandError(database_problem(error)) from None
        if not found:
            raise CommandError(f"No request {options['request_id']!r} is in the ledger.")
        if options["format"] == "text":
            self.stdout.write(explained.text(found))
        else:
            rows = [each.data() for each in found]
            data = {"request_id": options["request_id"], "attempts": rows}
            self.stdout.write(msgspec.json.format(msgspec.json.encode(data)).decode())


def _wait_for(request_id: str) -> list[Told]:
    """Its attempts; of one that has just ended the row may still be in a worker's journal."""
    until = time.monotonic() + _SHIPPED_WITHIN
    while True:
        found = explained.of_request(request_id)
        if (found and not _goes_on(found[-1])) or time.monotonic() >= until:
            return found
        time.sleep(_LOOK_EVERY)


def _goes_on(last: Told) -> bool:
    """Whether a further attempt was to be made just now."""
    if last.decision is None or last.decision.then != RETRY:
        return False
    ended = last.attempt.started_at + timedelta(milliseconds=last.attempt.latency_ms or 0)
    return datetime.now(UTC) - ended < timedelta(seconds=_SHIPPED_WITHIN)
