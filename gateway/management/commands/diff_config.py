"""`manage.py diff_config`: what differs between a config.yml and the rows."""

import sys
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import DatabaseError

from gateway.command import LineCommand, database_problem
from gateway.config_report import plan_as_text
from gateway.configuration import differences
from providers.litellm_config import ConfigError


class Command(LineCommand):
    error_exit_code = 2
    help = "Compare a config.yml with what is configured; exit 0 same, 1 different, 2 error."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            found = differences(options["file"])
        except ConfigError as error:
            raise CommandError(str(error), returncode=2) from None
        except DatabaseError as error:
            message = database_problem(error)
            raise CommandError(message, returncode=2) from None
        if found:
            self.stdout.write(plan_as_text(found))
            sys.exit(1)
