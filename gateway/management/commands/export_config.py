"""`manage.py export_config`: the configuration as YAML, secrets as references."""

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import DatabaseError

from gateway.command import LineCommand, database_problem
from gateway.config_export import as_litellm, as_switchyard


class Command(LineCommand):
    help = "Print the configuration as a config.yml, or everything as an inventory."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--format", choices=["litellm", "switchyard"], default="litellm")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            text = as_litellm() if options["format"] == "litellm" else as_switchyard()
        except DatabaseError as error:
            raise CommandError(database_problem(error)) from None
        self.stdout.write(text, ending="")
