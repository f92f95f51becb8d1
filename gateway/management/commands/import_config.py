"""`manage.py import_config`: bring the rows to what a config.yml says, and say what became of each key."""

import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import DatabaseError

from gateway.command import LineCommand, database_problem
from gateway.config_report import report_as_text
from gateway.configuration import Report, import_file
from providers.litellm_config import ConfigError


def _as_json(report: Report) -> str:
    verdicts = [
        {"path": v.path, "line": v.line, "verdict": v.verdict, "note": v.note} for v in report.verdicts
    ]
    plan = [asdict(item) for item in report.plan]
    return json.dumps({"verdicts": verdicts, "plan": plan}, indent=2, ensure_ascii=False)


class Command(LineCommand):
    help = "Import a LiteLLM config.yml, with a verdict for every key; the same file twice changes nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE")
        parser.add_argument("--dry-run", action="store_true", help="print the plan, change nothing")
        parser.add_argument(
            "--prune",
            action="store_true",
            help="delete rows of an earlier import that the file no longer names",
        )
        parser.add_argument(
            "--overwrite", action="store_true", help="the file wins over what was edited in the admin"
        )
        parser.add_argument("--format", choices=["text", "json"], default="text")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            report = import_file(
                options["file"],
                dry_run=options["dry_run"],
                prune=options["prune"],
                overwrite=options["overwrite"],
            )
        except ConfigError as error:
            raise CommandError(str(error)) from None
        except DatabaseError as error:
            raise CommandError(database_problem(error)) from None
        text = _as_json(report) if options["format"] == "json" else report_as_text(report, options["dry_run"])
        self.stdout.write(text)
