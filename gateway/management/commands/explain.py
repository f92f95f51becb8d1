"""`manage.py explain REQUEST_ID`: where a request went, and why; `--model M --key K`: where it would go."""

import time
from argparse import ArgumentParser
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from django.conf import settings
from django.core.management.base import CommandError
from django.db import Error

from gateway import control_client, foreseeing
from gateway.command import LineCommand, database_problem
from gateway.control_client import ControlError
from providers.decisions import RETRY
from usage import explained
from usage.explained import Told

# So long a row may be on its way from the journal.
_SHIPPED_WITHIN = 5.0
_LOOK_EVERY = 0.25


class Command(LineCommand):
    help = "Tell of every attempt of a request why it went where it went, or where one would go."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("request_id", nargs="?", metavar="REQUEST_ID", help="x-request-id of the answer")
        parser.add_argument("--model", help="of a request that is not made yet; asks the running server")
        parser.add_argument("--key", metavar="NAME", help="whose request it would be: a key's name or id")
        parser.add_argument("--tags", default="", metavar="a,b", help="tags of that request")
        parser.add_argument("--stream", action="store_true", help="it would ask for a stream")
        parser.add_argument("--format", default="text", metavar="text|json", help="default: text")

    def handle(self, *args: str, **options: Any) -> None:
        if options["format"] not in ("text", "json"):
            raise CommandError(f"--format is text or json, not {options['format']!r}.")
        as_text = options["format"] == "text"
        if options["request_id"] is not None:
            if options["model"] or options["key"] or options["tags"] or options["stream"]:
                raise CommandError("Give either a REQUEST_ID, or --model and --key.")
            self._made(options["request_id"], as_text)
        elif options["model"] and options["key"]:
            self._not_made(options, as_text)
        else:
            raise CommandError("Give a REQUEST_ID, or --model and --key.")

    def _made(self, request_id: str, as_text: bool) -> None:
        try:
            found = _wait_for(request_id)
        except Error as error:
            raise CommandError(database_problem(error)) from None
        if not found:
            raise CommandError(f"No request {request_id!r} is in the ledger.")
        if as_text:
            self.stdout.write(explained.text(found))
        else:
            self._json({"request_id": request_id, "attempts": [each.data() for each in found]})

    def _not_made(self, options: dict[str, Any], as_text: bool) -> None:
        question = {
            "op": "explain",
            "model": options["model"],
            "key": options["key"],
            "tags": [tag for tag in options["tags"].split(",") if tag],
            "stream": options["stream"],
        }
        try:
            told = control_client.ask(settings.DATA_DIR, question)
        except ControlError as error:
            raise CommandError(str(error)) from None
        if as_text:
            self.stdout.write(foreseeing.text(told, stream=options["stream"]))
        else:
            self._json(dict(told))

    def _json(self, data: dict[str, Any]) -> None:
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
