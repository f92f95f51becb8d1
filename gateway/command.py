"""The base of our commands: a wrong command line is one clear line, as every other error is."""

import re
from typing import Any, NoReturn

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error

from gateway import control_client
from gateway.control_client import ControlError, Message

_NOT_MIGRATED = re.compile(r"no such (table|column)|(relation|column) \S+ does not exist")


def database_problem(error: Error) -> str:
    """What a command says of a database that cannot answer, on one line."""
    line = str(error).strip().partition("\n")[0]
    hint = "; manage.py migrate makes its tables" if _NOT_MIGRATED.search(line) else ""
    return f"the database: {line}{hint}"


def ask_server(message: Message, seconds: float = 10.0) -> Message:
    """What the running server of this data directory answers. Raises `CommandError` in one line."""
    try:
        return control_client.ask(settings.DATA_DIR, message, seconds)
    except ControlError as error:
        raise CommandError(str(error)) from None


class OneLineParser(CommandParser):
    """Tells what is wrong without the usage before it."""

    exit_code = 1

    def error(self, message: str) -> NoReturn:
        if not self.called_from_command_line:
            super().error(message)
        command = self.prog.split()[-1]
        self.exit(self.exit_code, f"Error: {message} (manage.py {command} --help tells more)\n")


class LineCommand(BaseCommand):
    """A command whose every error is one line on stderr; `error_exit_code` is 1 unless 1 means something."""

    error_exit_code = 1

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.__class__ = OneLineParser  # Django has no setting for the class of the parser
        assert isinstance(parser, OneLineParser)
        parser.exit_code = self.error_exit_code
        return parser
