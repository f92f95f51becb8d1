"""`manage.py export_usage`: the ledger's rows on stdout."""

import csv
import io
import os
import sys
from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

import msgspec
from django.core.management.base import CommandError
from django.db import Error

from gateway.command import LineCommand, database_problem
from usage.reports import FIELDS, Period, Row, pages


class Command(LineCommand):
    help = "Print usage rows, one per attempt, in the order of their ids."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--since", metavar="ISO", help="from this time on, such as 2026-11-01T00:00:00Z")
        parser.add_argument("--until", metavar="ISO", help="before this time")
        parser.add_argument("--format", default="jsonl", metavar="jsonl|csv", help="default: jsonl")

    def handle(self, *args: str, **options: Any) -> None:
        if options["format"] not in _FORMATS:
            raise CommandError(f"--format is jsonl or csv, not {options['format']!r}.")
        period = Period(_moment("--since", options["since"]), _moment("--until", options["until"]))
        try:
            self._print(period, options["format"])
        except Error as error:
            raise CommandError(database_problem(error)) from None
        except BrokenPipeError:
            # The reader has what it wanted; the interpreter's last flush must not complain either.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def _print(self, period: Period, format_name: str) -> None:
        if format_name == "csv":
            self.stdout.write(",".join(FIELDS) + "\r\n", ending="")
        for page in pages(period):
            self.stdout.write(_FORMATS[format_name](page), ending="")
        self.stdout.flush()


def _moment(option: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise CommandError(
            f"{option} {text!r} is not an ISO date or time, such as 2026-11-01T00:00:00Z."
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _jsonl(rows: list[Row]) -> str:
    return msgspec.json.Encoder().encode_lines(rows).decode()


def _csv(rows: list[Row]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, FIELDS)
    for row in rows:
        writer.writerow({name: _cell(value) for name, value in row.items()})
    return text.getvalue()


def _cell(value: str | int | bool | None) -> str | int | None:
    return str(value).lower() if isinstance(value, bool) else value


_FORMATS = {"jsonl": _jsonl, "csv": _csv}
