"""`manage.py import_prices`: prices from a file as LiteLLM publishes it."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import DatabaseError
from django.utils import timezone

from gateway.command import LineCommand, database_problem
from gateway.moments import moment
from providers.models import Price
from providers.price_sources import BadPriceFile, Listed, PriceFile, read_price_file
from providers.price_updates import bring, report


class Command(LineCommand):
    help = (
        "Take prices over from a file in the format of LiteLLM's model_prices_and_context_window.json. "
        "A changed price holds from now on; what was set in the admin stays."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE")
        parser.add_argument("--dry-run", action="store_true", help="say what would change, change nothing")
        parser.add_argument(
            "--effective-from", metavar="ISO", help="from when the new prices hold; default: now"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        given = options["effective_from"]
        since = moment("--effective-from", given) if given else timezone.now()
        prices = _read(options["file"])
        wanted = {subject: Listed(charges) for subject, charges in prices.charges.items()}
        try:
            outcomes = bring(wanted, Price.Source.COMMAND, since, dry_run=options["dry_run"])
        except DatabaseError as error:
            raise CommandError(database_problem(error)) from None
        self.stdout.write("\n".join([report(outcomes), *_left_out(prices)]))


def _read(path: str) -> PriceFile:
    try:
        return read_price_file(Path(path).read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror or 'cannot be read'}") from None
    except UnicodeDecodeError:
        raise CommandError(f"{path}: not UTF-8 text") from None
    except BadPriceFile as error:
        raise CommandError(f"{path}: {error}") from None


def _left_out(prices: PriceFile) -> list[str]:
    """Lines on what the file has beside prices that are read."""
    lines = [f"skipped: {count} {why}" for why, count in sorted(prices.skipped.items())]
    if prices.ignored:
        names = ", ".join(f"{name} ({count})" for name, count in sorted(prices.ignored.items()))
        lines.append(f"not read: {names}")
    return lines
